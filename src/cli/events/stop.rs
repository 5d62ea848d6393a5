//! `hookyard events stop`: the running daemon stops the attempts of a delivery or of an event.
//!
//! The daemon answers when the stop has begun. The end of each attempt is read from the store.

use std::time::Duration;

use serde_json::{Value, json};

use super::list::{named, reason};
use super::{find, look};
use crate::admin::{AfterStopName, StopAnswer, StopRequest, StopTargetId, StoppedAttempt};
use crate::base::clock::{Clock, Timestamp};
use crate::base::count::counted;
use crate::base::escape;
use crate::base::units::HumanDuration;
use crate::cli::ask::{NotAnswered, ask};
use crate::cli::location::{StoreLocation, unusable};
use crate::cli::{Format, NO, UNKNOWN, YES, complain, fail, poll, say, status};
use crate::history::{DeliveryRow, DeliveryStatus, Phase};
use crate::store::{AttemptRecord, History, ListedDelivery, Lookup, Named, Place, Records, StoreError};

/// Maximum deliveries described if none of them runs.
const SHOWN: usize = 10;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// A delivery, or an event: then all its deliveries that run. A unique prefix of the id is enough.
    id: String,
    /// Try the delivery again by its rule, as after a failure. After its last attempt it becomes a
    /// dead letter.
    #[arg(long, conflicts_with = "drop")]
    retry: bool,
    /// Make the delivery a dead letter. The rule's `on_failure` actions run.
    #[arg(long)]
    drop: bool,
    /// Maximum wait for the end of the attempts. A command that ignores the first signal ends after
    /// its `grace`.
    #[arg(long, value_name = "DURATION", default_value = "1m")]
    timeout: String,
    /// Output format.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// A stopped attempt, and what the store says about its delivery.
struct Stopped {
    attempt: StoppedAttempt,
    since: Timestamp,
    /// The delivery. `None` if it was deleted.
    entry: Option<ListedDelivery>,
    /// The attempt when it has ended.
    record: Option<AttemptRecord>,
}

pub fn run(place: &Place, location: &StoreLocation, arguments: &Arguments) -> Result<u8, u8> {
    let limit = HumanDuration::parse(&arguments.timeout).map_err(|message| fail(&message))?;
    let after = match (arguments.retry, arguments.drop) {
        (true, _) => AfterStopName::Retry,
        (_, true) => AfterStopName::Drop,
        (false, false) => {
            return Err(fail(
                "what becomes of the delivery? `--retry` tries it again by its rule, `--drop` makes it a dead letter",
            ));
        }
    };
    let failed = |error: StoreError| unusable(place, &error);
    let id = find(place, &look(place)?, &arguments.id)?;
    let target = match id {
        Named::Event(event) => StopTargetId::Event(event.to_string()),
        Named::Delivery { id, .. } => StopTargetId::Delivery(id.to_string()),
    };
    let answer = stop(place, location, &StopRequest { target, after })?;
    if answer.stopped.is_empty() {
        let history = look(place)?;
        return tell_idle(&history, id, arguments).map_err(failed);
    }
    let stopped = for_end(place, answer.stopped, limit.0)?;
    let text = match arguments.format {
        Format::Json => json!({
            "stopped": stopped.iter().filter(|stopped| stopped.is_cancelled()).count(),
            "deliveries": stopped.iter().map(Stopped::to_json).collect::<Vec<_>>(),
        })
        .to_string(),
        Format::Text => {
            let lines = stopped.iter().map(Stopped::line);
            let lines: Vec<String> = lines.map(|line| escape::line(&line).into_owned()).collect();
            lines.join("\n")
        }
    };
    let code = match () {
        () if stopped.iter().any(Stopped::is_going_on) => UNKNOWN,
        () if stopped.iter().any(Stopped::is_cancelled) => YES,
        () => NO,
    };
    Ok(say(&text, code))
}

