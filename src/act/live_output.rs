//! Output of a command while it runs: its latest bytes, in memory only.
//!
//! Both streams share one ring, in the order in which they were read. A position counts the bytes
//! of both since the start, so a reader that knows its last position misses nothing as long as the
//! ring holds what follows. A reader takes copies and holds back nothing: the command never waits
//! for it.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

/// Maximum bytes kept of an attempt.
const MAX_LIVE: usize = 64 << 10;
/// Bytes kept of an attempt even if [`MAX_LIVE_SUM`] is used up.
const LEAST_LIVE: usize = 4 << 10;
/// Maximum bytes kept of all attempts together, beyond [`LEAST_LIVE`] of each.
const MAX_LIVE_SUM: usize = 8 << 20;
/// Maximum changes between the two streams kept of an attempt. The oldest bytes beyond are dropped.
const MAX_CHANGES: usize = 1024;

/// One of the two output streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamName {
    Stdout,
    Stderr,
}

/// The memory that the rings of all attempts share.
#[derive(Debug, Default)]
pub struct LiveBudget(AtomicUsize);

/// Latest output of one attempt.
#[derive(Debug)]
pub struct LiveOutput {
    ring: Mutex<Ring>,
    budget: Arc<LiveBudget>,
    changed: Notify,
    /// True once a reader has come. Without one, nothing is notified.
    is_followed: AtomicBool,
}

#[derive(Debug)]
struct Ring {
    bytes: VecDeque<u8>,
    /// Streams of `bytes`, each with its number of bytes.
    runs: VecDeque<(StreamName, usize)>,
    /// Position after the last byte.
    end: u64,
    /// Maximum of `bytes`. It grows as far as the budget allows.
    capacity: usize,
}

/// Answer to a reader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LivePiece {
    /// Bytes of one stream, which end at `position`.
    Output {
        stream: StreamName,
        bytes: Vec<u8>,
        position: u64,
    },
    /// Bytes that the ring no longer holds, up to `position`.
    LeftOut { bytes: u64, position: u64 },
}

impl LiveBudget {
    /// Takes bytes from the budget. False if there are not so many.
    fn take(&self, bytes: usize) -> bool {
        let taken = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
            Some(used + bytes).filter(|used| *used <= MAX_LIVE_SUM)
        });
        taken.is_ok()
    }
}

impl LiveOutput {
    /// Without output. Memory is taken with the first byte.
    pub fn new(budget: &Arc<LiveBudget>) -> Self {
        Self {
            ring: Mutex::new(Ring {
                bytes: VecDeque::new(),
                runs: VecDeque::new(),
                end: 0,
                capacity: LEAST_LIVE,
            }),
            budget: Arc::clone(budget),
            changed: Notify::new(),
            is_followed: AtomicBool::new(false),
        }
    }

    /// Adds the next bytes of a stream.
    pub fn push(&self, stream: StreamName, bytes: &[u8]) {
        self.ring.lock().push(stream, bytes, &self.budget);
        // A reader that is not seen here locks the ring later, and sees the bytes.
        if self.is_followed.load(Ordering::Relaxed) {
            self.changed.notify_waiters();
        }
    }

    /// Returns what follows `position`, at most `max` bytes of one stream. `None`: nothing yet.
    pub fn read(&self, position: u64, max: usize) -> Option<LivePiece> {
        self.ring.lock().read(position, max)
    }

    /// Position after the last byte.
    pub fn end(&self) -> u64 {
        self.ring.lock().end
    }

    /// True once a reader has come.
    pub fn is_followed(&self) -> bool {
        self.is_followed.load(Ordering::Relaxed)
    }

    /// Wakes the readers, after something else has changed that they wait for.
    pub fn wake(&self) {
        self.changed.notify_waiters();
    }

