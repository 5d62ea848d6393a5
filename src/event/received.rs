//! What arrived: headers, raw body, peer address and time, trusted by nobody yet.
//!
//! A [`Received`] has no payload: nothing reads meaning into bytes before they are verified.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method};
use uuid::Uuid;

use crate::base::clock::Timestamp;
use crate::base::id::id_at;
use crate::tls::certificate::Certificate;

/// The id of an arrival: a version 7 UUID (RFC 9562), so that ids sort by time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId(Uuid);

impl EventId {
    /// A new id for something that arrived at `at`.
    pub fn new(at: Timestamp) -> Self {
        Self(id_at(at))
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

impl FromStr for EventId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::parse_str(text).map(Self)
    }
}

/// One request on an endpoint, as it came.
#[derive(Clone, Debug)]
pub struct Received {
    /// Its id; the event keeps it.
    pub id: EventId,
    /// When its last byte was read.
    pub at: Timestamp,
    /// The endpoint's path as the rules file has it: `/deploy/{app}`.
    pub endpoint: Arc<str>,
    /// The method.
    pub method: Method,
    /// The path as requested, percent-encoded as it came.
    pub path: String,
    /// The query as requested, without `?`; empty if there was none.
    pub query: String,
    /// The endpoint's path parameters, percent-decoded, in the order of the path.
    pub parameters: Vec<(String, String)>,
    /// The client's address; none behind a unix socket.
    pub client: Option<IpAddr>,
    /// The certificate that the client has presented on this connection, and that holds. It is not kept with the event.
    pub certificate: Option<Arc<Certificate>>,
    /// The headers; values may hold any bytes.
    pub headers: HeaderMap,
    /// The raw body, byte for byte.
    pub body: Bytes,
}

impl Received {
    /// The first value of `name` in the query, decoded; an undecodable one is not text that could be compared.
    pub fn query_value(&self, name: &str) -> Option<String> {
        form_urlencoded::parse(self.query.as_bytes())
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
    }

    /// The path parameter `name`.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }
}
