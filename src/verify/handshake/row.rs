//! What can be said of a handshake: how it is told from an event, whether it is signed, what it is answered.
//!
//! This is all there is to say, and on purpose: no row can run an action, and none can answer more than a text that
//! the sender sent, a fixed one, or a MAC.

use http::{Method, StatusCode};

use crate::verify::scheme::signature::mac::Encoding;

/// One handshake.
#[derive(Debug)]
pub struct HandshakePreset {
    /// Its name in the rules file.
    pub name: &'static str,
    /// Whether the sender signs it like an event; then it is answered only if that signature holds.
    pub signed: bool,
    /// The name in the query that holds what `verify_token` says.
    pub verify_token: Option<&'static str>,
    /// What a refusal asks for where the sender wants to see 401 rather than 403.
    pub unauthorized: Option<&'static str>,
    /// The shapes that it comes in; the first that a request has is answered.
    pub forms: &'static [Form],
}

/// One shape of a handshake.
#[derive(Debug)]
pub struct Form {
    /// Its method.
    pub method: Method,
    /// What tells it from an event.
    pub mark: Mark,
    /// What it is answered.
    pub reply: HandshakeAnswer,
}

/// What tells a handshake from an event.
#[derive(Debug)]
pub enum Mark {
    /// Its method alone.
    Method,
    /// This name stands in the query.
    Query(&'static str),
    /// This name stands in the query with this value.
    QueryIs(&'static str, &'static str),
    /// This header, written in lower case, is there.
    Header(&'static str),
    /// This header is there with this value.
    HeaderIs(&'static str, &'static str),
    /// The body is JSON, with this at that pointer (RFC 6901), and nothing at another.
    Json {
        /// Where.
        at: &'static str,
        /// What.
        is: Is,
        /// Where there must be nothing.
        without: Option<&'static str>,
    },
}

/// What stands at a place of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Is {
    /// This text.
    Text(&'static str),
    /// This number.
    Number(u64),
    /// Any text.
    AnyText,
}

/// Where a text stands in a request. It must stand there once.
#[derive(Debug)]
pub enum TextLocation {
    /// Under this name in the query.
    Query(&'static str),
    /// In this header, written in lower case.
    Header(&'static str),
    /// In the body, at this pointer.
    Json(&'static str),
}

/// What a handshake is answered.
#[derive(Debug)]
pub enum HandshakeAnswer {
    /// 200 and the text, as `text/plain`.
    Echo(TextLocation),
    /// This status, and this JSON if any.
    Fixed(StatusCode, Option<&'static str>),
    /// 200 and an object with the MAC of a token under the scheme's secret.
    Mac {
        /// The token.
        of: TextLocation,
        /// Its name in the object, if the object repeats it.
        repeated: Option<&'static str>,
        /// The MAC's name in the object.
        name: &'static str,
        /// What the MAC begins with.
        prefix: &'static str,
        /// How the MAC is written.
        encoding: Encoding,
    },
    /// 200 and the headers by which the sender named in this header may send, at the rate named in the other.
    Allow(&'static str, &'static str),
    /// 200 once the secret that stands here is learnt; the header is sent back if that is where it stands.
    Learn(TextLocation),
}

impl HandshakePreset {
    /// Whether some answer of it is a MAC under the scheme's secret.
    pub fn tells_macs(&self) -> bool {
        self.forms
            .iter()
            .any(|form| matches!(form.reply, HandshakeAnswer::Mac { .. }))
    }

    /// Whether that MAC is told to whoever asks.
    pub fn tells_macs_to_strangers(&self) -> bool {
        self.tells_macs() && !self.signed
    }

    /// Whether the sender's secret comes with it.
    pub fn learns(&self) -> bool {
        self.forms
            .iter()
            .any(|form| matches!(form.reply, HandshakeAnswer::Learn(_)))
    }
}

impl Form {
    /// Whether the body must be read to tell it or to answer it.
    pub fn reads_body(&self) -> bool {
        let marked = matches!(self.mark, Mark::Json { .. });
        let text = match &self.reply {
            HandshakeAnswer::Echo(text)
            | HandshakeAnswer::Learn(text)
            | HandshakeAnswer::Mac { of: text, .. } => Some(text),
            HandshakeAnswer::Fixed(..) | HandshakeAnswer::Allow(..) => None,
        };
        marked || matches!(text, Some(TextLocation::Json(_)))
    }
}
