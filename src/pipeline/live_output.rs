//! Followers of a delivery: the output of its attempts while they run, one attempt after another.
//!
//! A follower gets each attempt that begins, and reads its ring at its own pace. Attempts that were
//! followed are kept for a moment after their end, so that a reader that connects again misses
//! nothing.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::act::{LivePiece, StreamName};
use crate::pipeline::running::{Ongoing, OngoingAttempt, Running};
use crate::store::{DeliveryId, Settled, Settlement};

/// Maximum attempts that wait for a follower. Further ones are not shown to it.
const MAX_BEHIND: usize = 8;
/// Maximum ended attempts whose output can still be read.
const MAX_ENDED: usize = 64;
/// Time for which it can be read.
const ENDED_KEPT: Duration = Duration::from_mins(1);
/// Maximum bytes of one piece.
const MAX_PIECE: usize = 8 << 10;

/// The followers of all deliveries, and the attempts that they may still ask for.
#[derive(Debug, Default)]
pub(super) struct Followers {
    by_delivery: HashMap<DeliveryId, Vec<mpsc::Sender<Arc<Ongoing>>>>,
    ended: VecDeque<(Instant, Arc<Ongoing>)>,
}

/// The end of an attempt.
#[derive(Clone, Debug)]
pub struct AttemptEnd {
    /// Outcome and detail as in the record of the attempt. `None` if there is no record.
    pub record: Option<(String, String)>,
    /// True if the next action follows at once.
    pub goes_on: bool,
}

/// A place in the output of a delivery, from which a reader goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputCursor {
    /// The attempt, from [`OngoingAttempt::key`].
    pub attempt: String,
    /// Bytes of both streams before the place.
    pub position: u64,
    /// True if the end of the attempt was read.
    pub is_ended: bool,
}

/// What a reader gets.
#[derive(Clone, Debug)]
pub enum OutputPiece {
    /// An attempt begins, at an action of this kind.
    Attempt(OngoingAttempt, &'static str),
    Output(StreamName, Vec<u8>),
    /// Bytes that are no longer kept; `None` if their number is not known either.
    LeftOut(Option<u64>),
    End(AttemptEnd),
}

/// A reader of the output of a delivery.
#[derive(Debug)]
pub struct OutputReader {
    running: Arc<Running>,
    delivery: DeliveryId,
    begun: mpsc::Receiver<Arc<Ongoing>>,
    /// Attempts that began before the reader came.
    earlier: VecDeque<Arc<Ongoing>>,
    current: Option<Arc<Ongoing>>,
    /// True once the current attempt was announced.
    is_announced: bool,
    /// True if the rest of an attempt can no longer be read.
    has_lost: bool,
    cursor: Option<OutputCursor>,
}

impl AttemptEnd {
    pub(super) fn of(settled: &Settled) -> Self {
        let record = settled.attempt.as_ref();
        Self {
            record: record.map(|record| (record.outcome.clone(), record.detail.clone())),
            goes_on: matches!(settled.settlement, Settlement::Next { .. }),
        }
    }

    /// The end of an attempt whose record was not written.
    pub(super) const UNKNOWN: Self = Self {
        record: None,
        goes_on: false,
    };
}

impl Followers {
    /// Shows an attempt that begins to the followers of its delivery.
    pub(super) fn begins(&self, ongoing: &Arc<Ongoing>) {
        let followers = self.by_delivery.get(&ongoing.attempt.delivery);
        for follower in followers.into_iter().flatten() {
            follower.try_send(Arc::clone(ongoing)).ok();
        }
    }

    /// Keeps an attempt that has ended, if it was followed.
    pub(super) fn ends(&mut self, ongoing: &Arc<Ongoing>) {
        self.forget_old();
        if ongoing.output.is_followed() {
            if self.ended.len() == MAX_ENDED {
                self.ended.pop_front();
            }
            self.ended.push_back((Instant::now(), Arc::clone(ongoing)));
        }
    }

    fn forget_old(&mut self) {
        let is_old = |(at, _): &(Instant, _)| at.elapsed() > ENDED_KEPT;
        while self.ended.front().is_some_and(is_old) {
            self.ended.pop_front();
        }
    }

    fn add(&mut self, delivery: DeliveryId) -> mpsc::Receiver<Arc<Ongoing>> {
        let (sender, begun) = mpsc::channel(MAX_BEHIND);
        self.by_delivery.entry(delivery).or_default().push(sender);
        begun
    }

