//! `hookyard explain`: the rules that match a described or captured request, and their rendered
//! actions. Nothing is verified, stored or run.

mod captured;
mod described;
mod request;
mod stored;

use std::path::PathBuf;

use http::StatusCode;
use serde_json::{Value, json};

use self::request::ExplainedRequest;
use super::{Format, NO, YES, fail, naming, rules_path, say, wrong};
use crate::base::escape;
use crate::config;
use crate::history::{ElementsExplanation, RenderedAction, RuleExplanation, explain_rules};
use crate::pipeline::INVALID;
use crate::rules::Endpoint;
use crate::verify::HandshakeReply;

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
        Ok(event) => {
            let (explained, why) = explain_rules(endpoint, &event);
            (explained, why.map(|why| WouldRefuse::new(INVALID, why)))
        }
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
fn json(endpoint: &Endpoint, explained: &[RuleExplanation], refused: Option<&WouldRefuse>) -> Value {
    let refused = refused.map(
        |WouldRefuse { status, word, why }| json!({"status": status.as_u16(), "word": word, "why": why}),
    );
    json!({
        "endpoint": &*endpoint.path,
        "rules": explained,
        "refused": refused,
    })
}

/// Formats the result as text.
fn text(endpoint: &Endpoint, explained: &[RuleExplanation], refused: Option<&WouldRefuse>) -> String {
    let mut lines: Vec<String> = explained.iter().flat_map(lines).collect();
    if let Some(WouldRefuse { status, word, why }) = refused {
        lines.push(format!("the answer would be {} {word}: {why}", status.as_u16()));
    } else if explained.is_empty() {
        lines.push(format!("no rule names the endpoint `{}`", endpoint.path));
    }
    lines.join("\n")
}

/// Formats the decision of a rule as text.
pub(super) fn lines(explained: &RuleExplanation) -> Vec<String> {
    let word = if explained.matched { "yes" } else { "no " };
    let mut lines = vec![format!("{word} {}: {}", explained.rule, explained.reason)];
    lines.extend(explained.duplicate.iter().map(|words| format!("      {words}")));
    let elements = explained.elements.iter().flat_map(element_lines);
    lines.extend(elements.map(|words| format!("      {words}")));
    let actions = explained
        .actions
        .iter()
        .map(|action| action_line("would", action));
    let on_failure = explained.on_failure.iter();
    let on_failure = on_failure.map(|action| action_line("on failure would", action));
    lines.extend(actions.chain(on_failure).map(|line| format!("      {line}")));
    // Text quoted from the event must not imitate the line of another rule.
    lines.iter().map(|line| escape::line(line).into_owned()).collect()
}

fn action_line(words: &str, action: &RenderedAction) -> String {
    match action {
        RenderedAction::Rendered(action) => format!("{words} do {action}"),
        RenderedAction::Failed { error } => format!("{words} fail: {error}"),
    }
}

/// Formats the decisions about elements as text.
fn element_lines(elements: &ElementsExplanation) -> Vec<String> {
    if let Some(reason) = &elements.too_many {
        return vec![format!("it would be a dead letter at once: {reason}")];
    }
    let mut lines: Vec<String> = elements
        .explained
        .iter()
        .map(|element| {
            let word = if element.matched { "yes" } else { "no" };
            format!("element {}: {word}, {}", element.index, element.explanation)
        })
        .collect();
    let more = elements
        .number
        .unwrap_or(0)
        .saturating_sub(elements.explained.len());
    if more > 0 {
        lines.push(format!("and {more} more elements"));
    }
    if let Some(first) = elements.first() {
        lines.push(format!("for element {first}:"));
    }
    lines
}
