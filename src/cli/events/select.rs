//! Selection of deliveries: by rule, endpoint, state and time through the store's index, and by a
//! condition, for which each event must be read.

use std::time::Duration;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

use crate::base::clock::{Clock, Timestamp};
use crate::base::diagnostic::{Diagnostics, Source};
use crate::base::units::HumanDuration;
use crate::base::yaml::Document;
use crate::event::EventId;
use crate::history::{DeliveryStatus, decoded};
use crate::matching::{Condition, Matcher};
use crate::payload::Event;
use crate::store::{DeliveryFilter, History, ListedDelivery, StoreError, StoredEvent};

/// Maximum deliveries or arrivals read for a condition.
const READ: usize = 10_000;
/// Deliveries or arrivals read at once for a condition.
pub const PAGE: usize = 200;

/// Filters of deliveries. All of them must hold.
#[derive(Debug, Default, clap::Args)]
pub struct Selection {
    /// Only deliveries to this rule.
    #[arg(long, value_name = "NAME")]
    pub rule: Option<String>,
    /// Only deliveries of this endpoint, as written in the rules file.
    #[arg(long, value_name = "PATH")]
    pub endpoint: Option<String>,
    /// Only events received within this duration (`90s`, `1h`, `7d`), or since this time (default
    /// UTC): `2026-11-24`, `'2026-11-24 14:02'`, `2026-11-24T14:02:00+01:00`.
    #[arg(long, value_name = "WHEN", value_parser = Since::parse)]
    pub since: Option<Since>,
    /// Only events that meet a condition, written like `match` in the rules: `'{$.ref:
    /// refs/heads/main}'`. It is checked on the latest 10000 deliveries that pass the other
    /// filters.
    #[arg(long = "where", value_name = "CONDITION")]
    pub condition: Option<String>,
}

impl Selection {
    /// Builds the search for deliveries in `state`. Fails if the condition is invalid.
    pub fn search(&self, state: Option<&'static str>) -> Result<Search, Diagnostics> {
        let since = self.since.map(|since| since.at(Clock::system().now()));
        let condition = self.condition.as_deref().map(condition).transpose()?;
        Ok(Search {
            filter: DeliveryFilter {
                rule: self.rule.clone(),
                endpoint: self.endpoint.clone(),
                state,
                since,
            },
            condition,
            last: None,
        })
    }
}

/// Start of a time range that ends now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    /// A duration before now.
    Ago(Duration),
    At(Timestamp),
}

impl Since {
    /// Parses a duration, a date, a date with a time, or RFC 3339.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if let Ok(HumanDuration(period)) = HumanDuration::parse(text) {
            return Ok(Self::Ago(period));
        }
        let separated = text.replacen(' ', "T", 1);
        let as_written = Timestamp::parse_rfc3339(&separated);
        // Without an offset, with or without seconds, with or without a time.
        let mut completed = ["Z", ":00Z", "T00:00:00Z"]
            .iter()
            .map(|rest| Timestamp::parse_rfc3339(&format!("{separated}{rest}")));
        let at = as_written.or_else(|| completed.find_map(|at| at));
        at.map(Self::At).ok_or_else(|| {
            format!("`{text}` is neither a duration nor a time; write `90s`, `7d`, `2026-11-24` or `2026-11-24 14:02`")
        })
    }

    /// Resolves the start, relative to `now`.
    pub fn at(self, now: Timestamp) -> Timestamp {
        match self {
            Self::Ago(period) => {
                let period = i64::try_from(period.as_millis()).unwrap_or(i64::MAX);
                Timestamp::from_millis(now.as_millis().saturating_sub(period))
            }
            Self::At(at) => at,
        }
    }
}

/// Compiles a condition.
pub fn condition(text: &str) -> Result<Matcher, Diagnostics> {
    let mut diagnostics = Diagnostics::new();
    let source = Source {
        path: "--where".into(),
        text: text.to_owned(),
    };
    Document::parse(source, &mut diagnostics)
        .and_then(|document| Condition::compile(document.root(), None, &mut diagnostics))
        .map(|condition| Matcher::new(vec![condition]))
        .ok_or(diagnostics)
}

/// A search, with a cache of the last event read.
#[derive(Debug)]
pub struct Search {
    /// The filter that the store applies.
    pub filter: DeliveryFilter,
    condition: Option<Matcher>,
    /// The event read last, and the result of its condition. Deliveries of an event are adjacent.
    last: Option<(EventId, bool)>,
}

/// The result of a search.
#[derive(Debug)]
pub struct Found<T> {
    pub entries: Vec<T>,
    /// True if older ones were not read.
    pub cut: bool,
}

