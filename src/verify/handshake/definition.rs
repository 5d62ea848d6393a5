//! Definition of a handshake: recognition, signing and answer.
//!
//! The types are limited on purpose. No handshake can run an action. An answer is a text that the
//! sender sent, a fixed text, or a MAC.

use std::sync::Arc;

use http::{HeaderName, Method, StatusCode};

use crate::base::jsonpath::SingularPath;
use crate::verify::parts::mac::Encoding;

/// Compiled definition of one handshake.
#[derive(Debug)]
pub struct HandshakeDefinition {
    /// Name of the scheme that defines the handshake.
    pub name: Arc<str>,
    /// True if the sender signs the handshake like an event. Only a valid signature is then
    /// answered.
    pub signed: bool,
    /// Query parameter that must equal `verify_token`.
    pub verify_token: Option<String>,
    /// `WWW-Authenticate` of a refusal, if the sender requires 401 instead of 403.
    pub unauthorized: Option<&'static str>,
    /// Forms of the handshake. The first one that matches is answered.
    pub forms: Vec<HandshakeForm>,
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
    /// A query parameter, with this value if there is one.
    Query(String, Option<String>),
    /// A header, with this value if there is one.
    Header(HeaderName, Option<String>),
    /// A JSON body with a value at one path, and without another path.
    Json {
        /// Path to the value.
        at: SingularPath,
        /// Required value.
        is: Is,
        /// Path that must not exist.
        without: Option<SingularPath>,
    },
}

/// Required value in a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Is {
    Text(String),
    Number(u64),
    AnyText,
}

/// Location of a text in a request. The text must occur once.
#[derive(Debug)]
pub enum TextLocation {
    /// Query parameter.
    Query(String),
    Header(HeaderName),
    /// Path in the body.
    Json(SingularPath),
}

/// Answer to a handshake.
#[derive(Debug)]
pub enum HandshakeAnswer {
    /// 200 and the text, as `text/plain`.
    Echo(TextLocation),
    /// Status, and an optional JSON body.
    Fixed(StatusCode, Option<String>),
    /// 200 and an object with the MAC of a token under the scheme's secret.
    Mac {
        /// Location of the token.
        of: TextLocation,
        /// Member for the token, if the object repeats it.
        repeated: Option<String>,
        /// Member for the MAC.
        name: String,
        /// Prefix of the MAC.
        prefix: String,
        encoding: Encoding,
    },
    /// 200 and the headers that permit sending. The first header names the origin, the second one
    /// the rate.
    Allow(HeaderName, HeaderName),
    /// 200 after the secret at this location has been stored. A header is sent back.
    Learn(TextLocation),
}

impl HandshakeDefinition {
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
