//! `respond:` of an endpoint or a rule: the answers to verified events.

use std::collections::BTreeMap;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use super::action_names::ActionNames;
use super::document::{AnswerShape, RespondShape, WaitShape};
use crate::act::CompileContext;
use crate::base::diagnostic::{Diagnostic, Diagnostics};
use crate::base::yaml::Node;
use crate::rules::{AnswerKind, Respond, Rule, StatedAnswer};
use crate::template::{KnownActions, Scope, Template, warn_of_values};

/// Maximum wait for an outcome with `respond: {wait: true}`.
pub const DEFAULT_WAIT: Duration = Duration::from_secs(30);

/// Hint for `actions` in an answer that does not wait for them.
const WITHOUT_WAIT: &str = "the answer does not wait for the actions: add `wait: true`, or for how long";

/// Inputs for the answers of a rule.
#[derive(Clone, Copy)]
pub struct RuleAnswers<'r> {
    /// Answers of its endpoint.
    pub endpoint: &'r Respond,
    pub actions: &'r ActionNames,
}

/// Compiles `respond:` of a rule or of an endpoint. A rule without `wait` has that of its endpoint.
pub fn compile(
    node: Option<Node<'_>>,
    of_rule: Option<RuleAnswers<'_>>,
    context: &CompileContext<'_>,
    diagnostics: &mut Diagnostics,
) -> Respond {
    let mut respond = Respond {
        wait: of_rule.and_then(|rule| rule.endpoint.wait),
        ..Respond::default()
    };
    let Some(node) = node else { return respond };
    let Some(shape) = node.read::<RespondShape>(diagnostics) else {
        return respond;
    };
    respond.wait = match &shape.wait {
        None => respond.wait,
        Some(WaitShape::Switch(false)) => None,
        Some(WaitShape::Switch(true)) => Some(DEFAULT_WAIT),
        Some(WaitShape::AtMost(period)) => Some(period.0),
    };
    // The templates of an endpoint are checked when its rules are known.
    let actions = match of_rule {
        None => KnownActions::Any,
        Some(rule) if respond.wait.is_some() => rule.actions.all(),
        Some(_) => KnownActions::None(WITHOUT_WAIT),
    };
    if ["status", "headers", "body"]
        .iter()
        .any(|key| node.given(key).is_some())
    {
        let stated = AnswerShape {
            status: shape.status,
            headers: shape.headers,
            body: shape.body,
        };
        let compiled = answer(AnswerKind::Success, node, &stated, &actions, context, diagnostics);
        respond.success = Some(compiled);
    }
    for kind in AnswerKind::KEYED {
        let Some(node) = node.given(kind.key()) else {
            continue;
        };
        if !node.is_mapping() {
            let diagnostic = node.error("wrong-value", format!("`{}` is an answer", kind.key()));
            diagnostics.push(diagnostic.hint("write `{status: 200, body: …}`"));
            continue;
        }
        let Some(stated) = node.read::<AnswerShape>(diagnostics) else {
            continue;
        };
        let compiled = answer(kind, node, &stated, &actions, context, diagnostics);
        respond.set(kind, compiled);
    }
    respond
}

/// Reports answers of `failed` and `late` that are never given, because no sender waits.
pub fn check_wait(node: Option<Node<'_>>, diagnostics: &mut Diagnostics) {
    let Some(node) = node else { return };
    for kind in [AnswerKind::Failed, AnswerKind::Late] {
        let Some(stated) = node.given(kind.key()) else {
            continue;
        };
        let message = format!(
            "`{}` is never given: the answer does not wait for the actions",
            kind.key()
        );
        let diagnostic = Diagnostic::error(stated.key_origin(), "respond-wait", message);
        diagnostics.push(diagnostic.hint("add `wait: true`, or for how long: `wait: 10s`"));
    }
}

/// Checks the actions that the answers of an endpoint name, for a rule that does not state them
/// itself.
pub fn check_actions(node: Option<Node<'_>>, respond: &Respond, rule: &Rule, diagnostics: &mut Diagnostics) {
    let Some(node) = node else { return };
    let known = if rule.is_awaited() {
        rule.known_actions()
    } else {
        KnownActions::None(WITHOUT_WAIT)
    };
    for kind in [AnswerKind::Success, AnswerKind::Failed, AnswerKind::Late] {
        let is_given = kind == AnswerKind::Success || rule.is_awaited();
        if rule.respond.of(kind).is_some() || !is_given {
            continue;
        }
        let body = respond.of(kind).and_then(|answer| answer.body.as_ref());
        let Some(Err(error)) = body.map(|body| body.check_actions(&known)) else {
            continue;
        };
        let node = if kind == AnswerKind::Success {
            node
        } else {
            node.get(kind.key()).unwrap_or(node)
        };
        let message = format!("for the rule `{}`: {}", rule.name, error.message);
        let diagnostic = node.get("body").unwrap_or(node).error(error.code, message);
        diagnostics.push(match error.hint {
            Some(hint) => diagnostic.hint(hint),
            None => diagnostic,
        });
    }
}

