//! What does it say?
//!
//! [`decode()`] reads a verified body as JSON, as the fields of a form, or as text. It is pure, never panics, and
//! says in the operator's words why a body cannot be read. The raw bytes stay what they are; whoever needs them
//! finds them in [`Event::received`].
//!
//! JSON is read as `serde_json` reads it: 128 levels deep at most, of duplicate keys the last wins, and integers
//! outside 64 bits become floating point. Text that is not UTF-8 has its wrong bytes replaced by U+FFFD.

mod content_type;
mod decode;
mod event;
mod form;

pub use decode::{Decode, Undecodable, decode};
pub use event::{Event, Kind, Payload};
