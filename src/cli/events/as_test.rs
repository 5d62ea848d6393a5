//! `hookyard events capture --as-test`: an arrival as a test of the rules, with what became of it.
//!
//! The signature is left out, because a test is signed with its own secrets.

use std::path::Path;

use data_encoding::BASE64;
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING};

use super::capture::{Arguments, write};
use super::{find, look};
use crate::base::escape;
use crate::cli::location::unusable;
use crate::cli::{NO, YES, complain, fail};
use crate::event::{ArrivalOutcome, Received};
use crate::history::{event_of, headers};
use crate::store::StoreError;
use crate::trial::yaml;

/// Headers of the connection, and those that follow from the body.
const LEFT_OUT: [http::HeaderName; 4] = [CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING];
/// Value in place of a credential in a record.
const REDACTED: &str = "[redacted]";

pub fn run(path: &Path, arguments: &Arguments) -> Result<u8, u8> {
    let test = test(path, &arguments.id)?;
    write(arguments.output.as_deref(), escape::text(&test).as_bytes()).map_err(|message| fail(&message))?;
    Ok(YES)
}

/// Formats the arrival with this id prefix as an item of `tests`. The error is the exit code.
fn test(path: &Path, id: &str) -> Result<String, u8> {
    let failed = |error: StoreError| unusable(path, &error);
    let history = look(path)?;
    let id = event_of(find(path, &history, id)?);
    if let Some(stored) = history.event(id).map_err(failed)? {
        // An event that an operator fired or replayed has no answer to the sender.
        let arrived = stored.fired_by.is_none() && !stored.is_replay;
        let status = stored.status.filter(|_| arrived);
        let matched = stored.decision.rules.iter().filter(|one| one.matched);
        let rules: Vec<&str> = matched.map(|one| &*one.rule).collect();
        let expect = accepted(&rules, status);
        return Ok(item(&stored.received, true, &expect));
    }
    let Some(record) = history.arrival(id).map_err(failed)? else {
        complain(&format!("the arrival `{id}` is gone"));
        return Err(NO);
    };
    record.check_whole().map_err(|why| fail(&why))?;
    let outcome = record.outcome;
    let matched = record.decision.rules.iter().filter(|one| one.matched);
    let rules: Vec<&str> = matched.map(|one| &*one.rule).collect();
    let (is_signed, expect) = match outcome {
        // A test begins with an empty store.
        ArrivalOutcome::Duplicate => (true, accepted(&rules, None)),
        ArrivalOutcome::Ignored | ArrivalOutcome::Unreadable | ArrivalOutcome::Handshake => {
            let status = format!("answer: {{status: {}}}", record.status);
            (true, vec![status, format!("outcome: {}", outcome.name())])
        }
        _ => (false, vec!["outcome: refused".to_owned()]),
    };
    Ok(item(&record.received, is_signed, &expect))
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
