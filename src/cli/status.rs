//! `hookyard status`: the state of the daemon, asked through its admin socket.
//!
//! Finds the socket from the arguments, and rejects the answer of another daemon than the named
//! one.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::location::{StoreLocation, is_at, is_same};
use super::{Format, NO, UNKNOWN, YES, ask, complain, fail, say, status_views};
use crate::base::count::counted;
use crate::base::diagnostic::{Diagnostic, Severity};
use crate::base::escape;
use crate::base::units::{HumanDuration, Size};
use crate::config::{self, AdminSocket, DeclaredPaths, DeclaredStore, Layout};
use crate::status::{CertificateStatus, Deliveries, Status, StoreStatus};
use crate::store::Place;

/// Hint for naming another daemon, for commands with `--rules`.
pub const BY_RULES: &str = "name the daemon's rules file with `--rules RULES`";

#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    store_location: StoreLocation,
    /// The daemon's socket [default: `admin.socket` of the rules file, else `admin.sock` in
    /// `$RUNTIME_DIRECTORY`, else in `/run/hookyard` for rules in `/etc/hookyard`, else beside the
    /// store].
    #[arg(long, value_name = "SOCKET")]
    socket: Option<PathBuf>,
    /// Show problems only. Exit code 1 if there are any.
    #[arg(long)]
    check: bool,
    /// Show the queue: what runs, what each waiting delivery waits for, groups and targets.
    #[arg(long, conflicts_with = "check")]
    queue: bool,
    /// Show the figures of the last 24 hours, in slots of 15 minutes.
    #[arg(long, conflicts_with_all = ["check", "queue"])]
    day: bool,
    /// Output format.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub fn run(arguments: &Arguments) -> u8 {
    let store_location = &arguments.store_location;
    let socket = match &arguments.socket {
        Some(socket) => Ok(socket.clone()),
        None => socket_of(
            store_location,
            "name the rules with `--rules RULES`, or the socket with `--socket SOCKET`",
        ),
    };
    let socket = match socket {
        Ok(socket) => socket,
        Err(code) => return code,
    };
    let shown = socket.display();
    let status = match request_status(&socket) {
        Ok(status) => status,
        Err(error) => {
            let code = fail(&format!("no daemon answers at `{shown}`: {error}"));
            complain("name the socket with `--socket SOCKET`, or the rules with `--rules RULES`");
            return code;
        }
    };
    if let Some(other) = identity_mismatch(store_location, &status) {
        return fail(&format!("the daemon at `{shown}` {other}"));
    }
    if arguments.queue {
        return status_views::queue(&socket, arguments.format);
    }
    if arguments.day {
        return status_views::day(&socket, arguments.format);
    }
    print_status(&status, arguments)
}

/// Path of the daemon's socket. If it is unknown, reports why, with `hint` on how to name it, and
/// returns the exit code.
pub fn socket_of(store_location: &StoreLocation, hint: &str) -> Result<PathBuf, u8> {
    let layout = Layout::of_process();
    let Some(rules) = store_location.rules_of_daemon() else {
        let named = store_location.named_place().and_then(Result::ok);
        if let Some(store) = named.as_ref().and_then(Place::file) {
            return Ok(layout.socket_of_store(store));
        }
        let code = fail("there is no rules file that says which daemon is meant");
        complain(hint);
        return Err(code);
    };
    // A broken rules file is a frequent reason to ask. The daemon continues with its previous
    // rules.
    let declared = config::declared_paths(&rules).unwrap_or_else(|diagnostics| {
        let first = diagnostics
            .iter()
            .find(|diagnostic| diagnostic.severity == Severity::Error);
        complain(&format!(
            "the rules do not say where the socket is, and the usual place is asked: {}",
            first.map(Diagnostic::line).unwrap_or_default()
        ));
        DeclaredPaths {
            store: DeclaredStore::NotSaid,
            socket: AdminSocket::NotSaid,
            page_url: None,
        }
    });
    let store = layout.store_file(&rules, &declared.store);
    layout
        .socket(&rules, &declared.socket, store.as_deref())
        .ok_or_else(|| fail("the rules say `admin: {socket: none}`: the daemon has no socket"))
}

/// Returns the difference if the answer comes from another daemon than the named one. Only named
/// files are compared: the answer shows which rules and store the daemon uses.
pub fn identity_mismatch(store_location: &StoreLocation, status: &Status) -> Option<String> {
    let rules = Path::new(&status.rules.path);
    if let Some(named) = store_location.named_rules()
        && !is_same(named, rules)
    {
        return Some(format!("serves `{}`, not `{}`", rules.display(), named.display()));
    }
    let store = &status.store.as_ref()?.path;
    let named = store_location.named_place()?.ok();
    let named = named.filter(|named| !is_at(named, store))?;
    Some(format!("has the store `{store}`, not `{named}`"))
}

/// Returns the store of the daemon at a socket if it is another one than `store`.
pub fn other_store(socket: &Path, store: &Place) -> io::Result<Option<String>> {
    let used = request_status(socket)?.store.map(|used| used.path);
    Ok(used.filter(|used| !is_at(store, used)))
}

/// Requests the status of a daemon.
pub fn request_status(socket: &Path) -> io::Result<Status> {
    let (_, body) = ask::exchange(socket, "GET /status", b"")?;
    serde_json::from_slice(&body)
        .map_err(|error| io::Error::other(format!("its answer is not understood: {error}")))
}

