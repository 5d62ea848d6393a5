//! `hookyard events follow`: what the commands of a delivery print, while they run.
//!
//! The running daemon sends the output. If nothing runs, the output of the last attempt is read from
//! the store. Output goes to stdout and stderr as the command wrote it; all else goes to stderr.

use std::io::{self, BufRead, BufReader, IsTerminal, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::{find, look};
use crate::base::escape;
use crate::cli::location::{StoreLocation, unusable};
use crate::cli::{Format, NO, UNKNOWN, YES, complain, fail, poll, status};
use crate::history::DeliveryStatus;
use crate::store::{AttemptRecord, DeliveryId, ListedDelivery, Named, Place};

/// Maximum silence of the daemon. It sends a comment every 15 s.
const SILENCE: Duration = Duration::from_mins(1);
/// Pause before the next connection.
const PAUSE: Duration = Duration::from_millis(500);
/// Maximum wait for a daemon that has ended the stream, such as by a restart.
const ABSENCE: Duration = Duration::from_secs(15);

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// A delivery, or an event: then its deliveries, one after another. A unique prefix of the id is
    /// enough.
    id: String,
    /// Output format. `json` prints one object a line.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// An event of the stream.
#[derive(Default)]
struct Event {
    name: String,
    data: Value,
}

pub fn run(place: &Place, location: &StoreLocation, arguments: &Arguments) -> Result<u8, u8> {
    let history = look(place)?;
    let (event, only) = match find(place, &history, &arguments.id)? {
        Named::Event(event) => (event, None),
        Named::Delivery { id, event } => (event, Some(id)),
    };
    let entries = history.of_event(event).map_err(|error| unusable(place, &error))?;
    let meant = entries
        .into_iter()
        .filter(|entry| only.is_none_or(|only| only == entry.delivery.id));
    let mut code = None;
    for entry in meant {
        let done = follow(place, location, arguments.format, &entry)?;
        code = Some(code.unwrap_or(YES).max(done));
    }
    code.ok_or_else(|| {
        complain("there is no delivery to follow");
        NO
    })
}

/// Follows one delivery to its end. Returns the exit code.
fn follow(place: &Place, location: &StoreLocation, format: Format, entry: &ListedDelivery) -> Result<u8, u8> {
    let id = entry.delivery.id;
    let attempts = look(place)?
        .attempts(id)
        .map_err(|error| unusable(place, &error))?;
    let status = DeliveryStatus::of(entry);
    if status != DeliveryStatus::Waiting || entry.begun_at.is_none() {
        let made = |attempt: &&AttemptRecord| !matches!(attempt.outcome.as_str(), "dropped" | "replayed");
        if let Some(last) = attempts.iter().rev().find(made) {
            stored(format, last)?;
        }
    }
    if status != DeliveryStatus::Waiting {
        let is = json!({"state": status.name(), "reason": entry.delivery.state.reason()});
        return show(
            format,
            &Event {
                name: "end".to_owned(),
                data: is,
            },
        );
    }
    let socket = status::socket_of(location, status::BY_RULES)?;
    let absent = |error: io::Error| {
        let shown = socket.display();
        fail(&format!("no daemon answers at `{shown}`: {error}"))
    };
    if let Some(other) = status::other_store(&socket, place).map_err(absent)? {
        let shown = socket.display();
        return Err(fail(&format!("the daemon at `{shown}` has the store `{other}`")));
    }
    let mut place = String::new();
    loop {
        // A daemon that restarts is away for a moment.
        let stream = poll::until(ABSENCE, |is_over| match connect(&socket, id, &place) {
            Err(_) if !is_over => None,
            result => Some(result),
        });
        if let Some(code) = read(format, stream.map_err(absent)?, &mut place)? {
            return Ok(code);
        }
        std::thread::sleep(PAUSE);
    }
}

/// Opens the stream of a delivery after the last place.
fn connect(socket: &Path, id: DeliveryId, place: &str) -> io::Result<BufReader<UnixStream>> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(SILENCE))?;
    let head = format!(
        "GET /api/v1/deliveries/{id}/output HTTP/1.0\r\nHost: localhost\r\nLast-Event-ID: {place}\r\n\r\n"
    );
    stream.write_all(head.as_bytes())?;
    let mut reader = BufReader::new(stream);
    let mut status = String::new();
    reader.read_line(&mut status)?;
    let code = status.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut line = status;
    while !line.trim_end().is_empty() {
        line.clear();
        reader.read_line(&mut line)?;
    }
    if code != "200" {
        let mut why = String::new();
        reader.read_line(&mut why)?;
        return Err(io::Error::other(format!("{code} {}", why.trim_end())));
    }
    Ok(reader)
}

