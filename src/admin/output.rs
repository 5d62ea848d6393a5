//! Output of a delivery's commands while they run, as server-sent events.
//!
//! `GET /api/v1/deliveries/ID/output`. The `id` of each event says how far its reader has come: the
//! attempt, the position, and the bytes of a character that is not complete yet. A reader that
//! sends it as `Last-Event-ID` or `?after=` misses nothing and gets nothing twice.

use std::fmt;
use std::str::FromStr;

use data_encoding::HEXLOWER;
use http::{Method, Request, Response, StatusCode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::admin::answer::text;
use crate::admin::operation::Performing;
use crate::admin::stream::{AdminBody, EventSender, ServerEvent, Streams};

/// Maximum length of an id that a reader sends.
const MAX_ID: usize = 128;

/// Names of the output streams.
const STREAMS: [&str; 2] = ["stdout", "stderr"];

/// Data of an event `attempt`: an attempt at an action begins.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct AttemptBegins {
    /// Id of the delivery.
    pub delivery: String,
    /// Name of the rule.
    pub rule: String,
    /// Position of the action in the rule, from 1.
    pub action: usize,
    /// Kind of the action, such as `shell`.
    pub kind: String,
    /// Number of the attempt at that action, from 1.
    pub attempt: u32,
    /// Start of the attempt.
    pub started_at: String,
}

/// Data of an event `output`: bytes that the command has printed, as text.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct OutputText {
    /// `stdout` or `stderr`.
    pub stream: String,
    /// The text. Bytes that are not UTF-8 are replaced.
    pub text: String,
}

/// Data of an event `left_out`: the command printed more than is kept for a reader.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct LeftOut {
    /// Number of bytes; `null` if it is not known.
    pub bytes: Option<u64>,
}

/// Data of an event `attempt_end`: an attempt has ended.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct AttemptEnds {
    /// Outcome as in the record of the attempt, such as `done`. `null` if none is recorded.
    pub outcome: Option<String>,
    /// Detail as in the record, such as `exit 0`.
    pub detail: Option<String>,
}

/// Data of the events `waiting` and `end`: the state of the delivery. After `end` nothing follows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeliveryIs {
    /// `debounced`, `queued`, `due`, `running`, `done`, `superseded`, `dead`, or `deleted`.
    pub state: String,
    /// Reason of an end other than `done`.
    pub reason: Option<String>,
    /// Earliest time of the next attempt.
    pub due: Option<String>,
}

/// A place in the output of a delivery, written as the `id` of an event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OutputPlace {
    /// Key of the attempt.
    pub attempt: String,
    /// Bytes of both streams before the place.
    pub position: u64,
    /// True if the end of the attempt was sent.
    pub is_ended: bool,
    /// Begins of characters that are not complete yet, of stdout and stderr.
    pub partial: [Vec<u8>; 2],
}

/// A request for the output of a delivery.
#[derive(Debug)]
pub struct OutputRequest {
    pub delivery: String,
    pub after: Option<OutputPlace>,
}

/// Sends the events of a stream.
pub type OutputSource = Box<dyn FnOnce(EventSender) -> Performing<()> + Send>;

/// Finds deliveries, and returns the source of their events. `None`: there is no such delivery.
pub struct OutputService(Box<dyn Fn(OutputRequest) -> Performing<Option<OutputSource>> + Send + Sync>);

impl OutputService {
    pub fn new(
        find: impl Fn(OutputRequest) -> Performing<Option<OutputSource>> + Send + Sync + 'static,
    ) -> Self {
        Self(Box::new(find))
    }

    pub(super) async fn answer<B>(
        &self,
        delivery: &str,
        request: &Request<B>,
        streams: &Streams,
    ) -> Response<AdminBody> {
        let refuse = |status, words| text(status, words).map(AdminBody::from);
        if request.method() != Method::GET {
            return refuse(StatusCode::METHOD_NOT_ALLOWED, "method not allowed");
        }
        let Ok(after) = after(request) else {
            return refuse(
                StatusCode::BAD_REQUEST,
                "the id of the last event is not understood",
            );
        };
        let asked = OutputRequest {
            delivery: delivery.to_owned(),
            after,
        };
        match (self.0)(asked).await {
            Some(source) => streams.respond(source),
            None => refuse(StatusCode::NOT_FOUND, "no such delivery"),
        }
    }
}

/// The place from which a reader goes on: `Last-Event-ID`, which a browser sends by itself, or
/// `?after=`.
fn after<B>(request: &Request<B>) -> Result<Option<OutputPlace>, InvalidPlace> {
    let header = request.headers().get("last-event-id");
    if let Some(header) = header.filter(|header| !header.is_empty()) {
        return header
            .to_str()
            .map_err(|_not_text| InvalidPlace)?
            .parse()
            .map(Some);
    }
    let query = request.uri().query().unwrap_or_default();
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let after = pairs.find(|(name, _)| *name == "after").map(|(_, place)| place);
    after
        .filter(|place| !place.is_empty())
        .map(str::parse)
        .transpose()
}

impl fmt::Display for OutputPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.attempt, self.position)?;
        if self.is_ended {
            return f.write_str(".end");
        }
        let [stdout, stderr] = &self.partial;
        if stdout.is_empty() && stderr.is_empty() {
            return Ok(());
        }
        write!(f, ".{}-{}", HEXLOWER.encode(stdout), HEXLOWER.encode(stderr))
    }
}

/// Reason why a place cannot be read: it is none.
#[derive(Debug, PartialEq, Eq)]
pub struct InvalidPlace;

impl FromStr for OutputPlace {
    type Err = InvalidPlace;

