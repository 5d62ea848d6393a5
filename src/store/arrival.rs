//! Records of arrivals that became no event, in two bounded rings.

use std::net::IpAddr;
use std::sync::Arc;

use http::HeaderMap;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::base::clock::Timestamp;
use crate::event::{ArrivalOutcome, Decision, DedupKey, EventId, Received, VerifiedBy};
use crate::store::{ListedDelivery, Ring};

/// Record of an arrival that became no event.
#[derive(Clone, Debug)]
pub struct ArrivalRecord {
    /// The request without credentials. The body may be cut at [`ArrivalRecord::BODY`] bytes.
    pub received: Arc<Received>,
    pub ring: Ring,
    pub outcome: ArrivalOutcome,
    /// Status of the answer.
    pub status: u16,
    /// The reason of the outcome, at most [`ArrivalRecord::REASON`] bytes.
    pub reason: String,
    pub decision: Decision,
    /// The decoding of the body.
    pub decode: String,
    /// Bytes of the body as it arrived. 0 if the body was not read.
    pub size: u64,
    /// The verifications that succeeded. A replay needs them.
    pub proofs: Vec<ProofRecord>,
    /// Maximum records of this ring that are kept for the endpoint. `None`: only the ring's bounds.
    pub endpoint_limit: Option<usize>,
}

/// Record of a successful verification.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProofRecord {
    /// The scheme, as the rules file names it.
    pub scheme: Arc<str>,
    /// Source of the secret that matched, as the rules file names it. `None` if nothing is
    /// verified.
    pub secret: Option<Arc<str>>,
    /// Milliseconds since the epoch of the signed or unsigned timestamp.
    pub sent_at: Option<i64>,
    /// True if the signature covers the timestamp.
    #[serde(default)]
    pub signed: bool,
    pub dedup_keys: Vec<DedupKey>,
}

impl ProofRecord {
    /// Names the verification that succeeded.
    pub fn verified_by(&self) -> VerifiedBy {
        VerifiedBy {
            scheme: Arc::clone(&self.scheme),
            secret: self.secret.clone(),
        }
    }
}

impl ArrivalRecord {
    /// Maximum bytes of a body that are kept.
    pub const BODY: usize = 64 << 10;
    /// Maximum bytes of a reason.
    pub const REASON: usize = 1024;
    /// Maximum bytes of the headers. Those beyond it are left out.
    pub const HEADERS: usize = 16 << 10;

    /// Bytes that count towards the ring's limit.
    pub fn weight(&self) -> u64 {
        let received = &self.received;
        let headers: usize = received
            .headers
            .iter()
            .map(|(name, value)| name.as_str().len() + value.len())
            .sum();
        let rules: usize = self
            .decision
            .rules
            .iter()
            .map(|rule| rule.rule.len() + rule.reason.len())
            .sum();
        let text = received.path.len() + received.query.len() + self.reason.len();
        (received.body.len() + headers + rules + text + 256) as u64
    }

    /// Faults of the stated sizes: `weight` is the number of bytes that counts in the ring.
    pub(super) fn wrong_sizes(&self, weight: u64) -> Vec<String> {
        let (id, kept, is) = (self.received.id, self.received.body.len(), self.weight());
        let mut faults = Vec::new();
        if weight != is {
            faults.push(format!(
                "arrival {id} counts {weight} bytes in its ring instead of {is}"
            ));
        }
        if kept > Self::BODY || kept as u64 > self.size {
            faults.push(format!(
                "arrival {id} keeps {kept} bytes of a body of {}",
                self.size
            ));
        }
        faults
    }

    /// Checks that the whole body is kept. The error is the reason why it cannot be read.
    pub fn check_whole(&self) -> Result<(), String> {
        let (kept, size) = (self.received.body.len() as u64, self.size);
        if kept < size {
            return Err(format!("only {kept} of {size} bytes of the body are kept"));
        }
        Ok(())
    }
}

