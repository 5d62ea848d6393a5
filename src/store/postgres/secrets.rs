//! The last use of secrets.

use super::PostgresStore;
use crate::store::{SecretUse, StoreError};

impl PostgresStore {
    pub(super) async fn write_secrets(&self, uses: Vec<SecretUse>) -> Result<(), StoreError> {
        Err(super::unbuilt())
    }

    pub(super) async fn read_secrets(&self) -> Result<Vec<SecretUse>, StoreError> {
        Err(super::unbuilt())
    }
}
