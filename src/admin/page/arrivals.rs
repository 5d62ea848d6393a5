//! View of everything that came, newest first, with the filter line.

use schemars::JsonSchema;
use serde::Serialize;

use crate::admin::page::sources::{Params, Sources, ViewError};
use crate::history::{ArrivalPage, EventNames, Query, QueryError, arrival_page};
use crate::store::TailCursor;

/// Arrivals of a page.
const ROWS: usize = 50;
/// Maximum arrivals that the API returns at once.
pub const MAX_ROWS: usize = 500;
/// Maximum length of a filter line, in bytes.
pub const MAX_QUERY: usize = 2000;
/// Maximum deliveries of an arrival that a row shows.
const DELIVERIES: usize = 6;

/// Arrivals that pass a filter, newest first.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ArrivalsView {
    /// The filter line.
    pub query: String,
    /// The reason why the filter is not understood. Nothing is listed then.
    pub error: Option<QueryFault>,
    #[serde(flatten)]
    pub page: Option<ArrivalPage>,
    /// Position behind everything that is written: `after` of the stream. Null if older arrivals
    /// are shown, which are not live.
    pub cursor: Option<String>,
    /// Number that grows by one with each arrival that is written.
    pub total: i64,
}

/// A fault in a filter line.
#[derive(Debug, Serialize, JsonSchema)]
pub struct QueryFault {
    #[serde(flatten)]
    pub error: QueryError,
    /// Carets below the wrong characters.
    pub marker: String,
}

impl QueryFault {
    fn new(error: QueryError) -> Self {
        let marker = format!(
            "{}{}",
            " ".repeat(error.column.saturating_sub(1)),
            "^".repeat(error.length.max(1))
        );
        Self { error, marker }
    }
}

pub async fn read(sources: &Sources, params: &Params) -> Result<ArrivalsView, ViewError> {
    let query = params.get("q").unwrap_or_default().trim().to_owned();
    if query.len() > MAX_QUERY {
        let message = format!("the filter has more than {MAX_QUERY} bytes");
        return Err(ViewError::Unreadable(message));
    }
    let before = params.get("before").map(|id| {
        let parsed = id.parse();
        parsed.map_err(|error| ViewError::Unreadable(format!("`before`: `{id}` is no id: {error}")))
    });
    let before = before.transpose()?;
    let limit = params.get("limit").map(|limit| {
        let parsed = limit.parse().ok().filter(|limit| (1..=MAX_ROWS).contains(limit));
        parsed.ok_or_else(|| ViewError::Unreadable(format!("`limit` is a number from 1 to {MAX_ROWS}")))
    });
    let limit = limit.transpose()?.unwrap_or(ROWS);
    let (rules, now) = (sources.live.current(), sources.clock.now());
    let parsed = Query::parse(&query, now);
    sources
        .read(move |history| {
            let cursor = history.tail_cursor()?;
            let (page, error) = match parsed {
                Err(error) => (None, Some(QueryFault::new(error))),
                Ok(parsed) => {
                    let names = EventNames::of(&rules);
                    let page = arrival_page(history, &names, &parsed, before, limit, now)?;
                    (Some(page), None)
                }
            };
            let is_live = before.is_none() && error.is_none();
            Ok(ArrivalsView {
                query,
                error,
                page,
                cursor: is_live.then(|| written(cursor)),
                total: cursor.events.saturating_add(cursor.records),
            })
        })
        .await
}

/// A cursor as text.
pub fn written(cursor: TailCursor) -> String {
    format!("{}.{}", cursor.events, cursor.records)
}

/// Keeps a row short: `more_deliveries` says how many are left out.
pub fn shown(view: &ArrivalsView) -> serde_json::Value {
    let mut value = serde_json::to_value(view).unwrap_or_default();
    let rows = value
        .get_mut("arrivals")
        .and_then(serde_json::Value::as_array_mut);
    for row in rows
        .into_iter()
        .flatten()
        .filter_map(serde_json::Value::as_object_mut)
    {
        let deliveries = row.get_mut("deliveries");
        let Some(deliveries) = deliveries.and_then(serde_json::Value::as_array_mut) else {
            continue;
        };
        let more = deliveries.len().saturating_sub(DELIVERIES);
        deliveries.truncate(DELIVERIES);
        row.insert("more_deliveries".to_owned(), more.into());
    }
    value
}
