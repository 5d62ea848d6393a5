//! Endpoints and rules with `expect_every`.

use super::PostgresStore;
use crate::store::{Expectation, ExpectationSubject, StoreError};

impl PostgresStore {
    pub(super) async fn write_expectations(
        &self,
        kept: Vec<Expectation>,
        forgotten: Vec<ExpectationSubject>,
    ) -> Result<(), StoreError> {
        Err(super::unbuilt())
    }

    pub(super) async fn read_expectations(&self) -> Result<Vec<Expectation>, StoreError> {
        Err(super::unbuilt())
    }
}