/// Prints events until the delivery ends (its exit code) or the stream does (`None`).
fn read(format: Format, reader: impl BufRead, place: &mut String) -> Result<Option<u8>, u8> {
    let mut event = Event::default();
    let mut id = None;
    for line in reader.lines() {
        let Ok(line) = line else { return Ok(None) };
        if let Some(name) = line.strip_prefix("event: ") {
            name.clone_into(&mut event.name);
        } else if let Some(data) = line.strip_prefix("data: ") {
            event.data = serde_json::from_str(data).unwrap_or_default();
        } else if let Some(at) = line.strip_prefix("id: ") {
            id = Some(at.to_owned());
        } else if line.is_empty() && !event.name.is_empty() {
            let code = show(format, &event)?;
            if event.name == "end" {
                return Ok(Some(code));
            }
            if let Some(at) = id.take() {
                *place = at;
            }
            event = Event::default();
        }
    }
    Ok(None)
}

/// Prints the stored output of an attempt.
fn stored(format: Format, attempt: &AttemptRecord) -> Result<(), u8> {
    for (stream, bytes) in [("stdout", &attempt.stdout), ("stderr", &attempt.stderr)] {
        if !bytes.is_empty() {
            let data = json!({"stream": stream, "text": String::from_utf8_lossy(bytes)});
            show(
                format,
                &Event {
                    name: "output".to_owned(),
                    data,
                },
            )?;
        }
    }
    let data = json!({"outcome": attempt.outcome, "detail": attempt.detail});
    show(
        format,
        &Event {
            name: "attempt_end".to_owned(),
            data,
        },
    )?;
    Ok(())
}

/// Prints an event. Returns the exit code that it means if it is the last one.
fn show(format: Format, event: &Event) -> Result<u8, u8> {
    let data = &event.data;
    let text = |name: &str| data.get(name).and_then(Value::as_str).unwrap_or_default();
    let written = if format == Format::Json {
        let mut object = json!({"event": event.name});
        if let (Some(object), Some(data)) = (object.as_object_mut(), data.as_object()) {
            object.extend(data.clone());
        }
        let line = format!("{object}\n");
        write_out(&mut io::stdout().lock(), &escape::text(&line))
    } else if event.name == "output" {
        let (is_stderr, text) = (text("stream") == "stderr", text("text"));
        if is_stderr {
            write_out(&mut io::stderr().lock(), &shown(text, io::stderr().is_terminal()))
        } else {
            write_out(&mut io::stdout().lock(), &shown(text, io::stdout().is_terminal()))
        }
    } else {
        complain(&format!("==> {}", described(event)));
        Ok(())
    };
    match written {
        Ok(()) if text("state") == "done" => Ok(YES),
        Ok(()) => Ok(NO),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(YES),
        Err(error) => {
            complain(&format!("error: cannot write the output: {error}"));
            Err(UNKNOWN)
        }
    }
}

/// Output as it is printed. On a terminal, control characters of a stranger's data are escaped.
fn shown(text: &str, is_terminal: bool) -> std::borrow::Cow<'_, str> {
    if is_terminal {
        escape::text(text)
    } else {
        text.into()
    }
}

fn write_out(to: &mut impl Write, text: &str) -> io::Result<()> {
    to.write_all(text.as_bytes())?;
    to.flush()
}

/// An event other than output, on one line.
fn described(event: &Event) -> String {
    let data = &event.data;
    let text = |name: &str| data.get(name).and_then(Value::as_str).unwrap_or_default();
    let number = |name: &str| data.get(name).and_then(Value::as_u64).unwrap_or_default();
    let line = match event.name.as_str() {
        "attempt" => format!(
            "{}: action {} ({}), attempt {}",
            text("rule"),
            number("action"),
            text("kind"),
            number("attempt")
        ),
        "attempt_end" if data.get("outcome").is_none_or(Value::is_null) => "the attempt has ended".to_owned(),
        "attempt_end" => format!("{}, {}", text("outcome"), text("detail")),
        "left_out" if data.get("bytes").is_none_or(Value::is_null) => "some output left out".to_owned(),
        "left_out" => format!("{} bytes left out", number("bytes")),
        _ => [text("state"), text("reason"), text("due")]
            .into_iter()
            .filter(|part| !part.is_empty())
            .collect::<Vec<_>>()
            .join(", "),
    };
    escape::line(&line).into_owned()
}
