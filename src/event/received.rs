//! Requests as received: headers, raw body, client address and time, not verified yet.
//!
//! A [`Received`] has no payload: bytes are not decoded before they are verified.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method};
use uuid::Uuid;

use crate::base::clock::Timestamp;
use crate::base::id::{derived, id_at};
use crate::event::certificate::Certificate;

/// The id of an arrival: a version 7 UUID (RFC 9562), so that ids sort by time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId(Uuid);

impl EventId {
    pub fn new(at: Timestamp) -> Self {
        Self(id_at(at))
    }

    /// The id of the arrival with this number at `at`, without random bits. For rules that are
    /// tested.
    pub fn numbered(at: Timestamp, number: u64) -> Self {
        let millis = u64::try_from(at.as_millis()).unwrap_or(0);
        let mut bytes = [0; 16];
        bytes[..6].copy_from_slice(&millis.to_be_bytes()[2..]);
        Self(derived(&bytes, &number.to_be_bytes()))
    }

    /// The first id of a moment. All ids of earlier moments are less.
    pub fn first_at(at: Timestamp) -> Self {
        let millis = u64::try_from(at.as_millis()).unwrap_or(0).min((1 << 48) - 1);
        Self(Uuid::from_u128(u128::from(millis) << 80))
    }

    /// The time that the id begins with.
    pub fn at(&self) -> Timestamp {
        let millis = self.0.as_u128() >> 80;
        Timestamp::from_millis(i64::try_from(millis).unwrap_or(i64::MAX))
    }

    /// The 16 bytes of the id. The first six are its time.
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }
}

impl From<Uuid> for EventId {
    fn from(id: Uuid) -> Self {
        Self(id)
    }
}

impl From<EventId> for Uuid {
    fn from(id: EventId) -> Self {
        id.0
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

/// A request on an endpoint, as it arrived.
#[derive(Clone, Debug)]
pub struct Received {
    /// Becomes the id of the event.
    pub id: EventId,
    /// The time at which the last byte was read.
    pub at: Timestamp,
    /// The endpoint's path as written in the rules file: `/deploy/{app}`.
    pub endpoint: Arc<str>,
    pub method: Method,
    /// The path as requested, still percent-encoded.
    pub path: String,
    /// The query as requested, without `?`; empty if there was none.
    pub query: String,
    /// The endpoint's path parameters, percent-decoded, in the order of the path.
    pub parameters: Vec<(String, String)>,
    /// `None` for a client of a unix socket.
    pub client: Option<IpAddr>,
    /// The verified client certificate of this connection. Not stored with the event.
    pub certificate: Option<Arc<Certificate>>,
    /// Values may contain any bytes.
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Received {
    /// The first value of `name` in the query, decoded. Bytes that are not UTF-8 become U+FFFD.
    pub fn query_value(&self, name: &str) -> Option<String> {
        form_urlencoded::parse(self.query.as_bytes())
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
    }

    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }
}
