//! Deliveries that have not ended. The queries read the partial indexes of waiting deliveries, so
//! that ended ones cost nothing.

use std::collections::{BTreeMap, HashMap};

use rusqlite::params;

use super::columns;
use super::history::{ENTRY, History};
use crate::base::clock::Timestamp;
use crate::store::backlog::{GROUPS_LISTED, WAITING_LISTED};
use crate::store::{Backlog, BacklogCounts, BacklogEntry, GroupBacklog, StoreError};

/// Numbers by rule of deliveries that are not queued.
const COUNTS: &str = "SELECT rule, sum(state = 'debounced'), sum(state = 'ready' AND due > ?1), \
     sum(state = 'ready' AND due <= ?1), min(due) FROM deliveries INDEXED BY deliveries_due \
     WHERE state = 'ready' OR state = 'debounced' GROUP BY rule";

const QUEUED: &str = "SELECT rule, count(*) FROM deliveries INDEXED BY deliveries_group \
     WHERE group_key IS NOT NULL AND (state = 'queued' OR state = 'ready' OR state = 'dropped') \
     AND state = 'queued' GROUP BY rule";

const GROUPS: &str = "SELECT group_key, sum(state <> 'queued'), sum(state = 'queued'), min(seq) \
     FROM deliveries INDEXED BY deliveries_group \
     WHERE group_key IS NOT NULL AND (state = 'queued' OR state = 'ready' OR state = 'dropped') \
     GROUP BY group_key ORDER BY 3 DESC, 2 DESC, 1 LIMIT ?1";

const GROUP_COUNT: &str = "SELECT count(DISTINCT group_key) FROM deliveries INDEXED BY deliveries_group \
     WHERE group_key IS NOT NULL AND (state = 'queued' OR state = 'ready' OR state = 'dropped')";

const LIMIT_OF: &str = "SELECT rule, max(group_limit, 1) FROM deliveries WHERE seq = ?1";

const FIRST_QUEUED: &str = "SELECT seq, group_key FROM deliveries INDEXED BY deliveries_group \
     WHERE group_key IS NOT NULL AND (state = 'queued' OR state = 'ready' OR state = 'dropped') \
     AND state = 'queued' ORDER BY seq LIMIT ?1";

impl History {
    /// The deliveries that have not ended, at `now`. `running` is the number of those that the
    /// caller knows to run, which are listed, too.
    pub fn backlog(&self, now: Timestamp, running: usize) -> Result<Backlog, StoreError> {
        let rules = self.backlog_counts(now)?;
        let read = || {
            let mut groups = self.connection.prepare_cached(GROUPS)?;
            let rows = groups.query_map([columns::integer(GROUPS_LISTED)], |row| {
                let seq: i64 = row.get(3)?;
                let mut limit = self.connection.prepare_cached(LIMIT_OF)?;
                let (rule, limit) = limit.query_row([seq], |row| Ok((row.get(0)?, row.get(1)?)))?;
                Ok(GroupBacklog {
                    name: row.get(0)?,
                    rule,
                    begun: columns::count(row, 1)?,
                    queued: columns::count(row, 2)?,
                    limit,
                })
            })?;
            let groups = rows.collect::<rusqlite::Result<Vec<_>>>()?;
            let mut count = self.connection.prepare_cached(GROUP_COUNT)?;
            Ok((groups, count.query_row([], |row| columns::count(row, 0))?))
        };
        let (groups, group_count) = read().map_err(|error| self.map_error(&error))?;
        let mut first = self.first_by_due(WAITING_LISTED.saturating_add(running))?;
        first.extend(self.first_queued()?);
        Ok(Backlog {
            rules,
            first,
            groups,
            group_count,
        })
    }

    /// Numbers of the deliveries that have not ended, by rule.
    pub fn backlog_counts(&self, now: Timestamp) -> Result<BTreeMap<String, BacklogCounts>, StoreError> {
        let read = || {
            let mut counts = self.connection.prepare_cached(COUNTS)?;
            let rows = counts.query_map([now.as_millis()], |row| {
                let counts = BacklogCounts {
                    debounced: columns::count(row, 1)?,
                    queued: 0,
                    later: columns::count(row, 2)?,
                    due: columns::count(row, 3)?,
                    next_due: row.get::<_, Option<i64>>(4)?.map(Timestamp::from_millis),
                };
                Ok((row.get(0)?, counts))
            })?;
            let mut rules: BTreeMap<String, BacklogCounts> = rows.collect::<rusqlite::Result<_>>()?;
            let mut queued = self.connection.prepare_cached(QUEUED)?;
            let mut rows = queued.query([])?;
            while let Some(row) = rows.next()? {
                rules.entry(row.get(0)?).or_default().queued = columns::count(row, 1)?;
            }
            Ok(rules)
        };
        read().map_err(|error| self.map_error(&error))
    }

    fn first_by_due(&self, limit: usize) -> Result<Vec<BacklogEntry>, StoreError> {
        let sql = format!(
            "{ENTRY}WHERE d.seq IN (SELECT seq FROM deliveries INDEXED BY deliveries_due \
             WHERE state = 'ready' OR state = 'debounced' ORDER BY due, seq LIMIT ?1) ORDER BY d.due, d.seq"
        );
        let read = self.read(&sql, params![columns::integer(limit)])?;
        Ok(read.into_iter().map(BacklogEntry::unqueued).collect())
    }

    /// The first queued deliveries in the order of arrival.
    fn first_queued(&self) -> Result<Vec<BacklogEntry>, StoreError> {
        let limit = columns::integer(WAITING_LISTED);
        let read = || {
            let mut queued = self.connection.prepare_cached(FIRST_QUEUED)?;
            let rows = queued.query_map([limit], |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect::<rusqlite::Result<HashMap<i64, String>>>()
        };
        let groups = read().map_err(|error| self.map_error(&error))?;
        let sql = format!("{ENTRY}WHERE d.seq IN (SELECT seq FROM ({FIRST_QUEUED})) ORDER BY d.seq");
        let read = self.read(&sql, params![limit])?;
        Ok(BacklogEntry::queued(read, &groups))
    }
}
