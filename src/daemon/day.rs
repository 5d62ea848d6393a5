//! Samples for the figures of the last 24 hours.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::status::StatusService;

/// Time between two samples. Each asks the store for its counts, within the limit for its answer.
const EVERY: Duration = Duration::from_mins(1);

/// Samples at once and then every minute, until `stop`.
pub async fn run(status: Arc<StatusService>, stop: CancellationToken) {
    loop {
        let sampling = async {
            status.sample().await;
            tokio::time::sleep(EVERY).await;
        };
        tokio::select! {
            () = sampling => {}
            () = stop.cancelled() => return,
        }
    }
}
