//! Writes down, now and then, which secrets are in use.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::pipeline::{USAGE_WRITTEN_EVERY, Usage};
use crate::store::Store;

/// Writes until `stop`; what is noted after that is the caller's to write.
pub async fn run(usage: Arc<Usage>, store: Arc<dyn Store>, stop: CancellationToken) {
    while !stop.is_cancelled() {
        tokio::select! {
            () = tokio::time::sleep(USAGE_WRITTEN_EVERY) => usage.write_down(&*store).await,
            () = stop.cancelled() => {}
        }
    }
}
