//! Rules for which deliveries wait and that no living node has.
//!
//! During a roll-out a node must not make dead letters of rules that it does not know yet. If no node
//! has a rule for ten minutes, the rule is gone, and the node that has this duty leases its deliveries.
//! They become dead letters, as on a store of one node.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::candidates::queues;
use super::failure::Failure;
use super::link::Link;
use super::node::Node;
use super::row;

/// Time after which a rule that no node has is taken for gone.
pub(super) const ORPHANED_AFTER: Duration = Duration::from_mins(10);

const NOTE: &str = queues!(
    "INSERT INTO orphans (rule) SELECT r.rule FROM rules r \
     WHERE NOT EXISTS (SELECT 1 FROM node_rules n WHERE n.rule = r.rule) \
     AND NOT EXISTS (SELECT 1 FROM nodes WHERE rules = '') ON CONFLICT DO NOTHING"
);

/// Forgets rules that a node has, or for which nothing waits.
const FORGET: &str = "DELETE FROM orphans o WHERE EXISTS (SELECT 1 FROM node_rules n WHERE n.rule = o.rule) \
     OR NOT EXISTS (SELECT 1 FROM queue q WHERE q.rule = o.rule AND q.node IS NULL AND (q.state = 'ready' OR q.state = 'debounced'))";

const ORPHANED: &str =
    "SELECT rule FROM orphans WHERE since < clock_timestamp() - $1::bigint * interval '1 millisecond'";

/// Finds the rules that have been gone for long enough. None is noted while a node has not said yet
/// which rules it has.
pub(super) async fn find(link: &Link) -> Result<Vec<Arc<str>>, Failure> {
    link.execute(FORGET, &[]).await?;
    link.execute(NOTE, &[]).await?;
    let after = i64::try_from(ORPHANED_AFTER.as_millis()).unwrap_or(i64::MAX);
    let rows = link.query(ORPHANED, &[&after]).await?;
    rows.iter().map(|read| row::text(read, 0)).collect()
}

impl Node {
    /// Sets the rules whose deliveries this node makes dead letters. True if there are new ones.
    pub fn set_orphans(&self, rules: Vec<Arc<str>>) -> bool {
        let rules: HashSet<Arc<str>> = rules.into_iter().collect();
        let mut orphans = self.orphans.lock();
        let has_new = !rules.is_subset(&orphans);
        *orphans = rules;
        has_new
    }
}
