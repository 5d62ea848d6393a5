//! `respond:` of an endpoint or a rule: the answer to a verified event.

use std::time::Duration;

use http::{HeaderName, HeaderValue, StatusCode, header};

use super::document::{RespondShape, WaitShape};
use crate::act::CompileContext;
use crate::base::diagnostic::Diagnostics;
use crate::base::yaml::Node;
use crate::rules::Respond;
use crate::template::{Scope, Template, warn_of_values};

/// Maximum wait for an outcome with `respond: {wait: true}`.
pub const DEFAULT_WAIT: Duration = Duration::from_secs(30);

/// Compiles `respond:` of an endpoint or a rule.
pub fn compile(
    node: Option<Node<'_>>,
    context: &CompileContext<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<Respond> {
    let node = node?;
    let shape: RespondShape = node.read(diagnostics)?;
    let mut respond = Respond::default();
    let origin = |key: &str| node.get(key).unwrap_or(node);
    if let Some(status) = shape.status {
        match StatusCode::from_u16(status) {
            Ok(status) if status.is_success() => respond.status = status,
            _ => diagnostics.push(
                origin("status")
                    .error("respond-status", format!("`{status}` is not a status of success"))
                    .hint("200 to 299; a refusal's status is not a matter of the rules"),
            ),
        }
    }
    for (name, value) in shape.headers.iter().flatten() {
        match header_line(name, value) {
            Ok((name, value)) => {
                respond.headers.insert(name, value);
            }
            Err(message) => {
                let headers = origin("headers");
                diagnostics.push(
                    headers
                        .get(name)
                        .unwrap_or(headers)
                        .error("respond-header", message),
                );
            }
        }
    }
    if let Some(body) = node.given("body") {
        let content_type = respond.headers.get(header::CONTENT_TYPE);
        warn_of_values(
            body,
            content_type.and_then(|value| value.to_str().ok()),
            diagnostics,
        );
        respond.body = context
            .templates
            .read(body, Scope::Answer, context.keyring, diagnostics);
        if respond.body.as_ref().is_some_and(Template::names_secret) {
            diagnostics.push(body.warning("secret", "a secret in the answer goes to every sender"));
        }
    }
    respond.wait = match &shape.wait {
        None | Some(WaitShape::Switch(false)) => None,
        Some(WaitShape::Switch(true)) => Some(DEFAULT_WAIT),
        Some(WaitShape::AtMost(period)) => Some(period.0),
    };
    Some(respond)
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
