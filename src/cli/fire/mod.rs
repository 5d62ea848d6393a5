//! `hookyard fire`: a rule that the operator runs by hand, on the running daemon.
//!
//! The daemon stores the event before it answers. `wait.rs` follows its delivery to the end.

mod wait;

use std::path::{Path, PathBuf};

use data_encoding::BASE64;
use serde_json::{Value, json};

use self::wait::Ended;
use super::ask::{ask, segment};
use super::location::{StoreLocation, is_at};
use super::{Format, NO, UNKNOWN, YES, body, complain, fail, header, pair, say, status};
use crate::admin::{FireAnswer, FireRequest};
use crate::base::escape;
use crate::base::units::HumanDuration;
use crate::config;
use crate::store::Place;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The rule to run.
    rule: String,
    #[command(flatten)]
    store_location: StoreLocation,
    /// A file with a JSON body. `-` reads standard input [default: the body is `{}`].
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// A file with a body of any kind. Its `Content-Type` is a `--header`. `-` reads standard input.
    #[arg(long, value_name = "FILE", conflicts_with = "json")]
    body: Option<PathBuf>,
    /// The method [default: the first one of the endpoint].
    #[arg(long, value_parser = super::method)]
    method: Option<http::Method>,
    /// A header of the request, `Name: value`. Repeatable.
    #[arg(long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// A parameter of the query. Repeatable.
    #[arg(long = "query", value_name = "NAME=VALUE", value_parser = pair)]
    query: Vec<(String, String)>,
    /// The value of a parameter of the endpoint's path. Repeatable.
    #[arg(long = "path", value_name = "NAME=VALUE", value_parser = pair)]
    path: Vec<(String, String)>,
    /// The event's name, put where the sender of the rule puts it.
    #[arg(long)]
    event: Option<String>,
    /// Run the rule although a condition does not hold.
    #[arg(long)]
    force: bool,
    /// Show what would run, and run nothing.
    #[arg(long, conflicts_with = "wait")]
    dry_run: bool,
    /// Wait for the end of the delivery, retries included, and print its attempts.
    #[arg(long)]
    wait: bool,
    /// Maximum wait.
    #[arg(long, value_name = "DURATION", default_value = "1h", requires = "wait")]
    timeout: String,
    /// Output format.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub fn run(arguments: &Arguments) -> u8 {
    fire(arguments).unwrap_or_else(|code| code)
}

fn fire(arguments: &Arguments) -> Result<u8, u8> {
    let timeout = HumanDuration::parse(&arguments.timeout).map_err(|message| fail(&message))?;
    let request = request(arguments).map_err(|message| fail(&message))?;
    let socket = status::socket_of(&arguments.store_location, status::BY_RULES)?;
    let store = store_of_daemon(&socket, &arguments.store_location)?;
    let answer: FireAnswer = ask(
        &socket,
        &format!("POST /api/v1/rules/{}/fire", segment(&request.rule)),
        &request,
    )
    .map_err(|error| fail(&error.describe(&socket, &format!("run `{}`", request.rule))))?;
    if let Some(why) = &answer.failed {
        return Err(fail(why));
    }
    if answer.refused.is_some() || !arguments.wait {
        tell(arguments, &answer, None);
        return Ok(if answer.refused.is_some() { NO } else { YES });
    }
    if arguments.format == Format::Text {
        tell(arguments, &answer, None);
    }
    let ended = wait::for_end(&store, &answer, timeout.0)?;
    if arguments.format == Format::Text {
        say(&ended.lines().join("\n"), YES);
    } else {
        tell(arguments, &answer, Some(&ended));
    }
    Ok(match ended.is_done() {
        Some(true) => YES,
        Some(false) => NO,
        None => {
            let limit = &arguments.timeout;
            complain(&format!("error: it has not ended within {limit}, and goes on"));
            UNKNOWN
        }
    })
}

