//! What does it say?
//!
//! [`decode()`] reads a verified body: its content coding is undone, within a limit, and then it is read as JSON, as the
//! fields or the parts of a form, as XML, or as text, in its charset. It is pure, never panics, and says in the
//! operator's words why a body cannot be read. The raw bytes stay what they are; whoever needs them finds them in
//! [`Event::received`].
//!
//! JSON is read as [`crate::base::json`] reads it, the proof that may stand in it included: 127 levels deep at most, of duplicate
//! keys the last wins, wrong bytes and unpaired surrogates become U+FFFD. So do the wrong bytes of text; XML that is not in its
//! charset is refused. What XML becomes is written in `xml`, what a form in parts becomes in `multipart`.
//!
//! A body that cannot be read makes an event without a payload ([`Payload::unreadable`]), for rules that do not look into it.

mod charset;
pub mod content_encoding;
mod content_type;
mod decode;
mod event;
mod form;
mod multipart;
mod object;
mod parameter;
mod undecodable;
mod weight;
mod xml;

pub use decode::{Decode, decode, known};
pub use event::{BodyKind, Event, Payload};
pub use undecodable::Undecodable;
pub use weight::weight;

#[cfg(test)]
mod tests;
