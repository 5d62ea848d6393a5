//! Bounded searches, newest first.

mod arrivals;
mod deliveries;
#[cfg(test)]
mod tests;

pub use arrivals::{ArrivalPage, FoundArrivals, SearchBounds, arrival_page, count_after, search};
pub use deliveries::{DeliverySearch, FoundDeliveries};
