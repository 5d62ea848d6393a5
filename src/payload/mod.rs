//! Decoding of verified bodies to payloads.
//!
//! [`decode()`] removes the content codings of a body, within a limit. It then decodes JSON, form
//! fields or form parts, XML, or text, in the body's charset. Decoding is pure, never panics, and
//! explains in an operator's words why a body cannot be decoded. The raw bytes stay unchanged in
//! [`Event::received`].
//!
//! [`crate::base::json`] parses JSON, and also the tokens that verification reads from bodies.
//! Of a JSON body, [`decode_planned`] keeps only the values that a plan names. Nesting is at most
//! 127 levels deep, and the last of duplicate keys wins. Invalid bytes and lone surrogates become
//! U+FFFD. Invalid bytes of text become U+FFFD too. XML that is not valid in its charset is
//! rejected. `xml.rs` documents the shape of XML payloads, `multipart.rs` that of multipart forms.
//!
//! If a body cannot be decoded, the event has no payload ([`Payload::unreadable`]). Rules that do
//! not read the payload still apply.

mod charset;
mod content;
pub mod content_encoding;
mod content_type;
mod decode;
mod event;
mod event_name;
mod form;
mod json_body;
mod multipart;
mod object;
mod parameter;
mod undecodable;
mod unpack;
mod weight;
mod xml;

pub use content::{BodyKind, Payload};
pub use decode::{Decode, decode, decode_planned, decode_unpacked};
pub use event::{Event, View};
pub use event_name::EventNameReader;
pub use undecodable::Undecodable;
pub use unpack::{PackedField, Packing, Unpack};
pub use weight::weight;

#[cfg(test)]
mod tests;
