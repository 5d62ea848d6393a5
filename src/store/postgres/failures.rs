//! Deliveries that are made for the failure of another, and the failure that they are told. They are
//! read in `leasing.rs`.

use uuid::Uuid;

use super::failure::Failure;
use super::link::Link;
use crate::base::clock::Timestamp;
use crate::store::{DeliveryFailure, DeliveryId};

/// The failed delivery has ended in the same transaction.
const MAKE: &str = "WITH made AS (INSERT INTO queue (id, event, rule, item, state, due, unverified, failure_of) \
         SELECT s.id, e.event, e.rule, e.item, 'ready', s.due, e.unverified, e.id \
         FROM unnest($1::uuid[], $2::uuid[], $3::int8[]) AS s(id, failed, due) JOIN ended e ON e.id = s.failed) \
     INSERT INTO failures (delivery, action, reason, output) \
     SELECT * FROM unnest($1::uuid[], $4::text[], $5::text[], $6::text[])";

pub(super) const STATEMENTS: &[&str] = &[MAKE];

/// Deliveries to be made for failures.
#[derive(Debug, Default)]
pub(super) struct Failures<'c> {
    ids: Vec<Uuid>,
    failed: Vec<Uuid>,
    due: Vec<i64>,
    actions: Vec<&'c str>,
    reasons: Vec<&'c str>,
    outputs: Vec<&'c str>,
}

impl<'c> Failures<'c> {
    /// Adds a delivery with the id `made` and this due time for the failed one.
    pub fn add(
        &mut self,
        made: DeliveryId,
        failed: DeliveryId,
        failure: &'c DeliveryFailure,
        due: Timestamp,
    ) {
        self.ids.push(made.into());
        self.failed.push(failed.into());
        self.due.push(due.as_millis());
        self.actions.push(&failure.action);
        self.reasons.push(&failure.reason);
        self.outputs.push(&failure.output);
    }

    /// Writes the deliveries and their failures.
    pub async fn write(&self, link: &Link) -> Result<(), Failure> {
        if self.ids.is_empty() {
            return Ok(());
        }
        let row: [&(dyn tokio_postgres::types::ToSql + Sync); 6] = [
            &self.ids,
            &self.failed,
            &self.due,
            &self.actions,
            &self.reasons,
            &self.outputs,
        ];
        link.execute(MAKE, &row).await.map(drop)
    }
}
