//! A request as the conditions of its endpoint see it, for explanations of what was decided.

use std::sync::Arc;

use crate::base::json_plan::Plan;
use crate::event::Received;
use crate::payload::{self, Event, Payload};
use crate::pipeline::authorization::Authorization;
use crate::rules::Endpoint;

/// A request with its decoded body, and the rules that trust it.
#[derive(Debug)]
pub struct Seen {
    pub event: Event,
    /// Indices of the rules that trust the request.
    pub trusting: Vec<usize>,
}

impl Seen {
    /// Verifies and decodes a request again. Pure, and without the limits of a daemon.
    pub fn of(endpoint: &Endpoint, received: Received) -> Self {
        let authorization = Authorization::new(endpoint, &received);
        let rules = 0..endpoint.rules.len();
        let trusting: Vec<usize> = rules.filter(|index| authorization.trusts(*index)).collect();
        let (decode, unpack) = (endpoint.decode, endpoint.unpack.as_ref());
        let (headers, body, limit) = (&received.headers, &received.body, endpoint.max_body);
        let plan = Arc::new(Plan::everything());
        let decoded = payload::decode_unpacked(decode, unpack, headers, body, limit, &plan);
        let payload = decoded.unwrap_or_else(|error| Payload::unreadable(&error));
        let views = endpoint.decode_views(headers, body, &|index| trusting.contains(&index));
        let event = Event {
            received: Arc::new(received),
            payload,
            views,
            fired_by: None,
        };
        Self { event, trusting }
    }
}
