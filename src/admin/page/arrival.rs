//! View of one arrival: the request, why it did or did not fire, and its deliveries.

use schemars::JsonSchema;
use serde::Serialize;

use crate::admin::page::sources::{Params, Sources, ViewError, Visitor};
use crate::event::{ArrivalOutcome, EventId};
use crate::history::{
    ArrivalDetail, Content, CutText, ReadArrival, RulesNow, as_curl, as_test, hex_dump, pretty, raw_text,
};
use crate::store::Named;

/// Maximum bytes of a payload that the page shows.
pub const PAYLOAD_SHOWN: usize = 64 << 10;
/// Maximum bytes of a payload that the page shows as a hex dump.
pub const HEX_SHOWN: usize = 4 << 10;

/// An arrival, and how the page shows it.
#[derive(Debug, Serialize)]
pub struct ArrivalView {
    #[serde(flatten)]
    pub detail: ArrivalDetail,
    #[serde(flatten)]
    page: ArrivalPart,
}

/// Data that only the page needs.
#[derive(Debug, Serialize)]
struct ArrivalPart {
    may_act: bool,
    /// True if it was ignored, and can be run by the rules in force.
    can_run: bool,
    /// True if all its deliveries have ended.
    can_replay: bool,
    /// `pretty`, `raw` or `hex`.
    payload_form: &'static str,
    payload_text: CutText,
    headers: Vec<(String, String)>,
    today: Option<Decided>,
    today_unknown: Option<String>,
    as_curl: String,
    /// A test for `rules.test.yaml`, or the reason why there is none.
    as_test: String,
}

/// Decisions about rules.
#[derive(Debug, Serialize)]
struct Decided {
    rules: Vec<DecidedRule>,
}

/// The decision about a rule.
#[derive(Debug, Serialize, JsonSchema)]
struct DecidedRule {
    rule: String,
    matched: bool,
    reason: String,
}

pub async fn read(sources: &Sources, params: &Params, visitor: Visitor) -> Result<ArrivalView, ViewError> {
    let id = id_of(params)?;
    let (rules, clock) = (sources.live.current(), sources.clock.clone());
    let base = sources
        .status
        .listening
        .iter()
        .find(|address| address.starts_with("http"));
    let base = base.cloned().unwrap_or_else(|| "http://localhost".to_owned());
    let form = params.get("payload").unwrap_or_default().to_owned();
    sources
        .read(move |history| {
            let read = ReadArrival::read(history, Some(Ok(&rules)), Named::Event(id))?;
            let read = read.ok_or_else(|| ViewError::Missing(format!("there is no arrival `{id}`")))?;
            let (payload_form, payload_text) = payload(&read, &form);
            let as_curl = as_curl(&read.stored.received, &base);
            let as_test = as_test(&read.stored).unwrap_or_else(|why| format!("# {why}"));
            let outcome = read.stored.outcome;
            let detail = read.detail(clock.now());
            let (today, today_unknown) = today(detail.rules.as_ref());
            let is_waiting = |state: &str| state == "waiting";
            let ended = !detail.deliveries.iter().any(|one| is_waiting(one.row.state));
            let page = ArrivalPart {
                may_act: visitor.may_act,
                can_run: outcome == ArrivalOutcome::Ignored && !detail.replayed,
                can_replay: ended && !detail.deliveries.is_empty(),
                payload_form,
                payload_text,
                headers: detail.event.headers.iter().map(shown).collect(),
                today,
                today_unknown,
                as_curl,
                as_test,
            };
            Ok(ArrivalView { detail, page })
        })
        .await
}

/// The id in the path.
pub fn id_of(params: &Params) -> Result<EventId, ViewError> {
    let id = &params.path;
    let parsed = id.parse();
    parsed.map_err(|error| ViewError::Missing(format!("`{id}` is no id of an arrival: {error}")))
}

/// The payload in the form that is asked for.
fn payload(read: &ReadArrival, form: &str) -> (&'static str, CutText) {
    let body = &read.stored.received.body;
    match (form, &read.event) {
        ("hex", _) => ("hex", hex_dump(body, HEX_SHOWN)),
        ("raw", _) | (_, Err(_)) => ("raw", raw_text(body, PAYLOAD_SHOWN)),
        (_, Ok(event)) => ("pretty", pretty(event, PAYLOAD_SHOWN)),
    }
}

fn shown((name, value): &(String, Content)) -> (String, String) {
    let value = match value {
        Content::Text(text) => text.clone(),
        Content::Bytes { base64 } => format!("base64: {base64}"),
    };
    (name.clone(), value)
}

fn today(rules: Option<&RulesNow>) -> (Option<Decided>, Option<String>) {
    match rules {
        None => (None, None),
        Some(RulesNow::Unknown { error }) => (None, Some(error.clone())),
        Some(RulesNow::Explained(explained)) => {
            let rules = explained.iter().map(|one| DecidedRule {
                rule: one.rule.clone(),
                matched: one.matched,
                reason: one.reason.clone(),
            });
            let rules = rules.collect();
            (Some(Decided { rules }), None)
        }
    }
}