/// Builds the request to the daemon.
fn request(arguments: &Arguments) -> Result<FireRequest, String> {
    let headers = arguments.headers.iter().map(|line| {
        let (name, value) = header(line)?;
        let value = value
            .to_str()
            .map_err(|_not_text| format!("the value of `{name}` is not ASCII"))?;
        Ok((name.to_string(), value.to_owned()))
    });
    let mut headers: Vec<(String, String)> = headers.collect::<Result<_, String>>()?;
    let body = match (&arguments.json, &arguments.body) {
        (Some(path), _) | (None, Some(path)) => body(Some(path))?,
        (None, None) => b"{}".to_vec(),
    };
    let has_type = headers.iter().any(|(name, _)| name == "content-type");
    if arguments.body.is_none() && !has_type {
        headers.push(("content-type".to_owned(), "application/json".to_owned()));
    }
    Ok(FireRequest {
        method: arguments.method.as_ref().map(ToString::to_string),
        rule: arguments.rule.clone(),
        event_name: arguments.event.clone(),
        headers,
        query: arguments.query.clone(),
        path: arguments.path.clone(),
        body: BASE64.encode(&body),
        text: None,
        force: arguments.force,
        dry_run: arguments.dry_run,
    })
}

/// Path of the store of the daemon that answers. If it is another daemon than the named one,
/// reports that and returns the exit code.
fn store_of_daemon(socket: &Path, store_location: &StoreLocation) -> Result<Place, u8> {
    let shown = socket.display();
    let status = status::request_status(socket).map_err(|error| {
        fail(&format!(
            "no daemon answers at `{shown}`: {error}; rules are run by the running daemon"
        ))
    })?;
    if let Some(other) = status::identity_mismatch(store_location, &status) {
        return Err(fail(&format!("the daemon at `{shown}` {other}")));
    }
    let shown = status.store.map(|store| store.path).unwrap_or_default();
    if !config::is_server(&shown) {
        return Ok(Place::File(shown.into()));
    }
    let place = store_location.store()?;
    if is_at(&place, &shown) {
        return Ok(place);
    }
    Err(fail(&format!(
        "the daemon has the store `{shown}`, not `{place}`"
    )))
}

/// Prints the daemon's answer.
fn tell(arguments: &Arguments, answer: &FireAnswer, ended: Option<&Ended>) {
    let text = match arguments.format {
        Format::Json => json!({
            "rule": arguments.rule,
            "dry_run": arguments.dry_run,
            "refused": answer.refused,
            "missed": answer.missed,
            "waits": answer.waits,
            "event": answer.event,
            "delivery": answer.delivery,
            "actions": arguments.dry_run.then_some(&answer.actions),
            "on_failure": arguments.dry_run.then_some(&answer.on_failure),
            "ended": ended.map_or(Value::Null, Ended::to_json),
        })
        .to_string(),
        Format::Text => {
            let lines = lines(&arguments.rule, answer);
            let lines: Vec<_> = lines.iter().map(|line| escape::line(line)).collect();
            lines.join("\n")
        }
    };
    say(&text, YES);
}

/// Formats the daemon's answer as text.
fn lines(rule: &str, answer: &FireAnswer) -> Vec<String> {
    if let Some(why) = &answer.refused {
        let mut lines = vec![format!("{rule} does not run: {why}")];
        if why != "it is not enabled" {
            lines.push("`--force` runs it all the same".to_owned());
        }
        return lines;
    }
    let mut lines = vec![match &answer.event {
        Some(event) => format!("{event} runs: {rule}"),
        None => format!("{rule} would run"),
    }];
    lines.extend(
        answer
            .missed
            .iter()
            .map(|missed| format!("  forced, although a condition does not hold: {missed}")),
    );
    lines.extend(answer.lines.iter().map(|line| format!("  {line}")));
    lines.extend(answer.waits.iter().map(|waits| format!("  {waits}")));
    lines
}
