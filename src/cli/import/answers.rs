//! `respond` of a rule: the answers that adnanh/webhook gives.

use http::StatusCode;

use super::hooks::{Hook, member, text};
use super::notes::Notes;
use super::values::literal;
use super::yaml::{Map, Yaml};
use crate::base::diagnostic::Diagnostics;
use crate::base::yaml::Node;
use crate::reference::hooks_file::Property;

/// The answer to an event that the trigger rule does not want.
const MISMATCH: &str = "Hook rules were not satisfied.";
/// The answer to a failure, without the command's output.
const FAILURE: &str =
    "Error occurred while executing the hook's command. Please check your logs for more details.";
/// The output of the command. Both streams were one.
const OUTPUT: &str = "{{ actions[0].stdout }}{{ actions[0].stderr }}";
/// Maximum wait of an answer for the command: as long as the command may run.
const WAIT: &str = "10m";
/// Headers that the server sets itself.
const FRAMING: [&str; 4] = ["content-length", "transfer-encoding", "connection", "upgrade"];

/// Translates the answers of a hook. `headers`: those of every answer.
pub(super) fn respond(
    hook: &Hook<'_>,
    headers: &[(String, String)],
    notes: &mut Notes,
    diagnostics: &mut Diagnostics,
) -> Map {
    let mut respond = Map::new();
    let common = header_map(headers);
    let mut own = headers.to_vec();
    own.extend(response_headers(hook, notes, diagnostics));
    let own = header_map(&own);
    let awaits = hook.flag(Property::IncludeOutput, diagnostics);
    let streams = hook.flag(Property::StreamOutput, diagnostics);
    let on_error = hook.flag(Property::IncludeOutputOnError, diagnostics);
    if let Some((node, code)) = hook.number(Property::SuccessCode, diagnostics) {
        success(node, code, &mut respond, notes);
    }
    if !own.is_empty() {
        respond.add("headers", own.clone().into());
    }
    let message = hook.text(Property::ResponseMessage, diagnostics);
    if awaits || streams {
        respond.add_text("wait", WAIT);
        respond.add_text("body", OUTPUT);
        if streams && let Some(node) = hook.get(Property::StreamOutput) {
            notes.warn(
                node,
                "respond",
                "stream",
                "the output is not streamed",
                "the answer comes when the command has ended",
            );
        }
    } else {
        let message = message.map(|message| literal(&message.text)).unwrap_or_default();
        respond.add_text("body", message);
    }
    if hook.get(Property::TriggerRule).is_some() {
        respond.add("ignored", mismatch(hook, common, notes, diagnostics).into());
    }
    if awaits {
        let mut failed = Map::new();
        if !own.is_empty() {
            failed.add("headers", own.into());
        }
        failed.add_text("body", if on_error { OUTPUT } else { FAILURE });
        respond.add("failed", failed.into());
    }
    respond
}

/// The answer to an event that the trigger rule does not want.
fn mismatch(hook: &Hook<'_>, common: Map, notes: &mut Notes, diagnostics: &mut Diagnostics) -> Map {
    let mut ignored = Map::new();
    if let Some((node, code)) = hook.number(Property::MismatchCode, diagnostics) {
        match known(code) {
            Some(code) if code >= 200 => ignored.add("status", Yaml::word(code.to_string())),
            _ => unknown_status(node, code, notes),
        }
    }
    if !common.is_empty() {
        ignored.add("headers", common.into());
    }
    ignored.add_text("body", MISMATCH);
    ignored
}

/// Adds the status of a success.
fn success(node: Node<'_>, code: u64, respond: &mut Map, notes: &mut Notes) {
    match known(code) {
        Some(code @ 200..=299) => respond.add("status", Yaml::word(code.to_string())),
        Some(code) => notes.changed(
            node,
            "respond",
            "status",
            &format!("the answer to a success cannot be {code}"),
            "200 to 299; it is 200",
        ),
        None => unknown_status(node, code, notes),
    }
}

/// adnanh/webhook answers 200 in place of a status that Go does not know.
fn known(code: u64) -> Option<u16> {
    let code = u16::try_from(code).ok()?;
    let status = StatusCode::from_u16(code).ok()?;
    status.canonical_reason().map(|_| code)
}

fn unknown_status(node: Node<'_>, code: u64, notes: &mut Notes) {
    let message = format!("`{code}` is not the status of an answer");
    notes.warn(node, "respond", "status", &message, "it is 200, as before");
}

fn header_map(headers: &[(String, String)]) -> Map {
    let mut map = Map::new();
    for (name, value) in headers {
        // The last of several values counted.
        map.entries.retain(|entry| !entry.key.eq_ignore_ascii_case(name));
        map.add_text(name, value);
    }
    map
}

/// The headers of a hook: `[{"name": …, "value": …}]`.
fn response_headers(
    hook: &Hook<'_>,
    notes: &mut Notes,
    diagnostics: &mut Diagnostics,
) -> Vec<(String, String)> {
    let mut headers = Vec::new();
    for item in hook.items(Property::ResponseHeaders, diagnostics) {
        let mut of = |name: &str| {
            member(item, name)
                .and_then(|node| text(node, diagnostics))
                .map(|text| text.text)
        };
        let (name, value) = (of("name").unwrap_or_default(), of("value").unwrap_or_default());
        let is_valid = name.parse::<http::HeaderName>().is_ok() && value.parse::<http::HeaderValue>().is_ok();
        if !is_valid || FRAMING.contains(&name.to_ascii_lowercase().as_str()) {
            let message = format!("`{name}` with this value cannot be a header of an answer");
            notes.changed(item, "respond", "header", &message, "it is left out");
        } else {
            headers.push((name, value));
        }
    }
    headers
}
