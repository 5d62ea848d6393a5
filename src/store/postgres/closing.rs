//! Closing a store.

use super::PostgresStore;
use crate::store::StoreError;

impl PostgresStore {
    /// Carries out earlier calls, leaves the nodes, and closes all connections. They are closed also
    /// after an error.
    pub(super) async fn close_all(&self) -> Result<(), StoreError> {
        if self.requests.is_closed() {
            return Err(StoreError::Closed);
        }
        tokio::join!(self.enqueuing.close(), self.settling.close());
        if let Err(error) = self.flush_sightings().await {
            tracing::warn!(%error, "cannot write ignored events down");
        }
        let left = self.leave().await;
        tokio::join!(self.leasing.close(), self.requests.close());
        left
    }
}
