//! Deliveries that have not ended.

use std::collections::{BTreeMap, HashMap};

use super::History;
use super::deliveries::entries;
use crate::base::clock::Timestamp;
use crate::store::backlog::{GROUPS_LISTED, WAITING_LISTED};
use crate::store::columns::integer;
use crate::store::postgres::failure::Failure;
use crate::store::postgres::row;
use crate::store::{Backlog, BacklogCounts, BacklogEntry, GroupBacklog, StoreError};

const COUNTS: &str = "SELECT rule, count(*) FILTER (WHERE state = 'debounced'), count(*) FILTER (WHERE state = 'queued'), \
     count(*) FILTER (WHERE state = 'ready' AND due > $1), count(*) FILTER (WHERE state = 'ready' AND due <= $1), \
     min(due) FILTER (WHERE state <> 'queued') FROM queue WHERE state <> 'dropped' GROUP BY rule";

/// The groups with the most queued deliveries, and the number of all groups.
const GROUPS: &str = "SELECT g.name, first.rule, g.begun, g.queued, greatest(first.group_limit, 1), g.groups FROM \
     (SELECT group_key AS name, count(*) FILTER (WHERE state <> 'queued') AS begun, \
         count(*) FILTER (WHERE state = 'queued') AS queued, min(seq) AS first, count(*) OVER () AS groups \
      FROM queue WHERE group_key IS NOT NULL AND state <> 'debounced' GROUP BY group_key \
      ORDER BY queued DESC, begun DESC, group_key COLLATE \"C\" LIMIT $1) g \
     JOIN queue first ON first.seq = g.first ORDER BY g.queued DESC, g.begun DESC, g.name COLLATE \"C\"";

const FIRST_BY_DUE: &str = entries!(
    "(SELECT * FROM deliveries WHERE state = 'ready' OR state = 'debounced' ORDER BY due, seq LIMIT $1) d \
     JOIN events e ON e.id = d.event ORDER BY d.due, d.seq"
);

const FIRST_QUEUED: &str = entries!(
    "(SELECT * FROM deliveries WHERE state = 'queued' ORDER BY seq LIMIT $1) d \
     JOIN events e ON e.id = d.event ORDER BY d.seq"
);

const GROUPS_OF_ROWS: &str =
    "SELECT seq, group_key FROM queue WHERE seq = ANY ($1) AND group_key IS NOT NULL";

impl History {
    /// The deliveries that have not ended, at `now`, with `running` more than are listed otherwise.
    pub fn backlog(&self, now: Timestamp, running: usize) -> Result<Backlog, StoreError> {
        let rules = self.backlog_counts(now)?;
        let (groups, group_count) = self.ask(async |link| {
            let rows = link.query(GROUPS, &[&integer(GROUPS_LISTED)]).await?;
            let groups = rows.iter().map(|read| {
                Ok(GroupBacklog {
                    name: read.try_get(0)?,
                    rule: read.try_get(1)?,
                    begun: row::count(read, 2)?,
                    queued: row::count(read, 3)?,
                    limit: row::number(read, 4)?,
                })
            });
            let groups: Result<Vec<_>, Failure> = groups.collect();
            Ok((groups?, rows.first().map_or(Ok(0), |read| row::count(read, 5))?))
        })?;
        let by_due = self.entries(FIRST_BY_DUE, &[&integer(WAITING_LISTED.saturating_add(running))])?;
        let mut first: Vec<BacklogEntry> = by_due.into_iter().map(BacklogEntry::unqueued).collect();
        let queued = self.entries(FIRST_QUEUED, &[&integer(WAITING_LISTED)])?;
        let rows: Vec<i64> = queued.iter().map(|listed| listed.row).collect();
        let names: HashMap<i64, String> = self.ask(async |link| {
            let rows = link.query(GROUPS_OF_ROWS, &[&rows]).await?;
            let names = rows.iter().map(|read| Ok((read.try_get(0)?, read.try_get(1)?)));
            names.collect()
        })?;
        first.extend(BacklogEntry::queued(queued, &names));
        Ok(Backlog {
            rules,
            first,
            groups,
            group_count,
        })
    }

    /// Numbers of the deliveries that have not ended, by rule.
    pub fn backlog_counts(&self, now: Timestamp) -> Result<BTreeMap<String, BacklogCounts>, StoreError> {
        self.ask(async |link| {
            let rows = link.query(COUNTS, &[&now.as_millis()]).await?;
            let counts = rows.iter().map(|read| {
                let next_due: Option<i64> = read.try_get(5)?;
                let counts = BacklogCounts {
                    debounced: row::count(read, 1)?,
                    queued: row::count(read, 2)?,
                    later: row::count(read, 3)?,
                    due: row::count(read, 4)?,
                    next_due: next_due.map(Timestamp::from_millis),
                };
                Ok((read.try_get(0)?, counts))
            });
            counts.collect()
        })
    }
}