/// Prints the status. Returns the exit code.
fn print_status(status: &Status, arguments: &Arguments) -> u8 {
    let code = if arguments.check && !status.problems.is_empty() {
        NO
    } else {
        YES
    };
    match arguments.format {
        Format::Json => match serde_json::to_string(status) {
            Ok(json) => say(&json, code),
            Err(error) => {
                complain(&error.to_string());
                UNKNOWN
            }
        },
        Format::Text if arguments.check && status.problems.is_empty() => say("ok", code),
        Format::Text if arguments.check => say(&escaped_lines(&status.problems), code),
        Format::Text => say(&escaped_lines(&lines(status)), code),
    }
}

/// Joins texts, each escaped onto one line, so that none can imitate another.
fn escaped_lines(texts: &[String]) -> String {
    let lines: Vec<_> = texts.iter().map(|text| escape::line(text)).collect();
    lines.join("\n")
}

/// Formats the status as text, line by line.
fn lines(status: &Status) -> Vec<String> {
    let uptime = HumanDuration(Duration::from_secs(status.uptime)).rounded();
    let mut lines = vec![format!(
        "hookyard {}, process {}, up {uptime}",
        status.version, status.pid
    )];
    let problems = status.problems.iter();
    lines.extend(problems.map(|problem| format!("problem: {problem}")));
    rules_lines(status, &mut lines);
    lines.push(format!("listening: {}", status.listening.join(", ")));
    if let Some(certificate) = &status.certificate {
        certificate_lines(certificate, &mut lines);
    }
    lines.extend(status.deliveries.as_ref().map(deliveries_line));
    lines.extend(status.store.as_ref().map(store_line));
    let nodes = status.nodes.iter();
    lines.extend(nodes.map(|node| format!("node {}: {}", node.name, node.text())));
    if status.log_lines_dropped > 0 {
        lines.push(format!(
            "log: {} lines were lost since the start",
            status.log_lines_dropped
        ));
    }
    lines.push(format!(
        "memory: {}; bodies in flight: {} of {}",
        Size(status.resident_bytes),
        Size(status.inflight.bytes),
        Size(status.inflight.max_bytes)
    ));
    for paused in &status.paused {
        lines.push(format!("{} {}: {}", paused.kind, paused.name, paused.text()));
    }
    for expected in &status.expectations {
        let (kind, name) = match &expected.rule {
            Some(rule) => ("rule", rule),
            None => ("endpoint", &expected.endpoint),
        };
        lines.push(format!("{kind} {name}: {}", expected.text()));
    }
    for (rule, at) in &status.last_arrivals {
        lines.push(format!("last arrival for {rule}: {at}"));
    }
    lines
}

/// Adds the rules in force and the last reload.
fn rules_lines(status: &Status, lines: &mut Vec<String>) {
    let rules = &status.rules;
    let sha256 = rules.sha256.get(..12).unwrap_or_default();
    lines.push(format!(
        "rules: {}, generation {}, {} on {}, sha256 {sha256}",
        rules.path,
        rules.generation,
        counted(rules.count, "rule"),
        counted(rules.endpoints, "endpoint")
    ));
    if let Some(reload) = &status.last_reload {
        let outcome = if reload.in_force { "in force" } else { "refused" };
        lines.push(format!("last reload: {}, {outcome}", reload.at));
        let diagnostics = reload.diagnostics.iter();
        lines.extend(diagnostics.map(|diagnostic| format!("  {diagnostic}")));
    }
}

fn certificate_lines(certificate: &CertificateStatus, lines: &mut Vec<String>) {
    let validity = match &certificate.until {
        Some(until) => format!("valid until {until}"),
        None => "none yet".to_owned(),
    };
    lines.push(format!("certificate: {validity}"));
    let renewal = certificate.renewal.iter();
    lines.extend(renewal.map(|at| format!("  the authority is asked at {at}")));
    let failure = certificate.failure.iter();
    lines.extend(failure.map(|why| format!("  last attempt failed: {why}")));
}

fn deliveries_line(deliveries: &Deliveries) -> String {
    let overdue = if deliveries.overdue > 1.0 {
        format!("; the first has been due for {:.0} s", deliveries.overdue)
    } else {
        String::new()
    };
    format!(
        "deliveries: {} waiting, {} running, {} ended, {} dead letters{overdue}",
        deliveries.waiting, deliveries.running, deliveries.ended, deliveries.dead
    )
}

fn store_line(store: &StoreStatus) -> String {
    let unrecorded = match store.unrecorded {
        0 => String::new(),
        number => format!(" ({number} left out)"),
    };
    let max = store.max_bytes.map(|bytes| format!(" of {}", Size(bytes)));
    let server = store.server.iter().map(|server| format!(", {server}"));
    format!(
        "store: {}{}, {}{}, {}, {}, {} and {} in the rings{unrecorded}",
        store.path,
        server.collect::<String>(),
        Size(store.bytes),
        max.unwrap_or_default(),
        counted(store.events, "event"),
        counted(store.dedup_keys, "dedup key"),
        counted(store.ignored, "ignored arrival"),
        counted(store.refused, "refused one"),
    )
}
