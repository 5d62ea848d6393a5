//! Row types of the handshake table: recognition, signing and answer of a handshake.
//!
//! The types are limited on purpose. No row can run an action. An answer is a text that the sender
//! sent, a fixed text, or a MAC.

use http::{Method, StatusCode};

use crate::verify::scheme::signature::mac::Encoding;

/// Preset of one handshake.
#[derive(Debug)]
pub struct HandshakePreset {
    /// Name in the rules file.
    pub name: &'static str,
    /// True if the sender signs the handshake like an event. Only a valid signature is then
    /// answered.
    pub signed: bool,
    /// Query parameter that must equal `verify_token`.
    pub verify_token: Option<&'static str>,
    /// `WWW-Authenticate` of a refusal, if the sender requires 401 instead of 403.
    pub unauthorized: Option<&'static str>,
    /// Forms of the handshake. The first one that matches is answered.
    pub forms: &'static [HandshakeForm],
}

/// Form of a handshake.
#[derive(Debug)]
pub struct HandshakeForm {
    pub method: Method,
    /// Difference from an event.
    pub mark: Mark,
    pub reply: HandshakeAnswer,
}

/// Difference between a handshake and an event.
#[derive(Debug)]
pub enum Mark {
    /// The method alone.
    Method,
    /// A query parameter.
    Query(&'static str),
    /// A query parameter with this value.
    QueryIs(&'static str, &'static str),
    /// A header, in lower case.
    Header(&'static str),
    /// A header, in lower case, with this value.
    HeaderIs(&'static str, &'static str),
    /// A JSON body with a value at one pointer (RFC 6901), and without another pointer.
    Json {
        /// Pointer to the value.
        at: &'static str,
        /// Required value.
        is: Is,
        /// Pointer that must not exist.
        without: Option<&'static str>,
    },
}

/// Required value in a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Is {
    Text(&'static str),
    Number(u64),
    AnyText,
}

/// Location of a text in a request. The text must occur once.
#[derive(Debug)]
pub enum TextLocation {
    /// Query parameter.
    Query(&'static str),
    /// Header, in lower case.
    Header(&'static str),
    /// Pointer into the body.
    Json(&'static str),
}

/// Answer to a handshake.
#[derive(Debug)]
pub enum HandshakeAnswer {
    /// 200 and the text, as `text/plain`.
    Echo(TextLocation),
    /// Status, and an optional JSON body.
    Fixed(StatusCode, Option<&'static str>),
    /// 200 and an object with the MAC of a token under the scheme's secret.
    Mac {
        /// Location of the token.
        of: TextLocation,
        /// Member for the token, if the object repeats it.
        repeated: Option<&'static str>,
        /// Member for the MAC.
        name: &'static str,
        /// Prefix of the MAC.
        prefix: &'static str,
        encoding: Encoding,
    },
    /// 200 and the headers that permit sending. The first header names the origin, the second one
    /// the rate.
    Allow(&'static str, &'static str),
    /// 200 after the secret at this location has been stored. A header is sent back.
    Learn(TextLocation),
}

impl HandshakePreset {
    /// Returns true if an answer contains a MAC under the scheme's secret.
    pub fn tells_macs(&self) -> bool {
        self.forms
            .iter()
            .any(|form| matches!(form.reply, HandshakeAnswer::Mac { .. }))
    }

    /// Returns true if any client can obtain such a MAC.
    pub fn tells_macs_to_strangers(&self) -> bool {
        self.tells_macs() && !self.signed
    }

    /// Returns true if the handshake sets the sender's secret.
    pub fn learns(&self) -> bool {
        self.forms
            .iter()
            .any(|form| matches!(form.reply, HandshakeAnswer::Learn(_)))
    }
}

impl HandshakeForm {
    /// Returns true if the body must be parsed to recognise or answer this form.
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
