//! The replacement of a leased delivery by deliveries of the elements of its event.
//!
//! The delivery of the whole event ends in the same transaction in which the others are written.

use rusqlite::params;

use super::columns::integer;
use super::enqueue::add_delivery;
use super::groups::leave;
use super::settling::end_lease;
use super::write_op::{Batch, WriteError, WriteOp};
use crate::store::{DeliveryId, DeliveryState, Enqueued, Expansion, NewDelivery, StoreError};

const KNOWN: &str =
    "SELECT 1 FROM deliveries WHERE event = ?1 AND rule = ?2 AND item = ?3 AND failure_of IS NULL";

const EVENT_DELIVERIES_ADDED: &str = "UPDATE events SET pending = pending + ?2 WHERE seq = ?1";

/// A write of an expansion.
pub(super) struct Expand(pub Expansion);

impl WriteOp for Expand {
    type Output = Vec<Enqueued>;

    fn apply(&self, batch: &mut Batch<'_>) -> Result<Vec<Enqueued>, WriteError> {
        let Expansion {
            delivery,
            event: id,
            reason,
            deliveries,
            at,
        } = &self.0;
        let delivery = *delivery;
        let not_leased = || WriteError::Own(StoreError::NotLeased { delivery });
        let leased = batch.leased(delivery).cloned().ok_or_else(not_leased)?;
        let (at, reason) = (*at, reason.clone());
        let ended = end_lease(batch, &leased, &DeliveryState::Superseded { at, reason })?;
        let ended = ended.ok_or_else(not_leased)?;
        let mut enqueued = Vec::with_capacity(deliveries.len());
        let mut added = 0;
        for new in deliveries {
            if is_known(batch, leased.event, new)? {
                enqueued.push(Enqueued::Duplicate { of: *id });
                continue;
            }
            let new_id = DeliveryId::of_new(new, *id, at);
            added += 1;
            enqueued.push(add_delivery(batch, (leased.event, at), new_id, new)?.enqueued);
        }
        let mut update = batch.connection.prepare_cached(EVENT_DELIVERIES_ADDED)?;
        update.execute(params![leased.event, integer(added)])?;
        if let Some(group) = ended.group {
            leave(batch, &group)?;
        }
        batch.effects.ended.insert(delivery);
        Ok(enqueued)
    }
}

/// True if the event of a row has a delivery of this element to the rule.
fn is_known(batch: &Batch<'_>, event: i64, delivery: &NewDelivery) -> rusqlite::Result<bool> {
    let mut known = batch.connection.prepare_cached(KNOWN)?;
    known.exists(params![event, delivery.rule, delivery.item])
}
