//! `hookyard explain`: the rules that match a described or captured request, and their rendered
//! actions. Nothing is verified, stored or run.

mod captured;
mod described;
mod elements;
mod request;
mod stored;

use std::path::PathBuf;
use std::sync::Arc;

use http::StatusCode;
use serde_json::{Value, json};

use self::elements::ExplainedElements;
use self::request::ExplainedRequest;
use super::{Format, NO, YES, fail, naming, rules_path, say, wrong};
use crate::base::escape;
use crate::config;
use crate::event::Received;
use crate::payload::Event;
use crate::pipeline::{INVALID, Preview, unstructured, without_credentials};
use crate::rules::{Endpoint, OnDuplicate, Rule};
use crate::verify::{HandshakeReply, Verification};

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The rules file [default: `rules.yaml`, else `/etc/hookyard/rules.yaml`].
    rules: Option<PathBuf>,
    /// The path, with an optional query: `/deploy/site?dry=1` [default: the endpoint, if there is
    /// only one].
    #[arg(long)]
    endpoint: Option<String>,
    /// A request that `hookyard events capture --format json` wrote. It replaces all other request
    /// options.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["endpoint", "headers", "body", "method", "client"])]
    captured: Option<PathBuf>,
    /// An arrival in the store of the rules: accepted, ignored or refused. It replaces all other
    /// request options. A unique prefix of the id is enough.
    #[arg(long, value_name = "ID", conflicts_with_all = ["captured", "endpoint", "headers", "body", "method", "client"])]
    event: Option<String>,
    /// A header of the request, `Name: value`. Repeatable.
    #[arg(long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// A file with the body. `-` reads standard input.
    #[arg(long, value_name = "FILE")]
    body: Option<PathBuf>,
    /// The method.
    #[arg(long, default_value = "POST")]
    method: String,
    /// The client's address.
    #[arg(long, value_name = "ADDRESS")]
    client: Option<std::net::IpAddr>,
    /// Output format.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub fn run(arguments: &Arguments) -> u8 {
    let path = rules_path(arguments.rules.as_ref());
    let rules = match config::load(&path, config::environment()) {
        Ok(loaded) => loaded.rules,
        Err(diagnostics) => return wrong(&naming("explain RULES", diagnostics)),
    };
    let stored = match arguments
        .event
        .as_ref()
        .map(|id| stored::read(&path, id))
        .transpose()
    {
        Ok(stored) => stored,
        Err(code) => return code,
    };
    let request = match ExplainedRequest::new(arguments, stored, &rules) {
        Ok(request) => request,
        Err(message) => return fail(&message),
    };
    let endpoint = request.endpoint;
    // Signatures are not checked here, for handshakes as for events.
    let handshake_reply = endpoint.handshake_reply(request.received.client, |known| {
        known.handshake_if_genuine(&request.received)
    });
    if let Some(Ok(handshake_reply)) = &handshake_reply {
        return say(&greeted(endpoint, handshake_reply, arguments.format), YES);
    }
    let (explained, refused) = match request.event(handshake_reply.and_then(Result::err)) {
        Ok(event) => explain_all(endpoint, &event),
        Err(refused) => (Vec::new(), Some(refused)),
    };
    let any = explained.iter().any(|rule| rule.matched);
    let text = match arguments.format {
        Format::Json => json(endpoint, &explained, refused.as_ref()).to_string(),
        Format::Text => text(endpoint, &explained, refused.as_ref()),
    };
    say(&text, if any { YES } else { NO })
}

/// Response of `serve` to a genuine request that no rule accepts, and the reason.
pub(super) struct WouldRefuse {
    status: StatusCode,
    word: &'static str,
    why: String,
}

