//! News of a store for the dispatcher.
//!
//! A store announces after the write that changed its queue. The dispatcher therefore sees the
//! change with its next lease, and no caller has to wake it. A store that several nodes share also
//! gives orders, because of what other nodes did.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::store::DeliveryId;

/// Maximum deliveries to be stopped that wait for the receiver. The oldest are dropped. The store
/// gives the order again as long as the lease lasts.
const STOPS: usize = 1024;

/// An order of a store to the dispatcher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreOrder {
    /// Another delivery supersedes this one, which is leased to this node and is to be stopped.
    Stop(DeliveryId),
    /// This node cannot tell whether its leases still hold. Attempts that must not overlap with
    /// others are to be stopped. When the leases hold again, the store announces it as news.
    StopGroups,
}

/// A receiver of announcements and orders. Clones share them: one announcement wakes one waiting
/// caller.
#[derive(Clone, Debug, Default)]
pub struct News(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    looks: Notify,
    ordered: Notify,
    orders: Mutex<Orders>,
}

/// Orders that were not received yet.
#[derive(Debug, Default)]
struct Orders {
    stop_groups: bool,
    stops: VecDeque<DeliveryId>,
}

impl Orders {
    fn take(&mut self) -> Option<StoreOrder> {
        if std::mem::take(&mut self.stop_groups) {
            return Some(StoreOrder::StopGroups);
        }
        self.stops.pop_front().map(StoreOrder::Stop)
    }
}

impl News {
    /// Waits for an announcement. Those made while no caller waited count as one.
    pub async fn look(&self) {
        self.0.looks.notified().await;
    }

    /// Announces that the queue has changed.
    pub fn announce(&self) {
        self.0.looks.notify_one();
    }

    /// Waits for an order. Orders that were given before are still there.
    pub async fn order(&self) -> StoreOrder {
        loop {
            if let Some(order) = self.0.orders.lock().take() {
                return order;
            }
            self.0.ordered.notified().await;
        }
    }

    /// Gives an order.
    pub fn give(&self, order: StoreOrder) {
        let mut orders = self.0.orders.lock();
        match order {
            StoreOrder::StopGroups => orders.stop_groups = true,
            StoreOrder::Stop(delivery) if orders.stops.contains(&delivery) => {}
            StoreOrder::Stop(delivery) => {
                if orders.stops.len() == STOPS {
                    orders.stops.pop_front();
                }
                orders.stops.push_back(delivery);
            }
        }
        drop(orders);
        self.0.ordered.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;
    use crate::base::clock::Timestamp;

    #[tokio::test]
    async fn an_order_is_received_once_and_waits_for_its_receiver() {
        let news = News::default();
        let deliveries = [1, 2].map(|at| DeliveryId::new(Timestamp::from_millis(at)));
        let [first, second] = deliveries.map(StoreOrder::Stop);
        for order in [first, second, StoreOrder::StopGroups, first] {
            news.give(order);
        }
        for order in [StoreOrder::StopGroups, first, second] {
            assert_eq!(news.clone().order().await, order);
        }
        assert!(timeout(Duration::ZERO, news.order()).await.is_err());
        assert!(
            timeout(Duration::ZERO, news.look()).await.is_err(),
            "an order is no news"
        );
    }
}
