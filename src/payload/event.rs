//! Verified arrivals: the request as received, with its decoded payload.
//!
//! Decoding itself is left to `decode.rs`.

use std::sync::Arc;

use crate::base::json_plan::Plan;
use crate::event::Received;
use crate::payload::content::Payload;
use crate::payload::decode::{Decode, decode_unpacked};
use crate::payload::unpack::Unpack;

/// A verified arrival with its decoded payload. The raw body stays in [`Event::received`].
#[derive(Clone, Debug)]
pub struct Event {
    pub received: Arc<Received>,
    pub payload: Payload,
}

impl Event {
    /// An event from the store, with its body decoded again in the named format. A body that could
    /// not be decoded then cannot be decoded now.
    /// Its fields are unpacked as `unpack` says now. Of a JSON body, the values of `plan` are kept.
    pub fn from_store(
        received: Arc<Received>,
        format: &str,
        unpack: Option<&Unpack>,
        plan: &Arc<Plan>,
    ) -> Result<Self, String> {
        let known = Decode::from_name(format).ok_or_else(|| format!("unknown decoding `{format}`"))?;
        // The body was within `max_body` when the event was accepted. A limit that was lowered
        // since must not make it unreadable.
        let payload = decode_unpacked(known, unpack, &received.headers, &received.body, u64::MAX, plan)
            .unwrap_or_else(|error| Payload::unreadable(&error));
        Ok(Self { received, payload })
    }
}
