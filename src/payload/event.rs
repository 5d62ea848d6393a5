//! Verified arrivals: the request as received, with its decoded payload.
//!
//! Decoding itself is left to `decode.rs`.

use std::borrow::Cow;
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
    /// Payloads of rules that unpack fields themselves, by their views.
    pub views: Vec<(View, Payload)>,
    /// Name of the operator who made the event by hand. `None`: it arrived.
    pub fired_by: Option<Arc<str>>,
}

/// The number of a way to unpack payloads, among those that rules of an endpoint add to the
/// endpoint's own.
pub type View = usize;

impl Event {
    /// The payload of rules with this view. A view that was not decoded has no rule that is asked.
    pub fn payload_in(&self, view: Option<View>) -> &Payload {
        let decoded = self.views.iter().find(|(known, _)| Some(*known) == view);
        decoded.map_or(&self.payload, |(_, payload)| payload)
    }

    /// True if the payload could not be decoded in some view.
    pub fn has_fault(&self) -> bool {
        let mut views = self.views.iter();
        self.payload.decode_error.is_some() || views.any(|(_, payload)| payload.decode_error.is_some())
    }

    /// The event as rules with this view see it.
    pub fn seen_in(&self, view: Option<View>) -> Cow<'_, Self> {
        if view.is_none() || self.views.is_empty() {
            return Cow::Borrowed(self);
        }
        Cow::Owned(Self {
            received: Arc::clone(&self.received),
            payload: self.payload_in(view).clone(),
            views: Vec::new(),
            fired_by: self.fired_by.clone(),
        })
    }

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
        Ok(Self {
            received,
            payload,
            views: Vec::new(),
            fired_by: None,
        })
    }
}
