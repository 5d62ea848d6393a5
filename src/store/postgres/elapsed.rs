//! The end of a debounced delivery's wait for quiet: it enters its group.

use super::candidates::Candidate;
use super::changes::{Changes, QueueRow};
use super::failure::Failure;
use super::groups::{self, Groups, Member, supersede};
use super::link::Link;
use super::node::Node;
use super::row;
use super::tally::LEASING;
use crate::base::clock::Timestamp;
use crate::store::decide::admission::{Admission, MemberState};
use crate::store::group::reason;
use crate::store::{Displaced, Group, Overlap};

/// A delivery whose wait for quiet is over.
const ELAPSED: &str = "SELECT id, event, rule, group_key, group_limit, group_overlap FROM queue \
     WHERE seq = $1 AND due = $2 AND state = 'debounced' AND node IS NULL";

const ENTER_GROUP: &str = "WITH written AS (UPDATE queue SET state = $3, debounced_since = NULL \
         WHERE seq = $1 AND due = $2 AND state = 'debounced' AND node IS NULL RETURNING 1) \
     SELECT 1 / (SELECT count(*) FROM written)";

impl Node {
    /// Ends the wait of a debounced delivery at `at`. Returns the deliveries that it supersedes,
    /// including itself if it was skipped.
    pub async fn end_debounce(
        &self,
        link: &Link,
        elapsed: &Candidate,
        at: Timestamp,
    ) -> Result<Displaced, Failure> {
        let mut displaced = Displaced::default();
        let (seq, due, me) = (elapsed.seq, elapsed.due.as_millis(), self.id());
        link.run("BEGIN").await?;
        let rows = link.query(ELAPSED, &[&seq, &due]).await?;
        let Some(read) = rows.first() else {
            link.run("ROLLBACK").await?;
            return Ok(displaced);
        };
        let name = row::optional_text(read, 3)?;
        let (limit, overlap) = (row::number(read, 4)?, read.try_get::<_, Option<&str>>(5)?);
        let overlap = Overlap::from_name(overlap.unwrap_or_default());
        let group = name.map(|name| Group { name, limit, overlap });
        let mut changes = Changes::default();
        let admission = match &group {
            Some(group) => {
                groups::lock(link, &[&*group.name]).await?;
                let mut groups = Groups::read(link, std::iter::once(group)).await?;
                groups.enter((me, at), group, &mut changes, &mut displaced)
            }
            None => Admission::Run,
        };
        match admission {
            Admission::Run => {
                link.query(ENTER_GROUP, &[&seq, &due, &"ready"]).await?;
            }
            Admission::Queue => {
                link.query(ENTER_GROUP, &[&seq, &due, &"queued"]).await?;
            }
            Admission::Skip => {
                let member = Member {
                    row: QueueRow::Written(seq),
                    id: row::id(read, 0)?,
                    event: row::id(read, 1)?,
                    rule: row::text(read, 2)?,
                    node: None,
                    state: MemberState::Queued,
                };
                supersede(member, at, reason::SKIPPED, &mut changes, &mut displaced);
            }
        }
        changes.end(link).await?;
        changes.mark_stopped(link).await?;
        if let (Admission::Queue, Some(group)) = (admission, &group) {
            // The delivery may be older than the queued ones, and have a wider limit.
            groups::begin_next(link, &[&*group.name]).await?;
        }
        changes.tally().add(link, (me, LEASING)).await?;
        link.run("COMMIT").await?;
        if changes.stops_elsewhere {
            self.untold.stop();
        }
        Ok(displaced)
    }
}
