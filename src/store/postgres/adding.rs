//! New deliveries of a transaction: each is decided on as if it were alone, in the order of arrival.

use std::sync::Arc;

use super::changes::{Changes, NewRow, QueueRow, group_name};
use super::debounce::{self, Debounced};
use super::failure::Failure;
use super::groups::{Groups, Member};
use super::link::Link;
use super::pipeline::pipeline;
use crate::base::clock::Timestamp;
use crate::event::EventId;
use crate::store::decide::admission::{Admission, MemberState, initial_state};
use crate::store::group::reason;
use crate::store::{DeliveryId, DeliveryState, Displaced, Enqueued, NewDelivery};

const ROWS: &str = "SELECT nextval('queue_seq_seq'::regclass) FROM generate_series(1, $1::int8)";

pub(super) const STATEMENTS: &[&str] = &[ROWS];

/// Takes numbers of rows, in ascending order.
pub(super) async fn take_rows(link: &Link, number: usize) -> Result<std::vec::IntoIter<i64>, Failure> {
    let number = i64::try_from(number).unwrap_or(i64::MAX);
    let rows = link.query(ROWS, &[&number]).await?;
    let rows: Vec<i64> = rows.iter().map(|row| row.get(0)).collect();
    Ok(rows.into_iter())
}

/// Deliveries that are being added.
#[derive(Debug, Default)]
pub(super) struct Adding<'c> {
    /// This node.
    me: i64,
    groups: Groups,
    debounced: Debounced,
    pub changes: Changes<'c>,
}

/// A new delivery: its row, its ids, and the time at which it is added.
pub(super) struct Added<'c> {
    pub seq: i64,
    pub id: DeliveryId,
    pub event: EventId,
    pub at: Timestamp,
    pub delivery: &'c NewDelivery,
}

/// The stripes to be locked before these deliveries are added.
pub(super) fn stripes<'c>(new: impl Iterator<Item = &'c NewDelivery>) -> Vec<String> {
    let mut names = Vec::new();
    for delivery in new {
        names.extend(group_name(delivery).map(ToString::to_string));
        if delivery.debounce.is_some() {
            names.push(debounce::stripe_name(delivery));
        }
    }
    names.sort_unstable();
    names.dedup();
    names
}

impl<'c> Adding<'c> {
    /// Begins where no delivery has a group or meets a debounced one.
    pub fn simple(me: i64) -> Self {
        Self {
            me,
            ..Self::default()
        }
    }

    /// Reads the groups of new deliveries, and the debounced deliveries that they may supersede. The
    /// stripes are locked. All statements are sent when the future is first polled.
    pub async fn read(link: &Link, me: i64, new: &[&'c NewDelivery]) -> Result<Self, Failure> {
        let of_groups = new.iter().filter_map(|delivery| delivery.group.as_ref());
        let read = pipeline!(Groups::read(link, of_groups), Debounced::read(link, new));
        let (groups, debounced) = read?;
        Ok(Self {
            me,
            groups,
            debounced,
            changes: Changes::default(),
        })
    }

    /// Adds a delivery, and ends those that it supersedes.
    #[expect(clippy::needless_pass_by_value, reason = "its parts are taken apart")]
    pub fn add(&mut self, added: Added<'c>) -> Enqueued {
        let Added {
            seq,
            id,
            event,
            at,
            delivery,
        } = added;
        let mut displaced = Displaced::default();
        let changes = &mut self.changes;
        let since = self.debounced.supersede(delivery, at, changes, &mut displaced);
        let mut state = initial_state(delivery, at, since);
        let due = state.due().unwrap_or(delivery.due);
        let admission = match (&state, &delivery.group) {
            (DeliveryState::Ready { .. }, Some(group)) => {
                self.groups.enter((self.me, at), group, changes, &mut displaced)
            }
            _ => Admission::Run,
        };
        match admission {
            Admission::Run => {}
            Admission::Queue => state = DeliveryState::Queued { due },
            Admission::Skip => {
                let reason = reason::SKIPPED.to_owned();
                state = DeliveryState::Superseded { at, reason };
            }
        }
        let row = QueueRow::New(changes.new.len());
        self.note(&state, row, id, event, delivery);
        self.changes.new.push(NewRow {
            seq,
            id,
            event,
            delivery,
            state,
        });
        match admission {
            Admission::Skip => Enqueued::Skipped(id),
            Admission::Run | Admission::Queue => Enqueued::in_place_of(id, displaced),
        }
    }

    /// Notes a delivery for those after it.
    fn note(
        &mut self,
        state: &DeliveryState,
        row: QueueRow,
        id: DeliveryId,
        event: EventId,
        delivery: &NewDelivery,
    ) {
        let member = |state| Member {
            row,
            id,
            event,
            rule: Arc::clone(&delivery.rule),
            node: None,
            state,
        };
        match (state, &delivery.group) {
            (DeliveryState::Debounced { since, .. }, group) => {
                let group = group.as_ref().map(|group| Arc::clone(&group.name));
                self.debounced.add(group, member(MemberState::Queued), *since);
            }
            (DeliveryState::Queued { .. }, Some(group)) => {
                self.groups.add(group, member(MemberState::Queued));
            }
            (DeliveryState::Ready { .. }, Some(group)) => {
                self.groups.add(group, member(MemberState::Ready));
            }
            _ => {}
        }
    }
}