    /// Waits until `look` returns a value. It is called after every change.
    pub async fn wait_for<T>(&self, mut look: impl FnMut(&Self) -> Option<T>) -> T {
        self.is_followed.store(true, Ordering::Relaxed);
        loop {
            let mut changed = pin!(self.changed.notified());
            // Before looking, so that no change in between is missed.
            changed.as_mut().enable();
            if let Some(found) = look(self) {
                return found;
            }
            changed.await;
        }
    }
}

impl Drop for LiveOutput {
    fn drop(&mut self) {
        let taken = self.ring.get_mut().capacity - LEAST_LIVE;
        self.budget.0.fetch_sub(taken, Ordering::Relaxed);
    }
}

impl Ring {
    fn push(&mut self, stream: StreamName, bytes: &[u8], budget: &LiveBudget) {
        self.end += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        while self.bytes.len() + bytes.len() > self.capacity
            && self.capacity < MAX_LIVE
            && budget.take(self.capacity)
        {
            self.capacity *= 2;
        }
        let (_, kept) = bytes.split_at(bytes.len().saturating_sub(self.capacity));
        self.drop_first((self.bytes.len() + kept.len()).saturating_sub(self.capacity));
        if self.bytes.capacity() < self.bytes.len() + kept.len() {
            self.bytes.reserve_exact(self.capacity - self.bytes.len());
        }
        self.bytes.extend(kept);
        match self.runs.back_mut() {
            Some((last, length)) if *last == stream => *length += kept.len(),
            _ => self.runs.push_back((stream, kept.len())),
        }
        if self.runs.len() > MAX_CHANGES {
            let oldest = self.runs.front().map_or(0, |(_, length)| *length);
            self.drop_first(oldest);
        }
    }

    /// Drops the oldest bytes.
    fn drop_first(&mut self, mut number: usize) {
        self.bytes.drain(..number);
        while let Some((_, length)) = self.runs.front_mut() {
            if *length > number {
                *length -= number;
                return;
            }
            number -= *length;
            self.runs.pop_front();
        }
    }

