//! Arrivals and deliveries for people: found, read and explained.
//!
//! Each view of the operator is one plain struct. The same struct is the JSON of a command and of
//! the admin API, and the data of a page: [`ArrivalRow`], [`ArrivalDetail`], [`DeliveryRow`],
//! [`DeliveryDetail`]. Times are RFC 3339 in UTC. Text of strangers is in them as it came, so the
//! caller escapes it for its output.
//!
//! Nothing here writes to the store. Credentials are never in the structs.

mod arrival;
mod as_test;
mod attempt;
mod content;
mod curl;
mod delivery;
mod explain;
mod names;
mod payload;
mod phase;
mod query;
mod read;
mod request;
mod search;
mod status;
mod stored;

pub use arrival::{ArrivalDetail, ArrivalRow, RulesNow};
pub use as_test::{as_test, test_of};
pub use attempt::AttemptView;
pub use content::Content;
pub use curl::as_curl;
pub use delivery::{DeliveryDetail, DeliveryRow};
pub use explain::{
    ElementExplanation, ElementsExplanation, RenderedAction, RuleExplanation, explain_event, explain_rules,
};
pub use names::EventNames;
pub use payload::{CutText, hex_dump, pretty, raw_text, written};
pub use phase::Phase;
pub use query::{FILTERS, KnownNames, Query, QueryError, Since, Suggestion, compile, suggestions};
pub use read::{ReadArrival, ReadDelivery, event_of};
pub use request::{RequestView, headers};
pub use search::{
    ArrivalPage, DeliverySearch, FoundArrivals, FoundDeliveries, SearchBounds, arrival_page, count_after,
    search,
};
pub use status::DeliveryStatus;
pub use stored::{StoredArrival, decoded, stored};
