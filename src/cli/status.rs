//! `hookyard status`: how the daemon is, asked by its socket.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::place::Place;
use super::{Format, NO, UNKNOWN, YES, complain, fail, say};
use crate::admin::Status;
use crate::cli::table::printable;
use crate::config::{self, Socket};

/// How long the daemon may take to answer; it is itself bounded by less.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);
/// The largest answer that is read, in bytes.
const MAX_ANSWER: u64 = 16 << 20;
/// Where the daemon of the service has its socket.
const SERVICE: &str = "/run/hookyard/admin.sock";

/// Where it is where neither the rules nor systemd say otherwise.
const USUAL: &str = "hookyard.db.sock";

/// The arguments of `hookyard status`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    place: Place,
    /// The daemon's socket [default: `admin.socket` of the rules, else `/run/hookyard/admin.sock`, else beside the store].
    #[arg(long, value_name = "SOCKET")]
    socket: Option<PathBuf>,
    /// Say only what is wrong; exit code 1 if anything is.
    #[arg(long)]
    check: bool,
    /// How the result is printed.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Runs it.
pub fn run(arguments: &Arguments) -> u8 {
    let sockets = match sockets(arguments) {
        Ok(sockets) => sockets,
        Err(code) => return code,
    };
    let mut errors = Vec::new();
    for socket in &sockets {
        match ask(socket) {
            Ok(status) => return tell(&status, arguments),
            Err(error) => errors.push(format!("no daemon answers at `{}`: {error}", socket.display())),
        }
    }
    let code = fail(&errors.join("\n"));
    complain("name the socket with `--socket SOCKET`, or the rules with `--rules RULES`");
    code
}

/// Where the socket may be, the likeliest first. Also by rules that cannot be read, for that is when one asks.
fn sockets(arguments: &Arguments) -> Result<Vec<PathBuf>, u8> {
    if let Some(socket) = &arguments.socket {
        return Ok(vec![socket.clone()]);
    }
    let place = &arguments.place;
    let mut sockets = Vec::new();
    if let Some(rules) = place.rules() {
        match config::socket_of(&rules) {
            Socket::At(socket) => sockets.push(socket),
            Socket::None if place.is_named() => {
                return Err(fail(
                    "the rules say `admin: {socket: none}`: the daemon has no socket",
                ));
            }
            Socket::Unreadable => {
                complain(
                    "the rules file cannot be read, and does not say where the socket is: it is looked for in the usual places",
                );
                sockets.extend(rules.parent().map(|folder| folder.join(USUAL)));
            }
            Socket::None | Socket::NotSaid => {}
        }
        if let Ok(store) = config::store_of(&rules) {
            sockets.push(config::socket_beside(&store));
        }
    }
    sockets.extend(place.named_store().map(config::socket_beside));
    sockets.push(PathBuf::from(SERVICE));
    sockets.dedup();
    Ok(sockets)
}

/// Asks a daemon.
fn ask(socket: &Path) -> io::Result<Status> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(ANSWER_LIMIT))?;
    stream.set_write_timeout(Some(ANSWER_LIMIT))?;
    // HTTP/1.0: the answer ends with the connection, and is not sent in chunks (RFC 1945).
    stream.write_all(b"GET /status HTTP/1.0\r\nHost: hookyard\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER).read_to_end(&mut answer)?;
    let end = memchr::memmem::find(&answer, b"\r\n\r\n");
    let body = end.and_then(|end| answer.get(end + 4..)).unwrap_or_default();
    serde_json::from_slice(body)
        .map_err(|error| io::Error::other(format!("its answer is not understood: {error}")))
}

/// Prints it.
fn tell(status: &Status, arguments: &Arguments) -> u8 {
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
        Format::Text if arguments.check && status.problems.is_empty() => say("well", code),
        Format::Text if arguments.check => say(&printable(&status.problems.join("\n")), code),
        Format::Text => say(&printable(&text(status)), code),
    }
}

/// For people.
fn text(status: &Status) -> String {
    let mut lines = vec![format!(
        "hookyard {}, process {}, up {}",
        status.version,
        status.pid,
        span(status.uptime)
    )];
    lines.extend(
        status
            .problems
            .iter()
            .map(|problem| format!("problem: {problem}")),
    );
    let rules = &status.rules;
    let sha256 = rules.sha256.get(..12).unwrap_or_default();
    lines.push(format!(
        "rules: {}, generation {}, {} rules on {} endpoints, sha256 {sha256}",
        rules.path, rules.generation, rules.count, rules.endpoints
    ));
    if let Some(reload) = &status.last_reload {
        let became = if reload.in_force { "in force" } else { "refused" };
        lines.push(format!("last reload: {}, {became}", reload.at));
        lines.extend(reload.findings.iter().map(|finding| format!("  {finding}")));
    }
    lines.push(format!("listening: {}", status.listening.join(", ")));
    if let Some(certificate) = &status.certificate {
        let until = &certificate.until;
        let valid = until
            .as_ref()
            .map_or_else(|| "none yet".to_owned(), |until| format!("valid until {until}"));
        lines.push(format!("certificate: {valid}"));
        let renewal = certificate.renewal.iter();
        lines.extend(renewal.map(|at| format!("  the authority is asked at {at}")));
        let failure = certificate.failure.iter();
        lines.extend(failure.map(|why| format!("  it was asked in vain: {why}")));
    }
    if let Some(deliveries) = &status.deliveries {
        let overdue = if deliveries.overdue > 1.0 {
            format!("; the first has been due for {:.0} s", deliveries.overdue)
        } else {
            String::new()
        };
        lines.push(format!(
            "deliveries: {} waiting, {} running, {} ended, {} dead letters{overdue}",
            deliveries.waiting, deliveries.running, deliveries.ended, deliveries.dead
        ));
    }
    if let Some(store) = &status.store {
        let of = store
            .max_bytes
            .map_or_else(String::new, |bytes| format!(" of {}", size(bytes)));
        lines.push(format!(
            "store: {}, {}{of}, {} events, {} nonces, {} refusals",
            store.path,
            size(store.bytes),
            store.events,
            store.nonces,
            store.refusals
        ));
    }
    if status.log_lines_dropped > 0 {
        lines.push(format!(
            "log: {} lines were lost since the start",
            status.log_lines_dropped
        ));
    }
    lines.push(format!(
        "memory: {}; bodies in flight: {} of {}",
        size(status.resident_bytes),
        size(status.inflight.bytes),
        size(status.inflight.max_bytes)
    ));
    for (rule, at) in &status.last_arrivals {
        lines.push(format!("last arrival for {rule}: {at}"));
    }
    lines.join("\n")
}

/// A length of time in its two largest units.
fn span(seconds: u64) -> String {
    let text = humantime::format_duration(Duration::from_secs(seconds)).to_string();
    text.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

fn size(bytes: u64) -> String {
    bytesize::ByteSize(bytes).to_string()
}
