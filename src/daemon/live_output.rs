//! Output of running commands for the admin API.
//!
//! The pipeline tells what runs; the store tells the state of a delivery of which nothing runs.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use crate::act::StreamName;
use crate::admin::{
    AttemptBegins, AttemptEnds, DeliveryIs, EventSender, LeftOut, OutputPlace, OutputRequest, OutputService,
    OutputSource, Performing, ServerEvent,
};
use crate::daemon::shared::Shared;
use crate::pipeline::{Dispatcher, OutputCursor, OutputPiece, OutputReader};
use crate::store::{DeliveryId, DeliveryState, Lookup, Named, Place, Records, StoreError};

/// Interval between looks at the store while nothing runs.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Builds the service that follows deliveries.
pub(super) fn output_service(shared: &Shared, dispatcher: &Arc<Dispatcher>) -> OutputService {
    let (dispatcher, store) = (Arc::clone(dispatcher), shared.place.clone());
    OutputService::new(move |request: OutputRequest| {
        let (dispatcher, store) = (Arc::clone(&dispatcher), store.clone());
        let finding: Performing<Option<OutputSource>> = Box::pin(async move {
            let delivery = request.delivery.parse().ok()?;
            // Before the look, so that no attempt in between is missed.
            let after = request.after.as_ref().map(|place| OutputCursor {
                attempt: place.attempt.clone(),
                position: place.position,
                is_ended: place.is_ended,
            });
            let reader = dispatcher.follow(delivery, after);
            // A store that cannot be read now may be read later.
            if let Ok(None) = state(&store, delivery).await {
                return None;
            }
            let place = request.after.unwrap_or_default();
            let following = Following {
                reader,
                place,
                store,
                delivery,
            };
            let source: OutputSource = Box::new(|sender| Box::pin(following.send_all(sender)));
            Some(source)
        });
        finding
    })
}

/// One stream of a delivery.
struct Following {
    reader: OutputReader,
    place: OutputPlace,
    store: Place,
    delivery: DeliveryId,
}

impl Following {
    /// Sends events until the delivery ends.
    async fn send_all(mut self, sender: EventSender) {
        let mut told: Option<DeliveryIs> = None;
        let mut look_in = Duration::ZERO;
        loop {
            let piece = if self.reader.is_reading() {
                self.reader.next().await
            } else {
                tokio::select! {
                    biased;
                    piece = self.reader.next() => piece,
                    () = sleep(look_in) => {
                        look_in = LOOK_EVERY;
                        let Ok(found) = state(&self.store, self.delivery).await else { continue };
                        // What has begun since is sent first.
                        if self.reader.is_reading() {
                            continue;
                        }
                        let (is_ended, is) = found.unwrap_or_else(deleted);
                        if !is_ended && told.as_ref() == Some(&is) {
                            continue;
                        }
                        let event = self.place.event(if is_ended { "end" } else { "waiting" }, &is);
                        if sender.send(event).await.is_err() || is_ended {
                            return;
                        }
                        told = Some(is);
                        continue;
                    }
                }
            };
            told = None;
            if let OutputPiece::End(end) = &piece {
                look_in = if end.goes_on { LOOK_EVERY } else { Duration::ZERO };
            }
            for event in self.events(piece) {
                if sender.send(event).await.is_err() {
                    return;
                }
            }
        }
    }

    /// The events of a piece.
    fn events(&mut self, piece: OutputPiece) -> Vec<ServerEvent> {
        let mut events = Vec::new();
        if let OutputPiece::End(_) = piece {
            events = self.place.rest();
        }
        if let Some(cursor) = self.reader.cursor() {
            self.place
                .advance(&cursor.attempt, cursor.position, cursor.is_ended);
        }
        match piece {
            OutputPiece::Attempt(attempt, kind) => {
                let data = AttemptBegins {
                    delivery: attempt.delivery.to_string(),
                    rule: attempt.rule.to_string(),
                    action: attempt.action.saturating_add(1),
                    kind: kind.to_owned(),
                    attempt: attempt.number,
                    started_at: attempt.since.to_string(),
                };
                events.push(self.place.event("attempt", &data));
            }
            OutputPiece::Output(stream, bytes) => {
                events.extend(self.place.output(stream == StreamName::Stderr, &bytes));
            }
            OutputPiece::LeftOut(bytes) => {
                self.place.partial = Default::default();
                events.push(self.place.event("left_out", &LeftOut { bytes }));
            }
            OutputPiece::End(end) => {
                let (outcome, detail) = end.record.unzip();
                events.push(self.place.event("attempt_end", &AttemptEnds { outcome, detail }));
            }
        }
        events
    }
}

fn deleted() -> (bool, DeliveryIs) {
    let is = DeliveryIs {
        state: "deleted".to_owned(),
        reason: None,
        due: None,
    };
    (true, is)
}

/// Reads the state of a delivery, and whether it has ended. `None`: there is no such delivery.
async fn state(store: &Place, id: DeliveryId) -> Result<Option<(bool, DeliveryIs)>, StoreError> {
    let store = store.clone();
    let reading = tokio::task::spawn_blocking(move || {
        let history = Records::at(&store).history()?;
        let Lookup::Found(Named::Delivery { event, .. }) = history.find(&id.to_string())? else {
            return Ok(None);
        };
        let mut entries = history.of_event(event)?.into_iter();
        let found = entries.find(|entry| entry.delivery.id == id);
        Ok(found.map(|entry| described(&entry.delivery.state)))
    });
    reading.await.unwrap_or(Ok(None))
}

fn described(state: &DeliveryState) -> (bool, DeliveryIs) {
    let (is_ended, name, due) = match state {
        DeliveryState::Debounced { due, .. } => (false, "debounced", Some(due)),
        DeliveryState::Queued { .. } => (false, "queued", None),
        DeliveryState::Ready { due } => (false, "due", Some(due)),
        DeliveryState::Running => (false, "running", None),
        DeliveryState::Done { .. } => (true, "done", None),
        DeliveryState::Superseded { .. } => (true, "superseded", None),
        DeliveryState::Dead { .. } => (true, "dead", None),
    };
    let is = DeliveryIs {
        state: name.to_owned(),
        reason: state.reason().map(str::to_owned),
        due: due.map(ToString::to_string),
    };
    (is_ended, is)
}
