//! The ends of waits for quiet: debounced deliveries enter their groups before they are leased.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::changes::{Changes, QueueRow};
use super::failure::Failure;
use super::groups::{self, Groups, Member, supersede};
use super::link::Link;
use super::pipeline::pipeline;
use super::tally::Tally;
use super::{changes, debounce};
use crate::base::clock::Timestamp;
use crate::store::decide::admission::{Admission, MemberState};
use crate::store::group::reason;
use crate::store::{Displaced, Group, Overlap};

/// Groups of debounced deliveries. A delivery keeps its group.
const GROUPS: &str = "SELECT DISTINCT group_key FROM queue WHERE seq = ANY ($1) AND group_key IS NOT NULL";

const ELAPSED: &str = "SELECT seq, id, event, rule, group_key, group_limit, group_overlap FROM queue \
     WHERE seq = ANY ($1) AND due <= $2 AND state = 'debounced' AND node IS NULL ORDER BY due, seq FOR UPDATE";

const ENTER: &str = "UPDATE queue q SET state = s.state, debounced_since = NULL \
     FROM unnest($1::int8[], $2::text[]) AS s(seq, state) WHERE q.seq = s.seq";

const STATEMENTS: &[&[&str]] = &[
    &[GROUPS, ELAPSED, ENTER],
    groups::STATEMENTS,
    changes::STATEMENTS,
    debounce::STATEMENTS,
    &[Tally::STATEMENT],
];

/// A delivery whose wait for quiet is over.
struct Elapsed {
    seq: i64,
    member: Member,
    group: Option<Group>,
}

/// Ends the waits of debounced deliveries that are due at `at`, in a transaction of its own. `tally` is
/// the row of this connection, which names this node. Returns the deliveries that are superseded.
/// Those that may begin are ready to be leased.
pub(super) async fn elapse(
    link: &Link,
    tally: (i64, i16),
    rows: &[i64],
    at: Timestamp,
) -> Result<Displaced, Failure> {
    for statements in STATEMENTS {
        link.prepare(statements).await?;
    }
    let names = link.query(GROUPS, &[&rows]).await?;
    let names: Vec<&str> = names.iter().map(|row| row.get(0)).collect();
    let due = at.as_millis();
    let parameters: [&(dyn ToSql + Sync); 2] = [&rows, &due];
    let ((), (), elapsed) = pipeline!(
        link.run("BEGIN"),
        groups::lock(link, &names),
        link.query(ELAPSED, &parameters),
    )?;
    let elapsed: Vec<Elapsed> = elapsed.iter().map(read).collect();
    let groups = elapsed.iter().filter_map(|one| one.group.as_ref());
    let mut groups = Groups::read(link, groups).await?;
    let (mut changes, mut displaced) = (Changes::default(), Displaced::default());
    let (mut seqs, mut states, mut queued) = (Vec::new(), Vec::new(), BTreeSet::new());
    for Elapsed { seq, member, group } in &elapsed {
        let admission = group.as_ref().map_or(Admission::Run, |group| {
            groups.enter((tally.0, at), group, &mut changes, &mut displaced)
        });
        let state = match admission {
            Admission::Run => MemberState::Ready,
            Admission::Queue => MemberState::Queued,
            Admission::Skip => {
                supersede(member.clone(), at, reason::SKIPPED, &mut changes, &mut displaced);
                continue;
            }
        };
        seqs.push(*seq);
        states.push(if state == MemberState::Queued {
            "queued"
        } else {
            "ready"
        });
        if let Some(group) = group {
            // The delivery may be older than the queued ones, and have a wider limit.
            queued.extend((state == MemberState::Queued).then_some(&*group.name));
            groups.add(
                group,
                Member {
                    state,
                    ..member.clone()
                },
            );
        }
    }
    let queued: Vec<&str> = queued.into_iter().collect();
    let entered: [&(dyn ToSql + Sync); 2] = [&seqs, &states];
    pipeline!(
        link.execute(ENTER, &entered),
        changes.end(link),
        changes.mark_stopped(link),
        groups::begin_next(link, &queued),
        changes.tally().add(link, tally),
        link.run("COMMIT"),
    )?;
    Ok(displaced)
}

/// Reads a row of [`ELAPSED`].
fn read(row: &tokio_postgres::Row) -> Elapsed {
    let limit: i32 = row.get(5);
    let overlap: Option<&str> = row.get(6);
    let group = row.get::<_, Option<&str>>(4).map(|name| Group {
        name: name.into(),
        limit: u32::try_from(limit).unwrap_or(0),
        overlap: Overlap::from_name(overlap.unwrap_or_default()),
    });
    let seq = row.get(0);
    let member = Member {
        row: QueueRow::Written(seq),
        id: row.get::<_, Uuid>(1).into(),
        event: row.get::<_, Uuid>(2).into(),
        rule: Arc::from(row.get::<_, &str>(3)),
        node: None,
        state: MemberState::Ready,
    };
    Elapsed { seq, member, group }
}