/// Compiles the answer that `node` states for an outcome.
fn answer(
    kind: AnswerKind,
    node: Node<'_>,
    stated: &AnswerShape,
    actions: &KnownActions,
    context: &CompileContext<'_>,
    diagnostics: &mut Diagnostics,
) -> StatedAnswer {
    let mut answer = StatedAnswer {
        status: stated
            .status
            .and_then(|code| status(kind, code, node, diagnostics)),
        headers: headers(stated.headers.as_ref(), node, diagnostics),
        body: None,
    };
    let Some(body) = node.given("body") else {
        return answer;
    };
    let content_type = answer.headers.get(header::CONTENT_TYPE);
    warn_of_values(
        body,
        content_type.and_then(|value| value.to_str().ok()),
        diagnostics,
    );
    let actions = match kind {
        // Reported by `check_wait`.
        AnswerKind::Failed | AnswerKind::Late if matches!(actions, KnownActions::None(_)) => {
            KnownActions::Any
        }
        AnswerKind::Success | AnswerKind::Failed | AnswerKind::Late => actions.clone(),
        AnswerKind::Ignored | AnswerKind::Duplicate | AnswerKind::Unreadable => {
            KnownActions::None("no action has run for this answer")
        }
    };
    answer.body =
        context
            .templates
            .with_actions(actions)
            .read(body, Scope::Answer, context.keyring, diagnostics);
    if answer.body.as_ref().is_some_and(Template::names_secret) {
        diagnostics.push(body.warning("secret", "a secret in the answer goes to every sender"));
    }
    if kind == AnswerKind::Unreadable && answer.body.as_ref().is_some_and(Template::reads_payload) {
        let message = "the template reads `payload`, which could not be decoded when this answer is given";
        let hint = "`body` is the text as it was sent, as far as it is text";
        diagnostics.push(body.warning("respond-body", message).hint(hint));
    }
    if let Some(status @ (StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED)) =
        answer.status
    {
        let message = format!("an answer of status {} has no body", status.as_u16());
        diagnostics.push(body.warning("respond-body", message));
    }
    answer
}

/// Reads the status of an answer.
fn status(kind: AnswerKind, code: u16, node: Node<'_>, diagnostics: &mut Diagnostics) -> Option<StatusCode> {
    let parsed = StatusCode::from_u16(code).ok();
    let (taken, message, hint) = if kind == AnswerKind::Success {
        (
            parsed.filter(StatusCode::is_success),
            format!("`{code}` is not a status of success"),
            "200 to 299; other outcomes have statuses of their own: `ignored: {status: 422}`",
        )
    } else {
        (
            parsed.filter(|status| (200..=599).contains(&status.as_u16())),
            format!("`{code}` is not the status of an answer"),
            "200 to 599",
        )
    };
    if taken.is_none() {
        let origin = node.get("status").unwrap_or(node);
        diagnostics.push(origin.error("respond-status", message).hint(hint));
    }
    taken
}

/// Reads the headers of an answer.
fn headers(
    stated: Option<&BTreeMap<String, String>>,
    node: Node<'_>,
    diagnostics: &mut Diagnostics,
) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in stated.into_iter().flatten() {
        match header_line(name, value) {
            Ok((name, value)) => {
                headers.insert(name, value);
            }
            Err(message) => {
                let origin = node.get("headers").unwrap_or(node);
                let origin = origin.get(name).unwrap_or(origin);
                diagnostics.push(origin.error("respond-header", message));
            }
        }
    }
    headers
}

/// Parses a response header. The error names the problem.
fn header_line(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), String> {
    let parsed: HeaderName = name
        .parse()
        .map_err(|error| format!("`{name}` is not the name of a header: {error}"))?;
    let framing = [
        header::CONTENT_LENGTH,
        header::TRANSFER_ENCODING,
        header::CONNECTION,
        header::UPGRADE,
        HeaderName::from_static("x-hookyard-status"),
    ];
    if framing.contains(&parsed) {
        return Err(format!("`{name}` is set by the server"));
    }
    let value = HeaderValue::from_str(value)
        .map_err(|error| format!("the value of `{name}` cannot stand in a header: {error}"))?;
    Ok((parsed, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_that_the_server_sets_is_refused() {
        assert!(header_line("X-Note", "thanks").is_ok());
        for (name, value) in [
            ("Content-Length", "3"),
            ("transfer-encoding", "chunked"),
            ("X-Hookyard-Status", "fine"),
            ("a b", "x"),
            ("x", "a\nb"),
        ] {
            assert!(header_line(name, value).is_err(), "{name}");
        }
    }
}
