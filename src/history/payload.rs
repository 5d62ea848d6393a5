//! Payloads for people: pretty, as they came, and as bytes. Each is bounded.

use std::fmt::Write;

use schemars::JsonSchema;
use serde::Serialize;

use crate::base::json::JsonTree;
use crate::payload::{BodyKind, Event, Payload};

/// Bytes per line of a hex dump.
const HEX_LINE: usize = 16;

/// Text that is perhaps only the beginning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct CutText {
    pub text: String,
    /// True if the rest is left out.
    pub cut: bool,
}

impl CutText {
    /// Keeps at most `limit` bytes of a text.
    fn at(mut text: String, limit: usize) -> Self {
        let cut = text.len() > limit;
        if cut {
            text.truncate(text.floor_char_boundary(limit));
        }
        Self { text, cut }
    }
}

/// Pretty-prints a payload, at most `limit` bytes, with all digits of its integers. A payload
/// without structure is shown as it came.
pub fn pretty(event: &Event, limit: usize) -> CutText {
    if matches!(event.payload.kind, BodyKind::Text | BodyKind::Unreadable) {
        return raw_text(&event.received.body, limit);
    }
    CutText::at(written(&event.payload), limit)
}

/// Pretty-prints a payload with all digits of its integers.
pub fn written(payload: &Payload) -> String {
    let JsonTree { value, integers } = payload.whole();
    serde_json::to_string_pretty(&integers.exactly(value)).unwrap_or_default()
}

/// A body as text, at most `limit` bytes of it. Bytes that are not UTF-8 are replaced.
pub fn raw_text(body: &[u8], limit: usize) -> CutText {
    // A character that the limit divides is left out, not replaced.
    let end = body.len().min(limit.saturating_add(4));
    let kept = body.get(..end).unwrap_or(body);
    let mut shown = CutText::at(String::from_utf8_lossy(kept).into_owned(), limit);
    shown.cut |= end < body.len();
    shown
}

/// A body as a hex dump: offset, bytes, and the printable characters. At most `limit` bytes of it.
pub fn hex_dump(body: &[u8], limit: usize) -> CutText {
    let kept = body.get(..limit).unwrap_or(body);
    let mut text = String::with_capacity(kept.len() * 5);
    for (line, bytes) in kept.chunks(HEX_LINE).enumerate() {
        let mut hex = String::with_capacity(HEX_LINE * 3 + 1);
        for (at, byte) in bytes.iter().enumerate() {
            let separator = if at == HEX_LINE / 2 { "  " } else { " " };
            write!(hex, "{separator}{byte:02x}").ok();
        }
        let printable = bytes.iter().map(|byte| match byte {
            b' '..=b'~' => char::from(*byte),
            _ => '.',
        });
        let printable: String = printable.collect();
        writeln!(text, "{:08x} {hex:<49}  |{printable}|", line * HEX_LINE).ok();
    }
    CutText {
        text,
        cut: kept.len() < body.len(),
    }
}