/// A filter for arrivals. `None` matches everything.
#[derive(Clone, Debug, Default)]
pub struct ArrivalFilter {
    pub outcome: Option<ArrivalOutcome>,
    /// The endpoint, as the rules file writes it.
    pub endpoint: Option<String>,
    /// A rule to which a delivery was made.
    pub rule: Option<String>,
    /// The state of a delivery: `waiting`, `done`, `superseded` or `dead`.
    pub state: Option<&'static str>,
    /// Network of the client.
    pub client: Option<IpNet>,
    pub since: Option<Timestamp>,
    pub until: Option<Timestamp>,
}

impl ArrivalFilter {
    /// True if an event may pass.
    pub(super) fn may_be_event(&self) -> bool {
        use ArrivalOutcome::{Accepted, Fired, Ignored};
        matches!(self.outcome, None | Some(Accepted | Fired | Ignored))
    }

    /// True if an arrival that became no event may pass. It has no deliveries.
    pub(super) fn may_be_record(&self) -> bool {
        let is_event = matches!(
            self.outcome,
            Some(ArrivalOutcome::Accepted | ArrivalOutcome::Fired)
        );
        !is_event && self.rule.is_none() && self.state.is_none()
    }

    /// True if a client is in the wanted network.
    pub(super) fn has_client(&self, client: Option<&str>) -> bool {
        let Some(network) = self.client else {
            return true;
        };
        let client = client.and_then(|client| client.parse::<IpAddr>().ok());
        client.is_some_and(|client| network.contains(&client.to_canonical()))
    }

    /// The id before which wanted arrivals are, for a window before `before`.
    pub(super) fn end(&self, before: Option<EventId>) -> Option<EventId> {
        let until = self.until.map(EventId::first_at);
        before.into_iter().chain(until).min()
    }

    /// The floor of a window that ends with one of these ids. `None` if there are no older wanted
    /// arrivals.
    pub(super) fn floor(&self, last: impl IntoIterator<Item = EventId>) -> Option<EventId> {
        let floor = last.into_iter().max();
        floor.filter(|floor| self.since.is_none_or(|since| *floor >= EventId::first_at(since)))
    }

    /// The first id of a window with this floor.
    pub(super) fn start(&self, floor: Option<EventId>) -> Option<EventId> {
        self.since.map(EventId::first_at).max(floor)
    }
}

/// An arrival as a list shows it.
#[derive(Clone, Debug)]
pub struct ListedArrival {
    pub id: EventId,
    pub received_at: Timestamp,
    pub endpoint: String,
    pub method: String,
    pub client: Option<String>,
    /// Headers without credentials.
    pub headers: HeaderMap,
    /// Bytes of the body as it arrived.
    pub size: u64,
    pub outcome: ArrivalOutcome,
    /// Status of the answer. `None` if the sender waited for the outcome of the deliveries.
    pub status: Option<u16>,
    /// The reason why it became no event. For an event the reason why the stated body of the answer
    /// was not sent, mostly empty.
    pub reason: String,
    /// True if it was ignored, and the operator replayed it later.
    pub is_replayed: bool,
    /// The user who ran a rule by hand; `None` if it arrived.
    pub fired_by: Option<String>,
    /// The user who replayed it.
    pub replayed_by: Option<String>,
    /// Its deliveries, in their order.
    pub deliveries: Vec<ListedDelivery>,
}

/// The wanted arrivals of a range of ids.
#[derive(Clone, Debug)]
pub struct ArrivalWindow {
    /// The arrivals, newest first.
    pub arrivals: Vec<ListedArrival>,
    /// The id before which the next window begins. `None`: there are no older arrivals.
    pub floor: Option<EventId>,
}

/// Rows up to which a tail has read the arrivals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TailCursor {
    /// Last row of the events.
    pub events: i64,
    /// Last row of the other arrivals.
    pub records: i64,
}
