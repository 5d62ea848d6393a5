//! Records of arrivals that became no event, in two rings.

use super::PostgresStore;
use crate::event::EventId;
use crate::store::{ArrivalRecord, StoreError};

impl PostgresStore {
    pub(super) async fn write_arrivals(&self, records: Vec<ArrivalRecord>) -> Result<(), StoreError> {
        Err(super::unbuilt())
    }

    pub(super) async fn read_arrival(&self, id: EventId) -> Result<Option<ArrivalRecord>, StoreError> {
        Err(super::unbuilt())
    }
}