    fn from_str(text: &str) -> Result<Self, InvalidPlace> {
        let mut parts = Some(text)
            .filter(|text| text.len() <= MAX_ID)
            .into_iter()
            .flat_map(|text| text.split('.'));
        let (Some(attempt), Some(position), rest, None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(InvalidPlace);
        };
        let is_key = |letter: u8| letter.is_ascii_digit() || letter == b'-';
        let mut place = Self {
            attempt: attempt.to_owned(),
            position: position.parse().map_err(|_not_a_number| InvalidPlace)?,
            is_ended: rest == Some("end"),
            partial: Default::default(),
        };
        if !attempt.bytes().all(is_key) {
            return Err(InvalidPlace);
        }
        if let Some(partial) = rest.filter(|_| !place.is_ended) {
            let (stdout, stderr) = partial.split_once('-').ok_or(InvalidPlace)?;
            let read = |hex: &str| {
                HEXLOWER
                    .decode(hex.as_bytes())
                    .ok()
                    .filter(|bytes| bytes.len() < 4)
            };
            let (Some(stdout), Some(stderr)) = (read(stdout), read(stderr)) else {
                return Err(InvalidPlace);
            };
            place.partial = [stdout, stderr];
        }
        Ok(place)
    }
}

impl OutputPlace {
    /// Moves on to `position` of an attempt.
    pub fn advance(&mut self, attempt: &str, position: u64, is_ended: bool) {
        if self.attempt != attempt {
            attempt.clone_into(&mut self.attempt);
            self.partial = Default::default();
        }
        (self.position, self.is_ended) = (position, is_ended);
    }

    /// The event for output that ends here. `None` if the bytes complete no character.
    pub fn output(&mut self, is_stderr: bool, bytes: &[u8]) -> Option<ServerEvent> {
        let stream = usize::from(is_stderr);
        let [stdout, stderr] = &mut self.partial;
        let partial = if is_stderr { stderr } else { stdout };
        partial.extend_from_slice(bytes);
        let rest = partial.split_off(complete(partial));
        let whole = std::mem::replace(partial, rest);
        (!whole.is_empty()).then(|| self.text_event(stream, &whole))
    }

    /// The events for what a command left incomplete at its end.
    pub fn rest(&mut self) -> Vec<ServerEvent> {
        let partial = std::mem::take(&mut self.partial);
        let rest = partial.iter().enumerate().filter(|(_, bytes)| !bytes.is_empty());
        rest.map(|(stream, bytes)| self.text_event(stream, bytes))
            .collect()
    }

    fn text_event(&self, stream: usize, bytes: &[u8]) -> ServerEvent {
        let data = OutputText {
            stream: STREAMS.get(stream).copied().unwrap_or_default().to_owned(),
            text: String::from_utf8_lossy(bytes).into_owned(),
        };
        self.event("output", &data)
    }

    /// An event at this place.
    pub fn event(&self, name: &str, data: &impl Serialize) -> ServerEvent {
        let id = (!self.attempt.is_empty()).then(|| self.to_string());
        ServerEvent::json(name, id.as_deref(), data)
    }
}

/// Length of the part of a text that ends with a complete character, or with bytes that can become
/// none.
fn complete(bytes: &[u8]) -> usize {
    let mut checked = 0;
    for chunk in bytes.utf8_chunks() {
        checked += chunk.valid().len();
        let end = checked + chunk.invalid().len();
        let may_go_on = end == bytes.len() && may_begin_a_character(chunk.invalid());
        if may_go_on {
            return checked;
        }
        checked = end;
    }
    checked
}

/// True if bytes that are not UTF-8 are the begin of a character.
fn may_begin_a_character(bytes: &[u8]) -> bool {
    let error = std::str::from_utf8(bytes).err();
    error.is_some_and(|error| error.valid_up_to() == 0 && error.error_len().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_character_is_never_cut_in_two() {
        for (bytes, expected) in [
            (&b"abc"[..], 3),
            (b"ab\xc3", 2),
            (b"ab\xc3\xa9", 4),
            (b"\xf0\x9f\x91", 0),
            (b"\xff", 1),
            (b"a\xc3b", 3),
            (b"\x80", 1),
            (b"\xc3\xff", 2),
            (b"", 0),
        ] {
            assert_eq!(complete(bytes), expected, "{bytes:?}");
        }
    }

    #[test]
    fn a_place_is_read_as_it_was_written() {
        let place = |position, is_ended, partial| OutputPlace {
            attempt: "1764520000123-0-1".into(),
            position,
            is_ended,
            partial,
        };
        for (place, text) in [
            (place(0, false, [vec![], vec![]]), "1764520000123-0-1.0"),
            (place(7, true, [vec![], vec![]]), "1764520000123-0-1.7.end"),
            (place(7, false, [vec![0xc3], vec![]]), "1764520000123-0-1.7.c3-"),
            (
                place(7, false, [vec![], vec![0xf0, 0x9f]]),
                "1764520000123-0-1.7.-f09f",
            ),
        ] {
            assert_eq!(place.to_string(), text);
            assert_eq!(text.parse(), Ok(place));
        }
        for text in [
            "",
            "1",
            "1.x",
            "1.-1",
            "x.1",
            "1.1.c3",
            "1.1.zz-",
            "1.1.c3c3c3c3-",
            "1.1.end.1",
            "1\n.1",
        ] {
            assert_eq!(text.parse::<OutputPlace>(), Err(InvalidPlace), "{text}");
        }
        assert_eq!("1".repeat(200).parse::<OutputPlace>(), Err(InvalidPlace));
    }
}
