//! Search for arrivals by windows of the store, until the page is full or a bound is reached.
//!
//! A window is a range of ids, and ids begin with the time. So a page that ends early says how far
//! back it looked, and the next page continues there.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use crate::base::clock::{Clock, Timestamp};
use crate::event::EventId;
use crate::history::{ArrivalRow, EventNames, Query};
use crate::store::{ArrivalWindow, History, ListedArrival, StoreError, TailCursor};

/// Rows of the first window. Each further window has twice as many.
const FIRST_WINDOW: usize = 500;
/// Maximum rows of a window.
const WINDOW: usize = 16_000;
/// Rows of a window whose requests are read.
const READ_WINDOW: usize = 200;

/// Bounds of a search.
#[derive(Clone, Copy, Debug)]
pub struct SearchBounds {
    /// Maximum requests read for conditions.
    pub requests: usize,
    /// Maximum duration. `None`: no limit.
    pub time: Option<Duration>,
}

impl SearchBounds {
    /// The bounds of a command.
    pub const COMMAND: Self = Self {
        requests: 10_000,
        time: None,
    };
    /// The bounds of a view of the page.
    pub const PAGE: Self = Self {
        requests: 10_000,
        time: Some(Duration::from_millis(150)),
    };
}

/// Arrivals that a search has found.
#[derive(Debug)]
pub struct FoundArrivals {
    /// The arrivals, newest first.
    pub arrivals: Vec<ListedArrival>,
    /// The id before which the search continues. `None` at the end.
    pub next: Option<EventId>,
    /// True unless a bound ended the search before the page was full.
    pub complete: bool,
}

impl FoundArrivals {
    /// Earliest time that the search has read, if a bound ended it.
    pub fn looked_back_to(&self) -> Option<Timestamp> {
        self.next.filter(|_| !self.complete).map(|next| next.at())
    }
}

/// A page of arrivals.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ArrivalPage {
    /// The arrivals, newest first.
    pub arrivals: Vec<ArrivalRow>,
    /// Id of an arrival: the next page continues before it. Null at the end.
    pub next: Option<String>,
    /// False if the search took too long and ended before the page was full.
    pub complete: bool,
    /// Earliest time that was searched. Null if the search is complete.
    pub looked_back_to: Option<String>,
}

/// Finds at most `limit` arrivals before the id `before`, newest first. `names` are those of the
/// rules in force.
pub fn search(
    history: &History,
    names: &EventNames,
    query: &Query,
    before: Option<EventId>,
    limit: usize,
    bounds: SearchBounds,
) -> Result<FoundArrivals, StoreError> {
    let clock = Clock::steady(Clock::system());
    let end = bounds.time.map(|time| clock.now().plus(time));
    let is_over = || end.is_some_and(|end| clock.now() >= end);
    let mut found = FoundArrivals {
        arrivals: Vec::new(),
        next: before,
        complete: true,
    };
    let reads = query.reads_requests();
    let (mut rows, mut read) = (if reads { READ_WINDOW } else { FIRST_WINDOW }, 0);
    loop {
        let left = if reads { rows } else { limit - found.arrivals.len() };
        let ArrivalWindow { arrivals, floor } =
            history.arrivals_in_window(&query.filter, found.next, rows, left)?;
        for arrival in arrivals {
            if reads && (read >= bounds.requests || is_over()) {
                found.complete = false;
                return Ok(found);
            }
            found.next = Some(arrival.id);
            if reads {
                read += 1;
                if !query.wants(history, names, &arrival)? {
                    continue;
                }
            }
            found.arrivals.push(arrival);
            if found.arrivals.len() >= limit {
                return Ok(found);
            }
        }
        found.next = floor;
        if floor.is_none() {
            return Ok(found);
        }
        if is_over() {
            found.complete = false;
            return Ok(found);
        }
        if !reads {
            rows = (rows * 2).min(WINDOW);
        }
    }
}

/// Finds a page of arrivals, with the senders' names of their events.
pub fn arrival_page(
    history: &History,
    names: &EventNames,
    query: &Query,
    before: Option<EventId>,
    limit: usize,
    now: Timestamp,
) -> Result<ArrivalPage, StoreError> {
    let mut found = search(history, names, query, before, limit, SearchBounds::PAGE)?;
    history.add_deliveries(&mut found.arrivals)?;
    let looked_back_to = found.looked_back_to().map(|at| at.to_string());
    let mut rows = Vec::with_capacity(found.arrivals.len());
    for arrival in &found.arrivals {
        let mut row = ArrivalRow::of(arrival, now);
        row.event_name = names.of_listed(history, arrival)?;
        rows.push(row);
    }
    Ok(ArrivalPage {
        arrivals: rows,
        next: found.next.map(|next| next.to_string()),
        complete: found.complete,
        looked_back_to,
    })
}

/// Counts the wanted arrivals that were written after `cursor`, and moves the cursor behind them.
/// Without filters no row is read, and deleted ones are counted too. With filters, at most `limit`
/// events and as many other arrivals are read.
pub fn count_after(
    history: &History,
    names: &EventNames,
    query: &Query,
    cursor: &mut TailCursor,
    limit: usize,
) -> Result<u64, StoreError> {
    if query.is_empty() {
        let end = history.tail_cursor()?;
        let new = |end: i64, seen: i64| u64::try_from(end - seen).unwrap_or(0);
        let number = new(end.events, cursor.events) + new(end.records, cursor.records);
        *cursor = end;
        return Ok(number);
    }
    let mut number = 0;
    for arrival in history.listed_after(&query.filter, cursor, limit)? {
        if query.wants(history, names, &arrival)? {
            number += 1;
        }
    }
    Ok(number)
}
