//! Deliveries that the operator replays or drops through the admin API.

use std::sync::Arc;

use tracing::info;

use crate::admin::{
    ChangeAnswer, ChangeRequest, ChangedDeliveries, Changer, DESCRIBED, DeliveryChange, MAX_CHANGE,
};
use crate::base::clock::Clock;
use crate::daemon::shared::{Shared, operator_name};
use crate::store::{DeliveryId, DeliveryState, History, ListedDelivery, Lookup, Named, Records, StoreError};

/// Builds the service that changes deliveries.
pub(super) fn changer(shared: &Shared) -> Changer {
    let (records, clock) = (Records::at(&shared.place), shared.clock.clone());
    Changer::new(
        || MAX_CHANGE,
        move |request, who| {
            let (records, clock) = (records.clone(), clock.clone());
            Box::pin(async move {
                let by: Arc<str> = operator_name(who).await.into();
                let changing = tokio::task::spawn_blocking(move || change(&records, &clock, &request, &by));
                let changed = changing.await.map_err(|error| error.to_string()).flatten();
                changed.unwrap_or_else(|why| ChangeAnswer {
                    failed: Some(why),
                    ..ChangeAnswer::default()
                })
            })
        },
    )
}

/// The deliveries that a request means.
struct Selected {
    /// At most 10,000.
    ids: Vec<DeliveryId>,
    /// Number of all.
    count: u64,
    /// The first ones, for people.
    first: Vec<String>,
}

fn change(
    records: &Records,
    clock: &Clock,
    request: &ChangeRequest,
    by: &str,
) -> Result<ChangeAnswer, String> {
    let selected = select(records, request)?;
    let changed = match request.change {
        DeliveryChange::Replay => "replayed",
        DeliveryChange::Drop => "dropped",
    };
    if let Some(expected) = request.count.filter(|expected| *expected != selected.count) {
        return Err(format!(
            "there are {} now, not {expected}: nothing was changed, look again",
            selected.count
        ));
    }
    let deliveries = if request.dry_run {
        selected.ids.len() as u64
    } else {
        let store = |error: StoreError| format!("the store: {error}");
        let (ids, now) = (&selected.ids, clock.now());
        let number = match request.change {
            DeliveryChange::Replay => records.replay(ids, now, by).map_err(store)?,
            DeliveryChange::Drop => {
                let dropped = records.drop_deliveries(ids, now, by).map_err(store)?;
                dropped.given_up + dropped.forgotten
            }
        };
        let first = ids.first().map(ToString::to_string).unwrap_or_default();
        match request.change {
            DeliveryChange::Replay => info!(number, by, delivery = first, "replayed deliveries"),
            DeliveryChange::Drop => info!(number, by, delivery = first, "dropped deliveries"),
        }
        number as u64
    };
    Ok(ChangeAnswer {
        failed: None,
        dry_run: request.dry_run,
        changed,
        deliveries,
        meant: selected.count,
        first: selected.first,
    })
}

fn select(records: &Records, request: &ChangeRequest) -> Result<Selected, String> {
    let store = |error: StoreError| format!("the store: {error}");
    let history = records.history().map_err(store)?;
    let entries = match &request.of {
        ChangedDeliveries::Group { rule, reason } => {
            let selected = history.select_dead(rule, reason.as_deref()).map_err(store)?;
            return Ok(Selected {
                ids: selected.deliveries,
                count: selected.count,
                first: Vec::new(),
            });
        }
        ChangedDeliveries::Delivery(id) => one(&history, id)?,
        ChangedDeliveries::Event(id) => {
            let event = id.parse().map_err(|error| format!("`{id}` is no id: {error}"))?;
            let mut entries = history.of_event(event).map_err(store)?;
            entries.retain(|entry| entry.delivery.failure_of.is_none());
            entries
        }
    };
    let is_meant =
        |entry: &&ListedDelivery| request.change == DeliveryChange::Drop || has_ended(&entry.delivery.state);
    let meant: Vec<&ListedDelivery> = entries.iter().filter(is_meant).collect();
    if meant.is_empty() {
        return Err(match entries.as_slice() {
            [] => "there is no such delivery any more".to_owned(),
            _ => "it waits or runs, and cannot be replayed".to_owned(),
        });
    }
    Ok(Selected {
        ids: meant.iter().map(|entry| entry.delivery.id).collect(),
        count: meant.len() as u64,
        first: meant
            .iter()
            .take(DESCRIBED)
            .map(|entry| described(entry))
            .collect(),
    })
}

fn one(history: &History, id: &str) -> Result<Vec<ListedDelivery>, String> {
    let store = |error: StoreError| format!("the store: {error}");
    let Lookup::Found(Named::Delivery { id, event }) = history.find(id).map_err(store)? else {
        return Ok(Vec::new());
    };
    let mut entries = history.of_event(event).map_err(store)?;
    entries.retain(|entry| entry.delivery.id == id);
    Ok(entries)
}

fn has_ended(state: &DeliveryState) -> bool {
    match state {
        DeliveryState::Done { .. } | DeliveryState::Superseded { .. } | DeliveryState::Dead { .. } => true,
        DeliveryState::Debounced { .. }
        | DeliveryState::Queued { .. }
        | DeliveryState::Ready { .. }
        | DeliveryState::Running => false,
    }
}

fn described(entry: &ListedDelivery) -> String {
    let delivery = &entry.delivery;
    let state = if has_ended(&delivery.state) {
        "ended"
    } else {
        "waits"
    };
    let reason = delivery
        .state
        .reason()
        .map_or_else(String::new, |reason| format!(": {reason}"));
    format!("{}, {state}{reason}", delivery.rule)
}
