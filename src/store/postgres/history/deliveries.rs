//! Lists of deliveries.

use std::collections::HashMap;

use tokio_postgres::Row;
use uuid::Uuid;

use super::History;
use crate::base::clock::Timestamp;
use crate::event::EventId;
use crate::store::columns::integer;
use crate::store::postgres::failure::Failure;
use crate::store::postgres::link::Parameters;
use crate::store::postgres::{reading, row};
use crate::store::{
    DELIVERIES_LISTED, Delivery, DeliveryFilter, DeliveryId, ListedArrival, ListedDelivery, StoreError,
};

/// A statement that selects the columns of [`History::entry`]. `d` is the delivery, `e` its event.
macro_rules! entries {
    ($from:literal) => {
        concat!(
            "SELECT d.seq, d.id, d.event, e.received_at, e.endpoint, d.rule, d.item, d.action, d.attempt, d.unverified, \
             d.failure_of, d.replays, d.begun_at, d.node, d.state, d.due, d.debounced_since, d.ended_at, d.reason FROM ",
            $from
        )
    };
}
pub(super) use entries;

const BEFORE: &str = entries!(
    "deliveries d JOIN events e ON e.id = d.event WHERE ($1::text IS NULL OR d.rule = $1) \
     AND ($2::text IS NULL OR e.endpoint = $2) \
     AND ($3::text IS NULL OR (CASE WHEN d.state IN ('debounced', 'queued', 'ready') THEN 'waiting' ELSE d.state END = $3 \
         AND ($3 <> 'dead' OR d.failure_of IS NULL))) \
     AND ($4::bigint IS NULL OR e.received_at >= $4) AND d.seq < $5 ORDER BY d.seq DESC LIMIT $6"
);

/// The deliveries of each event, at most a number of each.
const OF_EVENTS: &str = entries!(
    "events e CROSS JOIN LATERAL (SELECT * FROM deliveries WHERE event = e.id ORDER BY seq LIMIT $2) d \
     WHERE e.id = ANY ($1) ORDER BY d.seq"
);

impl History {
    /// Lists at most `limit` deliveries before the row `before`, newest first.
    pub fn before(
        &self,
        filter: &DeliveryFilter,
        before: i64,
        limit: usize,
    ) -> Result<Vec<ListedDelivery>, StoreError> {
        let since = filter.since.map(Timestamp::as_millis);
        self.entries(
            BEFORE,
            &[
                &filter.rule,
                &filter.endpoint,
                &filter.state,
                &since,
                &before,
                &integer(limit),
            ],
        )
    }

    /// Lists the deliveries of an event in the order of arrival.
    pub fn of_event(&self, event: EventId) -> Result<Vec<ListedDelivery>, StoreError> {
        self.entries(
            OF_EVENTS,
            &[&[Uuid::from(event)].as_slice(), &integer(DELIVERIES_LISTED)],
        )
    }

    /// Adds the deliveries of each arrival.
    pub fn add_deliveries(&self, rows: &mut [ListedArrival]) -> Result<(), StoreError> {
        if rows.is_empty() {
            return Ok(());
        }
        let events: Vec<Uuid> = rows.iter().map(|row| Uuid::from(row.id)).collect();
        let mut of_events: HashMap<EventId, Vec<ListedDelivery>> = HashMap::new();
        for listed in self.entries(OF_EVENTS, &[&events, &integer(DELIVERIES_LISTED)])? {
            of_events.entry(listed.delivery.event).or_default().push(listed);
        }
        for row in rows {
            row.deliveries = of_events.remove(&row.id).unwrap_or_default();
        }
        Ok(())
    }

    pub(super) fn entries(
        &self,
        sql: &'static str,
        parameters: Parameters<'_>,
    ) -> Result<Vec<ListedDelivery>, StoreError> {
        self.ask(async |link| {
            let rows = link.query(sql, parameters).await?;
            rows.iter().map(|row| self.entry(row)).collect()
        })
    }

    fn entry(&self, read: &Row) -> Result<ListedDelivery, Failure> {
        let failure_of: Option<Uuid> = read.try_get(10)?;
        let delivery = Delivery {
            id: row::id(read, 1)?,
            event: row::id(read, 2)?,
            rule: row::text(read, 5)?,
            item: row::item(read, 6)?,
            action: row::index(read, 7)?,
            attempt: row::number(read, 8)?,
            state: reading::state(read, 14)?,
            unverified: row::optional_text(read, 9)?,
            failure_of: failure_of.map(DeliveryId::from),
        };
        let begun_at: Option<i64> = read.try_get(12)?;
        let node: Option<i64> = read.try_get(13)?;
        let runs = node.is_some_and(|node| self.living.contains(&node));
        Ok(ListedDelivery {
            row: read.try_get(0)?,
            received_at: row::time(read, 3)?,
            endpoint: read.try_get(4)?,
            delivery,
            replays: row::number(read, 11)?,
            begun_at: begun_at.filter(|_| runs).map(Timestamp::from_millis),
        })
    }
}
