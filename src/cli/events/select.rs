//! Which deliveries are meant: by rule, endpoint, state and time, which the store knows; and by a condition on what
//! they say, for which each has to be read.

use std::sync::Arc;
use std::time::Duration;

use crate::base::clock::{Clock, Timestamp};
use crate::base::diagnostic::{Diagnostics, Source};
use crate::base::units::HumanDuration;
use crate::base::yaml::Document;
use crate::event::EventId;
use crate::matching::{Condition, Matcher};
use crate::payload::Event;
use crate::store::sqlite::{DeliveryFilter, History, ListedDelivery, StoredEvent};
use crate::store::{DeliveryState, StoreError};

/// How many deliveries are read for a condition.
const READ: usize = 10_000;
/// How many of them at once.
const PAGE: usize = 200;

/// Which deliveries are meant; all of it must hold.
#[derive(Debug, Default, clap::Args)]
pub struct Selection {
    /// Of this rule.
    #[arg(long, value_name = "NAME")]
    pub rule: Option<String>,
    /// Of this endpoint, as the rules file writes it.
    #[arg(long, value_name = "PATH")]
    pub endpoint: Option<String>,
    /// That arrived no longer ago than this (`90s`, `1h`, `7d`), or at this time (UTC unless it says otherwise) or later:
    /// `2026-11-24`, `'2026-11-24 14:02'`, `2026-11-24T14:02:00+01:00`.
    #[arg(long, value_name = "WHEN", value_parser = Since::parse)]
    pub since: Option<Since>,
    /// Whose event meets a condition, written as `match` is in the rules: `'{$.ref: refs/heads/main}'`. It is read from the
    /// latest 10000 of those that the other filters leave.
    #[arg(long = "where", value_name = "CONDITION")]
    pub condition: Option<String>,
}

impl Selection {
    /// What it asks for, with a state; on an error, what is wrong with the condition.
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

/// The beginning of a stretch of time that ends now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    /// So long ago.
    Ago(Duration),
    /// At this time.
    At(Timestamp),
}

impl Since {
    /// Reads a duration, a date, a date with a time of day, or RFC 3339.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if let Ok(HumanDuration(period)) = HumanDuration::parse(text) {
            return Ok(Self::Ago(period));
        }
        let separated = text.replacen(' ', "T", 1);
        let as_written = Timestamp::parse_rfc3339(&separated);
        // Without an offset, with or without seconds, with or without a time of day.
        let mut completed = ["Z", ":00Z", "T00:00:00Z"]
            .iter()
            .map(|rest| Timestamp::parse_rfc3339(&format!("{separated}{rest}")));
        let at = as_written.or_else(|| completed.find_map(|at| at));
        at.map(Self::At).ok_or_else(|| {
            format!("`{text}` is neither a duration nor a time; write `90s`, `7d`, `2026-11-24` or `2026-11-24 14:02`")
        })
    }

    /// The moment, as seen from `now`.
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

/// Reads a condition.
fn condition(text: &str) -> Result<Matcher, Diagnostics> {
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

/// A search under way.
#[derive(Debug)]
pub struct Search {
    /// What the store is asked.
    pub filter: DeliveryFilter,
    condition: Option<Matcher>,
    /// The event that was read last, and whether it is wanted: its deliveries stand together.
    last: Option<(EventId, bool)>,
}

/// What was found.
#[derive(Debug)]
pub struct FoundEvent {
    /// The deliveries.
    pub entries: Vec<ListedDelivery>,
    /// Whether there are older ones that were not read.
    pub cut: bool,
}

impl Search {
    /// What is asked for, in words, to follow `no delivery`: ` of the rule `x`, in the state dead`.
    pub fn described(&self) -> String {
        let DeliveryFilter {
            rule,
            endpoint,
            state,
            since,
        } = &self.filter;
        let parts = [
            rule.as_ref().map(|rule| format!("of the rule `{rule}`")),
            endpoint
                .as_ref()
                .map(|endpoint| format!("on the endpoint `{endpoint}`")),
            state.map(|state| format!("in the state `{state}`")),
            since.map(|since| format!("received since {since}")),
            self.condition
                .as_ref()
                .map(|_| "that meets the condition".to_owned()),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        if parts.is_empty() {
            String::new()
        } else {
            format!(" {}", parts.join(", "))
        }
    }

    /// At most `limit` deliveries, newest first.
    pub fn newest(&mut self, history: &History, limit: usize) -> Result<FoundEvent, StoreError> {
        if self.condition.is_none() {
            let entries = history.before(&self.filter, i64::MAX, limit)?;
            return Ok(FoundEvent { entries, cut: false });
        }
        let mut found = FoundEvent {
            entries: Vec::new(),
            cut: false,
        };
        let (mut before, mut read) = (i64::MAX, 0);
        while found.entries.len() < limit {
            if read >= READ {
                found.cut = true;
                break;
            }
            let page = history.before(&self.filter, before, PAGE)?;
            let Some(oldest) = page.last() else { break };
            (before, read) = (oldest.row, read + page.len());
            for entry in page {
                if found.entries.len() < limit && self.reads(history, &entry)? {
                    found.entries.push(entry);
                }
            }
        }
        Ok(found)
    }

    /// Whether a delivery is meant.
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

    /// Whether what a delivery says is what is asked for.
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
        let event = history.event(id)?.and_then(|kept| event(&kept).ok());
        let wanted = event.is_some_and(|event| !condition.matching(&event, &|_| true).is_empty());
        self.last = Some((id, wanted));
        Ok(wanted)
    }
}

/// An event with its payload; or why it cannot be decoded.
pub fn event(kept: &StoredEvent) -> Result<Event, String> {
    Event::kept(Arc::clone(&kept.received), &kept.decode)
}

/// What a delivery is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum DeliveryStatus {
    /// It waits for its turn, or is under way.
    Waiting,
    /// All its actions are done.
    Done,
    /// Another took its place, or was before it.
    Superseded,
    /// It was given up on.
    Dead,
}

impl DeliveryStatus {
    /// What this one is doing.
    pub fn of(entry: &ListedDelivery) -> Self {
        match entry.delivery.state {
            DeliveryState::Waiting { .. } | DeliveryState::Leased => Self::Waiting,
            DeliveryState::Done { .. } => Self::Done,
            DeliveryState::Superseded { .. } => Self::Superseded,
            DeliveryState::Dead { .. } => Self::Dead,
        }
    }

    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Done => "done",
            Self::Superseded => "superseded",
            Self::Dead => "dead",
        }
    }
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
