//! Replays that the operator asks for through the admin socket.

use std::sync::Arc;

use tracing::info;

use crate::admin::{MAX_REPLAY, ReplayAnswer, ReplayRequest, Replayer};
use crate::daemon::shared::{Shared, operator_name, waits};
use crate::pipeline::{Ingest, Replayed};
use crate::store::Pauses;

/// Builds the service that replays ignored arrivals by the rules in force.
pub(super) fn replayer(shared: &Shared, ingest: &Arc<Ingest>) -> Replayer {
    let (store, live, ingest) = (
        Arc::clone(&shared.store),
        Arc::clone(&shared.live),
        Arc::clone(ingest),
    );
    let pauses = Arc::clone(&shared.pauses);
    Replayer::new(
        || MAX_REPLAY,
        move |request, who| {
            let (store, live, ingest) = (Arc::clone(&store), Arc::clone(&live), Arc::clone(&ingest));
            let pauses = Arc::clone(&pauses);
            Box::pin(async move {
                let ReplayRequest { id, dry_run } = request;
                let by: Arc<str> = operator_name(who).await.into();
                let replayed = async {
                    let id = id
                        .parse()
                        .map_err(|error| format!("`{id}` is no id of an arrival: {error}"))?;
                    let record = store.arrival(id).await.map_err(|error| error.to_string())?;
                    let record = record
                        .ok_or("no such arrival waits for a replay: it is gone, or an event already")?;
                    let rules = live.current();
                    ingest.replay(&rules, record, &by, dry_run).await
                };
                match replayed.await {
                    Ok(replayed) => {
                        if !dry_run {
                            let rules = replayed.accepted.join(", ");
                            info!(event = %id, rules, by = &*by, "replayed an arrival");
                        }
                        answer(replayed, &pauses.current())
                    }
                    Err(why) => ReplayAnswer {
                        refused: Some(why),
                        ..ReplayAnswer::default()
                    },
                }
            })
        },
    )
}

fn answer(replayed: Replayed, pauses: &Pauses) -> ReplayAnswer {
    let Replayed {
        decisions,
        accepted,
        duplicates,
    } = replayed;
    ReplayAnswer {
        refused: None,
        decisions: decisions
            .into_iter()
            .map(|decided| {
                (
                    decided.rule.to_string(),
                    (!decided.matched).then_some(decided.reason),
                )
            })
            .collect(),
        waits: accepted.iter().filter_map(|rule| waits(pauses, rule)).collect(),
        accepted: accepted.iter().map(ToString::to_string).collect(),
        duplicates: duplicates
            .into_iter()
            .map(|(rule, of)| (rule.to_string(), of.to_string()))
            .collect(),
    }
}
