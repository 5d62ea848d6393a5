//! Watch over the server of a store: what it promises, for the log and the status.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::base::live::Live;
use crate::store::postgres::{PostgresStore, ServerReport};

/// Interval between two questions. The settings of a server change seldom.
const EVERY: Duration = Duration::from_mins(1);

/// Asks the server until `stop`. A warning is logged when it is new.
pub(super) async fn run(
    server: Arc<PostgresStore>,
    report: Arc<Live<Option<ServerReport>>>,
    stop: CancellationToken,
) {
    let mut told = Vec::new();
    loop {
        let asked = tokio::select! {
            asked = server.server_report() => asked,
            () = stop.cancelled() => return,
        };
        // A server that does not answer is told by the calls that it fails.
        if let Ok(found) = asked {
            let all: Vec<String> = found.warnings.iter().chain(&found.refusal).cloned().collect();
            for why in all.iter().filter(|why| !told.contains(*why)) {
                warn!(server = %found, why, "the store is less safe than it could be");
            }
            told = all;
            drop(report.replace(Some(found)));
        }
        tokio::select! {
            () = sleep(EVERY) => {}
            () = stop.cancelled() => return,
        }
    }
}
