//! Reasons for which deliveries were put off, for the operator.
//!
//! The store knows when a delivery is due, and not why it waits. A reason that was forgotten only
//! means that the operator is not told.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::base::clock::Timestamp;
use crate::store::DeliveryId;

/// Maximum deliveries whose reason is remembered. Those whose due time has passed go first, and then
/// all.
pub const MAX_PUT_OFF: usize = 10_000;

/// Deliveries that were put off: until when, and why.
#[derive(Debug, Default)]
pub struct PutOff {
    known: Mutex<HashMap<DeliveryId, (Timestamp, Arc<str>)>>,
}

impl PutOff {
    /// Remembers why a delivery was put off until `due`.
    pub fn note(&self, delivery: DeliveryId, due: Timestamp, why: &str, now: Timestamp) {
        let mut known = self.known.lock();
        if known.len() >= MAX_PUT_OFF {
            known.retain(|_, (due, _)| *due > now);
        }
        if known.len() >= MAX_PUT_OFF {
            known.clear();
        }
        known.insert(delivery, (due, why.into()));
    }

    /// Forgets a delivery that is tried again.
    pub fn forget(&self, delivery: DeliveryId) {
        let mut known = self.known.lock();
        if !known.is_empty() {
            known.remove(&delivery);
        }
    }

    /// The reasons that are known.
    pub fn reasons(&self) -> HashMap<DeliveryId, Arc<str>> {
        let known = self.known.lock();
        let reasons = known
            .iter()
            .map(|(delivery, (_, why))| (*delivery, Arc::clone(why)));
        reasons.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_reasons_is_bounded() {
        let put_off = PutOff::default();
        let at = Timestamp::from_seconds;
        let delivery = |number: i64| DeliveryId::new(Timestamp::from_millis(number));
        let kept = delivery(-1);
        put_off.note(kept, at(100), "the circuit is open", at(0));
        for number in 0..i64::try_from(MAX_PUT_OFF).unwrap() {
            put_off.note(delivery(number), at(5), "the rate is reached", at(6));
        }
        assert_eq!(put_off.reasons().len(), 2);
        assert_eq!(&*put_off.reasons()[&kept], "the circuit is open");
        put_off.forget(kept);
        assert_eq!(put_off.reasons().len(), 1);
    }
}
