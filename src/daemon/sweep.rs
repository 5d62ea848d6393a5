//! Background sweep: deletes expired data from the store, in small steps that never delay ingest.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::base::clock::Clock;
use crate::report;
use crate::store::Store;

/// Interval between sweeps.
const EVERY: Duration = Duration::from_mins(1);
/// Pause between two steps of one sweep.
const BETWEEN_STEPS: Duration = Duration::from_millis(50);

/// Sweeps until `stop`.
pub async fn run(store: Arc<dyn Store>, clock: Clock, stop: CancellationToken) {
    while !stop.is_cancelled() {
        let rest = match store.sweep(clock.now()).await {
            Ok(0) => EVERY,
            Ok(_) => BETWEEN_STEPS,
            Err(error) => {
                report::store_failed("sweep", &error.to_string());
                EVERY
            }
        };
        tokio::select! {
            () = tokio::time::sleep(rest) => {}
            () = stop.cancelled() => {}
        }
    }
}