impl WouldRefuse {
    fn new((status, word): (StatusCode, &'static str), why: impl Into<String>) -> Self {
        let why = why.into();
        Self { status, word, why }
    }
}

/// Formats the result for a handshake.
fn greeted(endpoint: &Endpoint, handshake_reply: &HandshakeReply, format: Format) -> String {
    let (name, status) = (&*handshake_reply.handshake, handshake_reply.status.as_u16());
    match format {
        Format::Json => {
            let mut result = json(endpoint, &[], None);
            if let Some(result) = result.as_object_mut() {
                result.insert("handshake".to_owned(), json!({"name": name, "status": status}));
            }
            result.to_string()
        }
        Format::Text => {
            format!(
                "this is the handshake `{name}`: if it is genuine, it is answered {status} and no rule is asked"
            )
        }
    }
}

/// Formats the result as JSON.
fn json(endpoint: &Endpoint, explained: &[Explained], refused: Option<&WouldRefuse>) -> Value {
    let refused = refused.map(
        |WouldRefuse { status, word, why }| json!({"status": status.as_u16(), "word": word, "why": why}),
    );
    json!({
        "endpoint": &*endpoint.path,
        "rules": explained.iter().map(Explained::to_json).collect::<Vec<_>>(),
        "refused": refused,
    })
}

/// Formats the result as text.
fn text(endpoint: &Endpoint, explained: &[Explained], refused: Option<&WouldRefuse>) -> String {
    let mut lines: Vec<String> = explained.iter().flat_map(Explained::lines).collect();
    if let Some(WouldRefuse { status, word, why }) = refused {
        lines.push(format!("the answer would be {} {word}: {why}", status.as_u16()));
    } else if explained.is_empty() {
        lines.push(format!("no rule names the endpoint `{}`", endpoint.path));
    }
    lines.join("\n")
}

/// Explains all rules of the endpoint. If none matches, also returns why a genuine request would be
/// refused.
pub(super) fn explain_all(endpoint: &Endpoint, event: &Event) -> (Vec<Explained>, Option<WouldRefuse>) {
    // Actions get less of the event than the conditions see.
    let stored = Event {
        received: Arc::new(without_credentials(endpoint, Received::clone(&event.received))),
        payload: event.payload.clone(),
        views: event.views.clone(),
        fired_by: None,
    };
    let rules = endpoint.rules.iter().enumerate();
    let explained: Vec<Explained> = rules
        .map(|(index, rule)| explain(endpoint, index, rule, event, &stored))
        .collect();
    let in_force = |index: usize| endpoint.rules.get(index).is_some_and(|rule| rule.enabled);
    let refused = if explained.iter().any(|rule| rule.matched) {
        None
    } else {
        unstructured(endpoint, event, &in_force)
    };
    let refused = refused.map(|why| WouldRefuse::new(INVALID, why));
    (explained, refused)
}

/// The result for one rule.
pub(super) struct Explained {
    rule: Arc<str>,
    matched: bool,
    /// Explanation as text.
    why: String,
    explanation: Value,
    /// Condition under which another request counts as the same event.
    duplicate: Option<String>,
    /// Decisions about the elements, of a rule with `for_each`.
    elements: Option<ExplainedElements>,
    preview: Preview,
}

impl Explained {
    /// Formats the result as JSON.
    pub(super) fn to_json(&self) -> Value {
        let (actions, on_failure) = self.preview.to_json();
        json!({
            "rule": &*self.rule,
            "matched": self.matched,
            "explanation": self.explanation,
            "duplicate": self.duplicate,
            "elements": self.elements.as_ref().map(ExplainedElements::to_json),
            "actions": actions,
            "on_failure": on_failure,
        })
    }

    /// Formats the result as text.
    pub(super) fn lines(&self) -> Vec<String> {
        let word = if self.matched { "yes" } else { "no " };
        let mut lines = vec![format!("{word} {}: {}", self.rule, self.why)];
        lines.extend(self.duplicate.iter().map(|words| format!("      {words}")));
        let elements = self.elements.iter().flat_map(ExplainedElements::lines);
        lines.extend(elements.map(|words| format!("      {words}")));
        lines.extend(self.preview.lines().map(|line| format!("      {line}")));
        // Text quoted from the event must not imitate the line of another rule.
        lines.iter().map(|line| escape::line(line).into_owned()).collect()
    }
}

/// Explains one rule. Conditions read `event`; actions read `stored`, the part of it that is
/// stored.
fn explain(endpoint: &Endpoint, index: usize, rule: &Rule, event: &Event, stored: &Event) -> Explained {
    let explanation = endpoint.matcher.explain(event, index);
    let client = event.received.client;
    // Without an address in the arguments, `allow` is not checked.
    let barred = client.filter(|_| !endpoint.allows(client) || !rule.allows(client));
    let blind = !endpoint.can_act(index, event);
    let matched = explanation.matched && rule.enabled && barred.is_none() && !blind;
    let why = match barred {
        _ if !rule.enabled => "it is not enabled".to_owned(),
        _ if blind => "its actions need the payload, which cannot be read".to_owned(),
        Some(client) => format!("`allow` does not let {client} in"),
        None => explanation.to_string(),
    };
    let elements = ExplainedElements::of(endpoint, index, event);
    // Actions are shown for the first element that matches.
    let first = elements.as_ref().and_then(ExplainedElements::first);
    let preview = if matched {
        Preview::new(endpoint, rule, first, &stored.seen_in(rule.view))
    } else {
        Preview::default()
    };
    let explanation = serde_json::to_value(&explanation).unwrap_or_default();
    Explained {
        rule: Arc::clone(&rule.name),
        matched,
        why,
        explanation,
        duplicate: matched.then(|| duplicate(endpoint, rule)),
        elements,
        preview,
    }
}

/// Explains which requests count as the same event for a rule, and their treatment.
fn duplicate(endpoint: &Endpoint, rule: &Rule) -> String {
    let indices = rule.alternatives.iter().map(|known| known.verification);
    let verifications: Vec<&Verification> = indices
        .filter_map(|index| endpoint.verifications.get(index))
        .collect();
    let by = recognised_by(&verifications);
    if by.is_empty() {
        return "the same event is not recognised if it comes again: it would run again".to_owned();
    }
    let then = match rule.on_duplicate {
        OnDuplicate::Ignore => "runs nothing",
        OnDuplicate::Reject => "is answered 409 and runs nothing",
        OnDuplicate::Run => "runs again",
    };
    let may_repeat = verifications.iter().any(|known| known.may_repeat());
    let hint = if rule.on_duplicate != OnDuplicate::Run && may_repeat {
        "; if the sender signs the same content for each event, set `on_duplicate: run`"
    } else {
        ""
    };
    format!("the same event, recognised by {by}, {then} if it comes again{hint}")
}

/// Describes the bytes by which events are recognised. Several alternatives are named. Empty if
/// there are none.
fn recognised_by(verifications: &[&Verification]) -> String {
    if let [single] = verifications {
        return single.recognised_by();
    }
    let each = verifications.iter().filter_map(|known| {
        let by = known.recognised_by();
        (!by.is_empty()).then(|| format!("{by} (`{}`)", known.scheme()))
    });
    each.collect::<Vec<_>>().join(", or by ")
}
