//! Calls that end or mark leases.

use crate::base::clock::Timestamp;
use crate::store::{DeliveryId, Enqueued, Expansion, Settled, StoreError};

/// A call that ends or marks leases. Its ids are made before the first try.
pub(super) enum SettlingCall {
    Settle {
        settled: Settled,
        /// Id of the delivery that is made for the failure, if one is made.
        made: DeliveryId,
    },
    Expand {
        expansion: Expansion,
        /// Ids of the new deliveries, in their order.
        ids: Vec<DeliveryId>,
    },
    Begin(DeliveryId),
    /// Attempts of leases up to this time have begun.
    MarkBegun(Timestamp),
    Release(DeliveryId),
}

/// Answers of a batch, one for each call.
pub(super) type Answers = Vec<Result<Vec<Enqueued>, StoreError>>;