    fn remove_closed(&mut self, delivery: DeliveryId) {
        if let Some(senders) = self.by_delivery.get_mut(&delivery) {
            senders.retain(|sender| !sender.is_closed());
            if senders.is_empty() {
                self.by_delivery.remove(&delivery);
            }
        }
    }
}

impl OutputReader {
    /// A reader of a delivery: from `after` on, or from the begin of the attempt in progress.
    pub(super) fn new(running: &Arc<Running>, delivery: DeliveryId, after: Option<OutputCursor>) -> Self {
        let (begun, mut earlier) = running.with_followers(|followers, ongoing| {
            followers.forget_old();
            let is_meant = |ongoing: &&Arc<Ongoing>| ongoing.attempt.delivery == delivery;
            let ended = followers.ended.iter().map(|(_, ended)| ended).filter(is_meant);
            let mut earlier: VecDeque<_> = ended.map(Arc::clone).collect();
            if after.is_none() {
                earlier.clear();
            }
            earlier.extend(ongoing.get(&delivery).map(Arc::clone));
            (followers.add(delivery), earlier)
        });
        let mut has_lost = false;
        let mut current = None;
        if let Some(cursor) = &after {
            let is_same = |ongoing: &Arc<Ongoing>| ongoing.attempt.key() == cursor.attempt;
            if let Some(at) = earlier.iter().position(is_same) {
                earlier.drain(..at);
                current = earlier.pop_front().filter(|_| !cursor.is_ended);
            } else {
                has_lost = !cursor.is_ended;
                let is_later = |ongoing: &Arc<Ongoing>| ongoing.attempt.began_after(&cursor.attempt);
                earlier.retain(is_later);
            }
        }
        Self {
            running: Arc::clone(running),
            delivery,
            begun,
            earlier,
            is_announced: current.is_some(),
            current,
            has_lost,
            cursor: after,
        }
    }

    /// True while an attempt is read. Else [`Self::next`] waits until one begins.
    pub fn is_reading(&self) -> bool {
        self.current.is_some() || self.has_lost || !self.earlier.is_empty() || !self.begun.is_empty()
    }

    /// The place after the piece that was read last.
    pub fn cursor(&self) -> Option<&OutputCursor> {
        self.cursor.as_ref()
    }

    /// Returns the next piece. If the future is dropped, nothing is lost.
    pub async fn next(&mut self) -> OutputPiece {
        if std::mem::take(&mut self.has_lost) {
            return OutputPiece::LeftOut(None);
        }
        let ongoing = match &self.current {
            Some(ongoing) => Arc::clone(ongoing),
            None => self.next_attempt().await,
        };
        let is_announced = self.is_announced;
        let position = self.cursor.as_ref().map_or(0, |cursor| cursor.position);
        let position = position.min(ongoing.output.end());
        let look = |output: &crate::act::LiveOutput| match ongoing.started.get() {
            Some(kind) if !is_announced => {
                Some((OutputPiece::Attempt(ongoing.attempt.clone(), kind), position))
            }
            _ => match output.read(position, MAX_PIECE) {
                Some(LivePiece::Output {
                    stream,
                    bytes,
                    position,
                }) => Some((OutputPiece::Output(stream, bytes), position)),
                Some(LivePiece::LeftOut { bytes, position }) => {
                    Some((OutputPiece::LeftOut(Some(bytes)), position))
                }
                None => {
                    let end = ongoing.end.get()?;
                    Some((OutputPiece::End(end.clone()), position))
                }
            },
        };
        let (piece, position) = ongoing.output.wait_for(look).await;
        let is_ended = matches!(piece, OutputPiece::End(_));
        self.is_announced = true;
        self.cursor = Some(OutputCursor {
            attempt: ongoing.attempt.key(),
            position,
            is_ended,
        });
        if is_ended {
            self.current = None;
        }
        piece
    }

    /// Waits for the next attempt, and makes it the current one.
    async fn next_attempt(&mut self) -> Arc<Ongoing> {
        let next = match self.earlier.pop_front() {
            Some(earlier) => earlier,
            None => match self.begun.recv().await {
                Some(begun) => begun,
                // The sender is only removed when this reader is dropped.
                None => std::future::pending().await,
            },
        };
        self.current = Some(Arc::clone(&next));
        self.is_announced = false;
        self.cursor = Some(OutputCursor {
            attempt: next.attempt.key(),
            position: 0,
            is_ended: false,
        });
        next
    }
}

impl Drop for OutputReader {
    fn drop(&mut self) {
        self.begun.close();
        let delivery = self.delivery;
        self.running
            .with_followers(|followers, _| followers.remove_closed(delivery));
    }
}
