//! The end of a fired delivery, read from the store at intervals. A restart of the daemon in
//! between does not end the wait.

use std::time::Duration;

use serde_json::{Value, json};

use crate::admin::FireAnswer;
use crate::base::clock::Clock;
use crate::base::escape;
use crate::cli::events::delivery_lines;
use crate::cli::location::unusable;
use crate::cli::{fail, poll};
use crate::event::EventId;
use crate::history::{DeliveryDetail, DeliveryStatus};
use crate::store::{AttemptRecord, DeliveryId, ListedDelivery, Pauses, Place, Records, StoreError};

/// The deliveries of the rule at their end, or when the wait was over. There is one, or with
/// `for_each` one for each element.
pub(super) struct Ended(Vec<(ListedDelivery, Vec<AttemptRecord>)>);

/// Waits for the end of the deliveries that the daemon has made, at most `limit`. The error is the
/// exit code.
pub(super) fn for_end(store: &Place, answer: &FireAnswer, limit: Duration) -> Result<Ended, u8> {
    let ids = answer.event.as_deref().zip(answer.delivery.as_deref());
    let ids = ids.and_then(|(event, delivery)| Some((event.parse().ok()?, delivery.parse().ok()?)));
    let Some((event, delivery)) = ids else {
        return Err(fail("the answer of the daemon is not understood"));
    };
    poll::until(limit, |is_over| match read(store, event, delivery) {
        Ok(Some(ended)) if ended.is_done().is_some() || is_over => Some(Ok(ended)),
        Ok(None) => Some(Err(fail(&format!("the delivery {delivery} is gone")))),
        Err(error) if !error.may_pass() || is_over => Some(Err(unusable(store, &error))),
        Ok(Some(_)) | Err(_) => None,
    })
}

fn read(store: &Place, event: EventId, delivery: DeliveryId) -> Result<Option<Ended>, StoreError> {
    // Reopened each time, since a daemon may have started or stopped.
    let history = Records::at(store).history()?;
    let entries = history.of_event(event)?;
    if !entries.iter().any(|entry| entry.delivery.id == delivery) {
        return Ok(None);
    }
    // The event was fired for this rule alone.
    let of_event = entries
        .into_iter()
        .filter(|entry| entry.delivery.failure_of.is_none());
    let with_attempts = of_event.map(|entry| {
        let attempts = history.attempts(entry.delivery.id)?;
        Ok((entry, attempts))
    });
    Ok(Some(Ended(with_attempts.collect::<Result<_, StoreError>>()?)))
}

impl Ended {
    /// True if all actions are done, false if a delivery ended otherwise; `None` if one goes on.
    pub(super) fn is_done(&self) -> Option<bool> {
        let statuses = self.0.iter().map(|(entry, _)| DeliveryStatus::of(entry));
        let mut done = true;
        for status in statuses {
            match status {
                DeliveryStatus::Waiting => return None,
                status => done &= status == DeliveryStatus::Done,
            }
        }
        Some(done)
    }

    /// Formats the states and the attempts as text.
    pub(super) fn lines(&self) -> Vec<String> {
        let lines = self
            .0
            .iter()
            .flat_map(|(entry, attempts)| delivery_lines(entry, attempts));
        lines.map(|line| escape::line(&line).into_owned()).collect()
    }

    /// Formats the state and the attempts as JSON: a list for a rule with `for_each`.
    pub(super) fn to_json(&self) -> Value {
        match self.0.as_slice() {
            [(entry, attempts)] if entry.delivery.item.is_none() => as_json(entry, attempts),
            all => all
                .iter()
                .map(|(entry, attempts)| as_json(entry, attempts))
                .collect(),
        }
    }
}

fn as_json(entry: &ListedDelivery, attempts: &[AttemptRecord]) -> Value {
    let now = Clock::system().now();
    json!(DeliveryDetail::of(entry, attempts, &Pauses::default(), None, now))
}
