//! Groups of dead letters and of refused arrivals.

use std::collections::HashMap;

use super::{History, damaged};
use crate::event::ArrivalOutcome;
use crate::store::columns::{integer, parsed};
use crate::store::postgres::failure::Failure;
use crate::store::postgres::row;
use crate::store::problems::{
    DEAD_LOOKED_AT, DeadLetters, DeadRows, MAX_SELECTED, REFUSED_LOOKED_AT, RefusedArrivals,
};
use crate::store::{
    DeadGroup, DeliveryId, Groups, RefusedGroup, Ring, SelectedDeliveries, StoreError, reason,
};

/// The latest dead letters. The server groups equal reasons, those with the same stable part are
/// grouped afterwards.
const DEAD: &str = "SELECT rule, reason, count(*), min(ended_at), max(ended_at), max(seq) FROM \
     (SELECT rule, coalesce(reason, '') AS reason, ended_at, seq FROM ended \
      WHERE state = 'dead' AND failure_of IS NULL ORDER BY ended_at DESC LIMIT $1) latest GROUP BY rule, reason";

const DEAD_BY_RULE: &str = "SELECT rule, count(*) FROM \
     (SELECT rule FROM ended WHERE state = 'dead' AND failure_of IS NULL ORDER BY ended_at DESC LIMIT $1) latest \
     GROUP BY rule";

const REASONS_OF_RULE: &str = "SELECT DISTINCT coalesce(reason, '') FROM ended \
     WHERE state = 'dead' AND failure_of IS NULL AND rule = $1";

const DEAD_OF_RULE: &str = "SELECT id, count(*) OVER () FROM ended WHERE state = 'dead' AND failure_of IS NULL \
     AND rule = $1 AND coalesce(reason, '') = ANY ($2) ORDER BY seq LIMIT $3";

const IDS: &str = "SELECT seq, id, event FROM ended WHERE seq = ANY ($1)";

/// Arrivals of a ring that did not do what their sender meant.
const REFUSED: &str = "SELECT endpoint, outcome, reason, count(*), min(received_at), max(received_at), max(id::text)::uuid FROM \
     (SELECT endpoint, outcome, reason, received_at, id FROM arrivals WHERE ring = $1 ORDER BY seq DESC LIMIT $2) latest \
     WHERE outcome NOT IN ('ignored', 'duplicate', 'handshake') GROUP BY endpoint, outcome, reason";

const RING_SIZE: &str =
    "SELECT count(*) FROM (SELECT 1 FROM arrivals WHERE ring = $1 ORDER BY seq DESC LIMIT $2) latest";

impl History {
    /// Groups the dead letters by rule and stable reason.
    pub fn dead_groups(&self) -> Result<Groups<DeadGroup>, StoreError> {
        self.ask(async |link| {
            let mut letters = DeadLetters::default();
            for read in link.query(DEAD, &[&(integer(DEAD_LOOKED_AT) + 1)]).await? {
                let rows = DeadRows {
                    count: row::count(&read, 2)?,
                    first: read.try_get(3)?,
                    last: read.try_get(4)?,
                    seq: read.try_get(5)?,
                };
                letters.add(read.try_get(0)?, read.try_get(1)?, &rows);
            }
            let found = letters.groups();
            let rows: Vec<i64> = found.samples().collect();
            let mut ids = HashMap::new();
            for read in link.query(IDS, &[&rows]).await? {
                ids.insert(
                    read.try_get::<_, i64>(0)?,
                    (row::id(&read, 1)?, row::id(&read, 2)?),
                );
            }
            found.with_ids(|row| {
                let ids = ids.get(&row).copied();
                ids.ok_or_else(|| Failure::unexpected(format!("the row {row} is gone")))
            })
        })
    }

    /// Groups the refused arrivals by endpoint, outcome and stable reason.
    pub fn refused_groups(&self) -> Result<Groups<RefusedGroup>, StoreError> {
        let limit = integer(REFUSED_LOOKED_AT);
        self.ask(async |link| {
            let mut arrivals = RefusedArrivals::default();
            for ring in Ring::ALL {
                let name = ring.name();
                let size = link.query(RING_SIZE, &[&name, &(limit + 1)]).await?;
                arrivals.look_at(size.first().map_or(Ok(0), |read| row::count(read, 0))?);
                for read in link.query(REFUSED, &[&name, &limit]).await? {
                    let outcome = parsed::<ArrivalOutcome>("outcome", read.try_get(1)?);
                    arrivals.add(RefusedGroup {
                        endpoint: read.try_get(0)?,
                        outcome: outcome.map_err(|unreadable| damaged(self.target(), unreadable))?,
                        reason: String::new(),
                        count: row::count(&read, 3)?,
                        first: row::time(&read, 4)?,
                        last: row::time(&read, 5)?,
                        sample: row::id(&read, 6)?,
                        sample_reason: read.try_get(2)?,
                    });
                }
            }
            Ok(arrivals.groups())
        })
    }

    /// Counts the dead letters of each rule.
    pub fn dead_by_rule(&self) -> Result<HashMap<String, u64>, StoreError> {
        self.ask(async |link| {
            let rows = link.query(DEAD_BY_RULE, &[&integer(DEAD_LOOKED_AT)]).await?;
            let counts = rows
                .iter()
                .map(|read| Ok((read.try_get(0)?, row::count(read, 1)?)));
            counts.collect()
        })
    }

    /// Selects the dead letters of a group, or all of a rule.
    pub fn select_dead(&self, rule: &str, stable: Option<&str>) -> Result<SelectedDeliveries, StoreError> {
        self.ask(async |link| {
            let rows = link.query(REASONS_OF_RULE, &[&rule]).await?;
            let mut reasons: Vec<String> = Vec::new();
            for read in rows {
                let why: String = read.try_get(0)?;
                if stable.is_none_or(|stable| reason::of_dead_letter(&why) == stable) {
                    reasons.push(why);
                }
            }
            let selected = link
                .query(DEAD_OF_RULE, &[&rule, &reasons, &integer(MAX_SELECTED)])
                .await?;
            let ids: Result<Vec<DeliveryId>, Failure> =
                selected.iter().map(|read| row::id(read, 0)).collect();
            Ok(SelectedDeliveries {
                deliveries: ids?,
                count: selected.first().map_or(Ok(0), |read| row::count(read, 1))?,
            })
        })
    }
}
