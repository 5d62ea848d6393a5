//! The request of an arrival.

use http::header::{AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION};
use schemars::JsonSchema;
use serde::Serialize;

use super::content::Content;
use crate::event::Received;

/// A request as it arrived, without credentials.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct RequestView {
    /// Id of the arrival: a version 7 UUID.
    pub id: String,
    /// Time at which the last byte was read.
    pub received_at: String,
    /// The endpoint, as the rules file writes it.
    pub endpoint: String,
    pub method: String,
    /// The path as requested, still percent-encoded.
    pub path: String,
    /// The query as requested, without `?`. Empty if there was none.
    pub query: String,
    /// Address of the client. Null for a client of a unix socket.
    pub client: Option<String>,
    /// Names and values in their order. `Authorization`, `Proxy-Authorization` and `Cookie` are
    /// left out.
    pub headers: Vec<(String, Content)>,
    /// The body as it is kept.
    pub body: Content,
}

impl RequestView {
    pub fn of(received: &Received) -> Self {
        Self {
            id: received.id.to_string(),
            received_at: received.at.to_string(),
            endpoint: received.endpoint.to_string(),
            method: received.method.to_string(),
            path: received.path.clone(),
            query: received.query.clone(),
            client: received.client.map(|client| client.to_string()),
            headers: headers(received)
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
            body: Content::of(&received.body),
        }
    }
}

/// Lists the headers in their order, without `Authorization`, `Proxy-Authorization` and `Cookie`.
pub fn headers(received: &Received) -> impl Iterator<Item = (&str, Content)> {
    let shown = received
        .headers
        .iter()
        .filter(|(name, _)| ![&AUTHORIZATION, &PROXY_AUTHORIZATION, &COOKIE].contains(name));
    shown.map(|(name, value)| (name.as_str(), Content::of(value.as_bytes())))
}
