//! Arrivals: as a row of a list, and with all that is known about one.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::value::RawValue;

use super::delivery::{DeliveryDetail, DeliveryRow};
use super::explain::RuleExplanation;
use super::request::RequestView;
use crate::base::clock::Timestamp;
use crate::event::Decision;
use crate::store::ListedArrival;

/// An arrival as a list shows it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ArrivalRow {
    /// Id of the arrival: a version 7 UUID.
    pub id: String,
    pub received_at: String,
    /// The endpoint, as the rules file writes it.
    pub endpoint: String,
    pub method: String,
    /// Address of the client. Null for a client of a unix socket.
    pub client: Option<String>,
    /// The word for what became of it: `accepted`, `ignored`, `refused` and others.
    pub outcome: &'static str,
    /// Status of the answer. Null if the sender waited for the outcome of the deliveries.
    pub status: Option<u16>,
    /// The reason why it became no event.
    pub reason: Option<String>,
    /// True if it was ignored, and the operator replayed it later.
    pub replayed: bool,
    /// The user who replayed it.
    pub replayed_by: Option<String>,
    /// The user who ran a rule by hand. Null if it arrived.
    pub fired_by: Option<String>,
    /// The sender's name of the event. Null if the rules do not say where it stands.
    pub event_name: Option<String>,
    /// Bytes of the body as it arrived.
    pub bytes: u64,
    /// Its deliveries, in their order.
    pub deliveries: Vec<DeliveryRow>,
}

impl ArrivalRow {
    /// `event_name` is left empty.
    pub fn of(arrival: &ListedArrival, now: Timestamp) -> Self {
        let deliveries = arrival.deliveries.iter();
        Self {
            id: arrival.id.to_string(),
            received_at: arrival.received_at.to_string(),
            endpoint: arrival.endpoint.clone(),
            method: arrival.method.clone(),
            client: arrival.client.clone(),
            outcome: arrival.outcome.name(),
            status: arrival.status,
            reason: (!arrival.reason.is_empty()).then(|| arrival.reason.clone()),
            replayed: arrival.is_replayed,
            replayed_by: arrival.replayed_by.clone(),
            fired_by: arrival.fired_by.clone(),
            event_name: None,
            bytes: arrival.size,
            deliveries: deliveries.map(|entry| DeliveryRow::of(entry, now)).collect(),
        }
    }
}

/// An arrival with its request, the decisions about it, and its deliveries.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ArrivalDetail {
    /// The request.
    pub event: RequestView,
    /// The word for what became of it: `accepted`, `ignored`, `refused` and others.
    pub outcome: &'static str,
    /// Status of the answer. Null if the sender waited for the outcome of the deliveries.
    pub status: Option<u16>,
    /// The reason why it became no event, or why the stated body of the answer was not sent.
    pub reason: Option<String>,
    /// Verifications that succeeded: the scheme, and the name of the secret that matched.
    pub verified_by: Vec<String>,
    /// The decision of each rule, as decided then.
    pub decision: Decision,
    /// True if it was ignored, and the operator replayed it later.
    pub replayed: bool,
    /// The user who replayed it.
    pub replayed_by: Option<String>,
    /// The user who ran a rule by hand. Null if it arrived.
    pub fired_by: Option<String>,
    /// The sender's name of the event. Null if the rules do not say where it stands.
    pub event_name: Option<String>,
    /// Bytes of the body as it arrived.
    pub bytes: u64,
    /// The decoding of the body.
    pub decode: String,
    /// The decoded payload. Null if it cannot be decoded.
    #[schemars(with = "serde_json::Value")]
    pub payload: Option<Box<RawValue>>,
    /// The reason why the payload cannot be decoded.
    pub undecodable: Option<String>,
    pub deliveries: Vec<DeliveryDetail>,
    /// The decision of each rule by the rules in force. Null if they are not known.
    pub rules: Option<RulesNow>,
}

/// The decision of each rule by the rules in force.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum RulesNow {
    /// The rules of the endpoint, in the order of the file.
    Explained(Vec<RuleExplanation>),
    /// The rules do not tell.
    Unknown {
        /// The reason.
        error: String,
    },
}

impl From<Result<Vec<RuleExplanation>, String>> for RulesNow {
    fn from(explained: Result<Vec<RuleExplanation>, String>) -> Self {
        explained.map_or_else(|error| Self::Unknown { error }, Self::Explained)
    }
}