    fn read(&self, position: u64, max: usize) -> Option<LivePiece> {
        let length = u64::try_from(self.bytes.len()).unwrap_or(u64::MAX);
        let begin = self.end - length;
        if position < begin {
            return Some(LivePiece::LeftOut {
                bytes: begin - position,
                position: begin,
            });
        }
        let skipped = usize::try_from(position - begin).unwrap_or(usize::MAX);
        let mut run_end = 0;
        let (stream, run_end) = self.runs.iter().find_map(|(stream, length)| {
            run_end += length;
            (run_end > skipped).then_some((*stream, run_end))
        })?;
        let until = run_end.min(skipped.saturating_add(max));
        let bytes: Vec<u8> = self.bytes.range(skipped..until).copied().collect();
        let position = begin + u64::try_from(until).unwrap_or(u64::MAX);
        Some(LivePiece::Output {
            stream,
            bytes,
            position,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use StreamName::{Stderr, Stdout};

    fn output() -> LiveOutput {
        LiveOutput::new(&Arc::default())
    }

    /// All that a reader at `position` gets: the pieces, and the number of bytes left out.
    fn read(output: &LiveOutput, mut position: u64, max: usize) -> (Vec<(StreamName, Vec<u8>)>, u64) {
        let (mut pieces, mut missing) = (Vec::new(), 0);
        while let Some(piece) = output.read(position, max) {
            position = match piece {
                LivePiece::Output {
                    stream,
                    bytes,
                    position,
                } => {
                    pieces.push((stream, bytes));
                    position
                }
                LivePiece::LeftOut { bytes, position } => {
                    missing += bytes;
                    position
                }
            };
        }
        assert_eq!(position, output.end());
        (pieces, missing)
    }

    #[test]
    fn pieces_come_in_the_order_in_which_they_were_read() {
        let output = output();
        for (stream, text) in [(Stdout, "a"), (Stdout, "bc"), (Stderr, "d"), (Stdout, "ef")] {
            output.push(stream, text.as_bytes());
        }
        let piece = |stream, text: &str| (stream, text.as_bytes().to_vec());
        let all = [piece(Stdout, "abc"), piece(Stderr, "d"), piece(Stdout, "ef")];
        assert_eq!(read(&output, 0, 100), (all.to_vec(), 0));
        let from_two = [piece(Stdout, "c"), piece(Stderr, "d"), piece(Stdout, "ef")];
        assert_eq!(read(&output, 2, 100), (from_two.to_vec(), 0));
        let short = [
            piece(Stdout, "c"),
            piece(Stderr, "d"),
            piece(Stdout, "e"),
            piece(Stdout, "f"),
        ];
        assert_eq!(read(&output, 2, 1), (short.to_vec(), 0));
        // A position that has not been reached yet.
        assert_eq!(output.read(7, 100), None);
    }

    #[test]
    fn the_latest_bytes_are_kept_for_every_size_of_chunk() {
        let whole: Vec<u8> = (0..50_000_u32).flat_map(u32::to_be_bytes).collect();
        for chunk in [1, 7, 4096, MAX_LIVE, MAX_LIVE + 1, whole.len()] {
            let output = output();
            whole.chunks(chunk).for_each(|chunk| output.push(Stdout, chunk));
            let (pieces, missing) = read(&output, 0, 5000);
            let bytes: Vec<u8> = pieces.into_iter().flat_map(|(_, bytes)| bytes).collect();
            assert_eq!(bytes, whole[whole.len() - MAX_LIVE..], "{chunk}");
            assert_eq!(missing, u64::try_from(whole.len() - MAX_LIVE).unwrap());
            let ring = output.ring.lock();
            assert!(ring.bytes.capacity() <= MAX_LIVE, "{}", ring.bytes.capacity());
        }
    }

    #[test]
    fn changes_between_the_streams_are_bounded() {
        let output = output();
        for at in 0..10_000 {
            output.push(if at % 2 == 0 { Stdout } else { Stderr }, b"x");
        }
        let (pieces, missing) = read(&output, 0, 100);
        assert_eq!((pieces.len(), missing), (MAX_CHANGES, 10_000 - 1024));
    }

    #[test]
    fn all_attempts_together_have_a_bound_and_each_has_the_least() {
        let budget = Arc::new(LiveBudget::default());
        let push = || {
            let output = LiveOutput::new(&budget);
            output.push(Stdout, &vec![b'x'; 2 * MAX_LIVE]);
            output
        };
        let outputs: Vec<_> = (0..200).map(|_| push()).collect();
        let kept = |output: &LiveOutput| output.ring.lock().bytes.len();
        let sum: usize = outputs.iter().map(kept).sum();
        assert!(sum <= MAX_LIVE_SUM + 200 * LEAST_LIVE, "{sum}");
        assert_eq!(kept(&outputs[0]), MAX_LIVE);
        assert!(outputs.iter().all(|output| kept(output) >= LEAST_LIVE));
        drop(outputs);
        assert_eq!(budget.0.load(Ordering::Relaxed), 0);
        assert_eq!(kept(&push()), MAX_LIVE);
    }

    #[tokio::test]
    async fn a_reader_is_woken_by_output_and_by_other_changes() {
        let output = Arc::new(output());
        let reading = output.wait_for(|output| output.read(0, 10));
        let writing = async {
            tokio::task::yield_now().await;
            output.push(Stdout, b"hello");
        };
        let (piece, ()) = tokio::join!(reading, writing);
        assert!(matches!(piece, LivePiece::Output { position: 5, .. }));
        let is_over = AtomicBool::new(false);
        let is_told = output.wait_for(|_| is_over.load(Ordering::Relaxed).then_some(()));
        let ending = async {
            tokio::task::yield_now().await;
            is_over.store(true, Ordering::Relaxed);
            output.wake();
        };
        tokio::join!(is_told, ending);
    }
}
