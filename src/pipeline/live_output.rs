//! Readers of a delivery: the output of its attempts while they run, one attempt after another.
//!
//! A reader takes what the ring of an attempt holds, at its own pace.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::mpsc;

use crate::act::{LiveOutput, LivePiece, StreamName};
use crate::pipeline::ongoing::{AttemptEnd, Ongoing, OngoingAttempt};
use crate::pipeline::running::Running;
use crate::store::DeliveryId;

/// Maximum bytes of one piece.
const MAX_PIECE: usize = 8 << 10;

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
        let look = |output: &LiveOutput| match ongoing.started.get() {
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