/// Asks the daemon to stop. The error is the exit code.
fn stop(store: &Place, location: &StoreLocation, request: &StopRequest) -> Result<StopAnswer, u8> {
    let socket = status::socket_of(location, status::BY_RULES)?;
    let shown = socket.display();
    let absent = |error: std::io::Error| {
        fail(&format!(
            "no daemon answers at `{shown}`: {error}; attempts are stopped by the running daemon"
        ))
    };
    if let Some(other) = status::other_store(&socket, store).map_err(absent)? {
        return Err(fail(&format!(
            "the daemon at `{shown}` has the store `{other}`, not `{store}`"
        )));
    }
    let of = match &request.target {
        StopTargetId::Delivery(id) => format!("deliveries/{id}"),
        StopTargetId::Event(id) => format!("arrivals/{id}"),
    };
    let operation = format!("POST /api/v1/{of}/stop");
    let answer: StopAnswer = ask(&socket, &operation, request).map_err(|error| match error {
        NotAnswered::Absent(error) => absent(error),
        error => fail(&error.describe(&socket, "stop attempts")),
    })?;
    match answer.failed {
        Some(why) => Err(fail(&why)),
        None => Ok(answer),
    }
}

/// Prints the states of deliveries of which none runs.
fn tell_idle(history: &History, id: Named, arguments: &Arguments) -> Result<u8, StoreError> {
    let (event, only) = match id {
        Named::Event(event) => (event, None),
        Named::Delivery { id, event } => (event, Some(id)),
    };
    let mut entries = history.of_event(event)?;
    entries.retain(|entry| only.is_none_or(|only| only == entry.delivery.id));
    if arguments.format == Format::Json {
        let deliveries: Vec<Value> = entries.iter().map(as_json).collect();
        return Ok(say(
            &json!({"stopped": 0, "deliveries": deliveries}).to_string(),
            NO,
        ));
    }
    let mut lines: Vec<String> = entries.iter().take(SHOWN).map(idle_line).collect();
    match entries.len().saturating_sub(SHOWN) {
        0 => {}
        more => lines.push(format!("none of {more} more runs either")),
    }
    if lines.is_empty() {
        lines.push(format!("{event} became no event, and runs nothing"));
    }
    if entries
        .iter()
        .any(|entry| DeliveryStatus::of(entry) == DeliveryStatus::Waiting)
    {
        lines.push(format!(
            "`hookyard events drop {}` gives up what waits",
            arguments.id
        ));
    }
    let lines: Vec<_> = lines.iter().map(|line| escape::line(line)).collect();
    Ok(say(&lines.join("\n"), NO))
}

fn idle_line(entry: &ListedDelivery) -> String {
    let delivery = &entry.delivery;
    let state = match phase(entry) {
        // The daemon knows better than the store, which may not have been told of the end yet.
        None | Some(Phase::Running) => DeliveryStatus::of(entry).name().to_owned(),
        Some(phase) => phase.to_string(),
    };
    let reason = match (DeliveryStatus::of(entry), reason(entry)) {
        (DeliveryStatus::Waiting, _) => String::new(),
        (_, reason) if reason.is_empty() => reason,
        (_, reason) => format!(", {reason}"),
    };
    format!(
        "{} to {} does not run: {state}{reason}",
        delivery.id,
        named(delivery)
    )
}

/// Waits until all attempts have ended, at most `limit`. The error is the exit code.
fn for_end(place: &Place, attempts: Vec<StoppedAttempt>, limit: Duration) -> Result<Vec<Stopped>, u8> {
    let mut stopped = Vec::with_capacity(attempts.len());
    for attempt in attempts {
        let since = Timestamp::parse_rfc3339(&attempt.since)
            .ok_or_else(|| fail("the answer of the daemon is not understood"))?;
        stopped.push(Stopped {
            attempt,
            since,
            entry: None,
            record: None,
        });
    }
    poll::until(limit, |is_over| {
        let read = stopped.iter_mut().try_for_each(|stopped| stopped.read(place));
        match read {
            Ok(()) if is_over || !stopped.iter().any(Stopped::is_going_on) => Some(Ok(())),
            Err(error) if is_over || !error.may_pass() => Some(Err(unusable(place, &error))),
            Ok(()) | Err(_) => None,
        }
    })?;
    let left = stopped.iter().filter(|stopped| stopped.is_going_on()).count();
    if left > 0 {
        let attempts = counted(left, "attempt");
        complain(&format!(
            "error: {attempts} did not end within {}",
            HumanDuration(limit)
        ));
    }
    Ok(stopped)
}

