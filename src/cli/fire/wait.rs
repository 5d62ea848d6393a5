//! The end of a fired delivery, read from the store at intervals. A restart of the daemon in
//! between does not end the wait.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::admin::FireAnswer;
use crate::base::escape;
use crate::cli::events::{DeliveryStatus, delivery_lines, delivery_with_attempts};
use crate::cli::fail;
use crate::cli::location::unusable;
use crate::event::EventId;
use crate::store::{AttemptRecord, DeliveryId, ListedDelivery, Records, StoreError};

/// Interval between reads of the store.
const PAUSE: Duration = Duration::from_millis(200);

/// A delivery at its end, or when the wait was over.
pub(super) struct Ended {
    entry: ListedDelivery,
    attempts: Vec<AttemptRecord>,
}

/// Waits for the end of the delivery that the daemon has made, at most `limit`. The error is the
/// exit code.
pub(super) fn for_end(store: &Path, answer: &FireAnswer, limit: Duration) -> Result<Ended, u8> {
    let ids = answer.event.as_deref().zip(answer.delivery.as_deref());
    let ids = ids.and_then(|(event, delivery)| Some((event.parse().ok()?, delivery.parse().ok()?)));
    let Some((event, delivery)) = ids else {
        return Err(fail("the answer of the daemon is not understood"));
    };
    let begun = now();
    loop {
        match read(store, event, delivery) {
            Ok(Some(ended)) if ended.is_done().is_some() || begun.elapsed() >= limit => return Ok(ended),
            Ok(None) => return Err(fail(&format!("the delivery {delivery} is gone"))),
            Err(error) if !error.may_pass() || begun.elapsed() >= limit => {
                return Err(unusable(store, &error));
            }
            Ok(Some(_)) | Err(_) => thread::sleep(PAUSE.min(limit)),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a command waits by the machine's clock")]
fn now() -> Instant {
    Instant::now()
}

fn read(store: &Path, event: EventId, delivery: DeliveryId) -> Result<Option<Ended>, StoreError> {
    // Reopened each time, since a daemon may have started or stopped.
    let history = Records::at(store).history()?;
    let mut entries = history.of_event(event)?.into_iter();
    let Some(entry) = entries.find(|entry| entry.delivery.id == delivery) else {
        return Ok(None);
    };
    let attempts = history.attempts(delivery)?;
    Ok(Some(Ended { entry, attempts }))
}

impl Ended {
    /// True if all actions are done, false if it ended otherwise; `None` if it goes on.
    pub(super) fn is_done(&self) -> Option<bool> {
        match DeliveryStatus::of(&self.entry) {
            DeliveryStatus::Waiting => None,
            status => Some(status == DeliveryStatus::Done),
        }
    }

    /// Formats the state and the attempts as text.
    pub(super) fn lines(&self) -> Vec<String> {
        let lines = delivery_lines(&self.entry, &self.attempts);
        lines.iter().map(|line| escape::line(line).into_owned()).collect()
    }

    /// Formats the state and the attempts as JSON.
    pub(super) fn to_json(&self) -> Value {
        delivery_with_attempts(&self.entry, &self.attempts)
    }
}
