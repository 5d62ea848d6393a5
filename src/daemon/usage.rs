//! Periodic writes of the last use of each secret to the store.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::pipeline::{USAGE_WRITTEN_EVERY, Usage};
use crate::store::Store;

/// Writes until `stop`. The caller writes what is noted after that.
pub async fn run(usage: Arc<Usage>, store: Arc<dyn Store>, stop: CancellationToken) {
    while !stop.is_cancelled() {
        tokio::select! {
            () = tokio::time::sleep(USAGE_WRITTEN_EVERY) => usage.write_down(&*store).await,
            () = stop.cancelled() => {}
        }
    }
}
