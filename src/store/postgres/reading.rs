//! Deliveries, attempts and sums, as the daemon reads them.

use super::PostgresStore;
use crate::event::EventId;
use crate::store::{AttemptRecord, Counts, Delivery, DeliveryId, Health, StoreError};

impl PostgresStore {
    pub(super) async fn read_counts(&self) -> Result<Counts, StoreError> {
        Err(super::unbuilt())
    }

    pub(super) async fn read_health(&self) -> Result<Health, StoreError> {
        Err(super::unbuilt())
    }

    pub(super) async fn read_deliveries(&self, event: EventId) -> Result<Vec<Delivery>, StoreError> {
        Err(super::unbuilt())
    }

    pub(super) async fn read_attempts(&self, delivery: DeliveryId) -> Result<Vec<AttemptRecord>, StoreError> {
        Err(super::unbuilt())
    }

    pub(super) async fn read_outputs(
        &self,
        delivery: DeliveryId,
        before: usize,
    ) -> Result<Vec<AttemptRecord>, StoreError> {
        Err(super::unbuilt())
    }

    pub(super) async fn write_answer(&self, event: EventId, why: String) -> Result<(), StoreError> {
        Err(super::unbuilt())
    }
}