impl Stopped {
    /// Reads the delivery and its attempts.
    fn read(&mut self, place: &Place) -> Result<(), StoreError> {
        if self.record.is_some() {
            return Ok(());
        }
        let history = Records::at(place).history()?;
        let Lookup::Found(Named::Delivery { id, event }) = history.find(&self.attempt.delivery)? else {
            self.entry = None;
            return Ok(());
        };
        let record = |history: &History| -> Result<Option<AttemptRecord>, StoreError> {
            let attempts = history.attempts(id)?;
            Ok(attempts.into_iter().rev().find(|record| {
                !matches!(record.outcome.as_str(), "dropped" | "replayed")
                    && record.action == self.attempt.action
                    && record.number == self.attempt.attempt
                    && record.started >= self.since
            }))
        };
        // Before the state and after it, so that a state after the end comes with the record.
        let before = record(&history)?;
        let mut entries = history.of_event(event)?;
        entries.retain(|entry| entry.delivery.id == id);
        self.record = before.map_or_else(|| record(&history), |before| Ok(Some(before)))?;
        self.entry = entries.pop();
        Ok(())
    }

    fn is_going_on(&self) -> bool {
        let waits = |entry: &ListedDelivery| matches!(phase(entry), Some(Phase::Running | Phase::Due));
        self.record.is_none() && self.entry.as_ref().is_some_and(waits)
    }

    /// True if the attempt ended by the stop, and not by itself. Of a delivery that was dropped
    /// before, the outcome is not kept.
    fn is_cancelled(&self) -> bool {
        match &self.record {
            Some(record) => record.outcome == "cancelled",
            None => !self.is_going_on(),
        }
    }

    fn line(&self) -> String {
        let attempt = &self.attempt;
        let place = format!(
            "action {}, attempt {}",
            attempt.action.saturating_add(1),
            attempt.attempt
        );
        let rule = self
            .entry
            .as_ref()
            .map_or_else(|| attempt.rule.clone(), |entry| named(&entry.delivery));
        let begin = format!("{} to {rule}", attempt.delivery);
        let state = self.entry.as_ref().map_or_else(|| "deleted".to_owned(), state);
        match &self.record {
            Some(record) if record.outcome == "cancelled" => format!("{begin}: stopped at {place}; {state}"),
            Some(record) => format!(
                "{begin}: {place} had ended before it was stopped: {}, {}; {state}",
                record.outcome, record.detail
            ),
            None if self.is_going_on() => format!("{begin}: being stopped at {place}"),
            None => format!("{begin}: stopped at {place}, and its outcome is not kept; {state}"),
        }
    }

    fn to_json(&self) -> Value {
        let attempt = &self.attempt;
        json!({
            "delivery": attempt.delivery,
            "rule": attempt.rule,
            "action": attempt.action.saturating_add(1),
            "attempt": attempt.attempt,
            "outcome": self.record.as_ref().map(|record| &record.outcome),
            "detail": self.record.as_ref().map(|record| &record.detail),
            "state": self.entry.as_ref().map(as_json),
        })
    }
}

/// The state of a delivery after the stop.
fn state(entry: &ListedDelivery) -> String {
    match (phase(entry), entry.delivery.state.reason()) {
        (Some(phase), _) => phase.to_string(),
        (None, Some(reason)) => format!("{}: {reason}", DeliveryStatus::of(entry).name()),
        (None, None) => DeliveryStatus::of(entry).name().to_owned(),
    }
}

fn phase(entry: &ListedDelivery) -> Option<Phase> {
    Phase::at(entry, Clock::system().now())
}

fn as_json(entry: &ListedDelivery) -> Value {
    json!(DeliveryRow::of(entry, Clock::system().now()))
}