/// Finds at most `limit` entries for which `wants` returns true, newest first. `page` reads the
/// entries before a position, and `position` is that of an entry.
pub fn search<T, P: Copy>(
    limit: usize,
    page: impl Fn(Option<P>) -> Result<Vec<T>, StoreError>,
    position: impl Fn(&T) -> P,
    mut wants: impl FnMut(&T) -> Result<bool, StoreError>,
) -> Result<Found<T>, StoreError> {
    let mut found = Found {
        entries: Vec::new(),
        cut: false,
    };
    let (mut before, mut read) = (None, 0);
    while found.entries.len() < limit {
        if read >= READ {
            found.cut = true;
            break;
        }
        let page = page(before)?;
        let Some(oldest) = page.last() else { break };
        (before, read) = (Some(position(oldest)), read + page.len());
        for entry in page {
            if found.entries.len() < limit && wants(&entry)? {
                found.entries.push(entry);
            }
        }
    }
    Ok(found)
}

impl Search {
    /// Finds at most `limit` deliveries, newest first.
    pub fn newest(&mut self, history: &History, limit: usize) -> Result<Found<ListedDelivery>, StoreError> {
        if self.condition.is_none() {
            let entries = history.before(&self.filter, i64::MAX, limit)?;
            return Ok(Found { entries, cut: false });
        }
        let filter = self.filter.clone();
        let page = |before: Option<i64>| history.before(&filter, before.unwrap_or(i64::MAX), PAGE);
        search(limit, page, |entry| entry.row, |entry| self.reads(history, entry))
    }

    /// True if a delivery passes all filters.
    pub fn wants(&mut self, history: &History, entry: &ListedDelivery) -> Result<bool, StoreError> {
        let DeliveryFilter {
            rule,
            endpoint,
            state,
            since,
        } = &self.filter;
        let wanted = rule.as_ref().is_none_or(|rule| **rule == *entry.delivery.rule)
            && endpoint
                .as_ref()
                .is_none_or(|endpoint| *endpoint == entry.endpoint)
            && state.is_none_or(|state| state == DeliveryStatus::of(entry).name())
            && since.is_none_or(|since| entry.received_at >= since);
        Ok(wanted && self.reads(history, entry)?)
    }

    /// True if the event of a delivery meets the condition.
    pub fn reads(&mut self, history: &History, entry: &ListedDelivery) -> Result<bool, StoreError> {
        let Some(condition) = &self.condition else {
            return Ok(true);
        };
        let id = entry.delivery.event;
        if let Some((last, wanted)) = self.last
            && last == id
        {
            return Ok(wanted);
        }
        let event = history.event(id)?.and_then(|stored| event(&stored).ok());
        let wanted = event.is_some_and(|event| !condition.matching(&event, &|_| true).is_empty());
        self.last = Some((id, wanted));
        Ok(wanted)
    }
}

/// Decodes a stored event. The error says why that fails.
pub fn event(stored: &StoredEvent) -> Result<Event, String> {
    decoded(&stored.received, &stored.decode)
}

/// Parser of a state of deliveries, which lists them all in the help text.
pub fn status() -> impl TypedValueParser<Value = DeliveryStatus> {
    let names = DeliveryStatus::ALL.map(|status| PossibleValue::new(status.name()).help(status.meaning()));
    PossibleValuesParser::new(names).try_map(|name| name.parse::<DeliveryStatus>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beginning_is_a_duration_or_a_time() {
        let now = Timestamp::parse_rfc3339("2026-11-24T15:00:00Z").unwrap();
        for (text, expected) in [
            ("90s", "2026-11-24T14:58:30.000Z"),
            ("1h 30m", "2026-11-24T13:30:00.000Z"),
            ("7d", "2026-11-17T15:00:00.000Z"),
            ("2026-11-24", "2026-11-24T00:00:00.000Z"),
            ("2026-11-24 14:02", "2026-11-24T14:02:00.000Z"),
            ("2026-11-24 14:02:03", "2026-11-24T14:02:03.000Z"),
            ("2026-11-24T14:02", "2026-11-24T14:02:00.000Z"),
            ("2026-11-24T14:02:03.5Z", "2026-11-24T14:02:03.500Z"),
            ("2026-11-24T14:02:00+01:00", "2026-11-24T13:02:00.000Z"),
            (" 2026-11-24 ", "2026-11-24T00:00:00.000Z"),
        ] {
            let since = Since::parse(text).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(since.at(now).to_string(), expected, "{text}");
        }
        for text in [
            "",
            "90",
            "yesterday",
            "2026-13-01",
            "2026-11-31",
            "14:02",
            "24.11.2026",
            "-1h",
        ] {
            let error = Since::parse(text).unwrap_err();
            assert!(error.contains("write `90s`"), "{error}");
        }
    }
}
