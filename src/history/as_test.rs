//! An arrival as a test of the rules, with what became of it.
//!
//! The signature is left out, because a test is signed with its own secrets.

use data_encoding::BASE64;
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING};

use super::request::headers;
use super::stored::StoredArrival;
use crate::event::{ArrivalOutcome, Received};
use crate::trial::yaml;

/// Headers of the connection, and those that follow from the body.
const LEFT_OUT: [http::HeaderName; 4] = [CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING];
/// Value in place of a credential in a record.
const REDACTED: &str = "[redacted]";

/// Formats an arrival as an item of `tests`. The error is the reason why its body cannot be read.
pub fn as_test(stored: &StoredArrival) -> Result<String, String> {
    stored.whole.clone()?;
    let matched = stored.decision.rules.iter().filter(|one| one.matched);
    let rules: Vec<&str> = matched.map(|one| &*one.rule).collect();
    let is_event = stored.is_replay || stored.fired_by.is_some();
    let (is_signed, expect) = match (stored.outcome, stored.status) {
        // An event that an operator fired or replayed has no answer to the sender.
        _ if is_event => (true, accepted(&rules, None)),
        (ArrivalOutcome::Accepted, status) => (true, accepted(&rules, status)),
        // A test begins with an empty store.
        (ArrivalOutcome::Duplicate, _) => (true, accepted(&rules, None)),
        (
            outcome @ (ArrivalOutcome::Ignored | ArrivalOutcome::Unreadable | ArrivalOutcome::Handshake),
            Some(status),
        ) => {
            let status = format!("answer: {{status: {status}}}");
            (true, vec![status, format!("outcome: {}", outcome.name())])
        }
        _ => (false, vec!["outcome: refused".to_owned()]),
    };
    Ok(item(&stored.received, is_signed, &expect))
}

/// Formats a request that the rules named so accept as an item of `tests`. Without rules, it is
/// ignored.
pub fn test_of(received: &Received, rules: &[&str]) -> String {
    let expect = if rules.is_empty() {
        vec!["outcome: ignored".to_owned()]
    } else {
        accepted(rules, None)
    };
    item(received, true, &expect)
}

/// Expectations of an accepted event.
fn accepted(rules: &[&str], status: Option<u16>) -> Vec<String> {
    let answer = status.map(|status| format!("answer: {{status: {status}, outcome: accepted}}"));
    let rules = yaml::list(rules.iter().map(|rule| yaml::text(rule)));
    answer.into_iter().chain([format!("rules: {rules}")]).collect()
}

/// Formats an item of `tests`.
fn item(received: &Received, is_signed: bool, expect: &[String]) -> String {
    let query = if received.query.is_empty() { "" } else { "?" };
    let target = format!("{}{query}{}", received.path, received.query);
    let mut lines = vec![
        format!("  - name: arrival {}", received.id),
        format!("    now: {}", received.at),
        "    request:".to_owned(),
        format!("      endpoint: {}", yaml::text(&target)),
        format!("      method: {}", received.method),
    ];
    if !is_signed {
        lines.push("      as: none".to_owned());
    }
    let client = received.client.map(|client| client.to_canonical().to_string());
    lines.extend(client.map(|client| format!("      client: {}", yaml::text(&client))));
    let known = headers(received).filter_map(|(name, value)| {
        let value = value.as_text()?.to_owned();
        let is_kept = value != REDACTED && LEFT_OUT.iter().all(|other| other != name);
        is_kept.then(|| (name.to_owned(), yaml::text(&value)))
    });
    lines.push("      headers:".to_owned());
    let known: Vec<String> = known
        .map(|(name, value)| format!("        {name}: {value}"))
        .collect();
    if known.is_empty() {
        lines.pop();
    }
    lines.extend(known);
    lines.push(match std::str::from_utf8(&received.body) {
        Ok(text) => format!("      body: {}", yaml::text(text)),
        Err(_) => format!("      base64: {}", BASE64.encode(&received.body)),
    });
    lines.push("    expect:".to_owned());
    lines.extend(expect.iter().map(|line| format!("      {line}")));
    lines.join("\n") + "\n"
}
