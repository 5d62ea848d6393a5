//! Outcome of an action.
//!
//! Output is kept in two bounded parts, the beginning and the end. The beginning says what a
//! command is about, and the end why it failed.

use std::collections::VecDeque;
use std::time::Duration;

/// Maximum bytes kept of the beginning of a stream.
pub const HEAD: usize = 8 << 10;
/// Maximum bytes kept of the end of a stream.
pub const TAIL: usize = 8 << 10;

/// Outcome of one attempt at one action.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub verdict: Verdict,
    /// Short text without secrets or payload, such as `exit 3`, `HTTP 503` or `timed out after
    /// 10m`.
    pub detail: String,
    /// Target of a request as the log shows it: without query, credentials, payload and possible
    /// tokens.
    pub target: Option<String>,
    pub output: Output,
    pub duration: Duration,
}

/// Meaning of an outcome for the delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Done,
    /// Failed. A retry may help, but not before `retry_after`.
    Failed {
        /// Delay that the target asked for.
        retry_after: Option<Duration>,
    },
    /// Failed. A retry cannot help.
    Dead,
    /// Not attempted, because the target must not be called yet.
    Later {
        /// Time until the target may be called.
        after: Duration,
    },
    /// Stopped before its end: the daemon is stopping, a newer delivery supersedes this one, or the
    /// operator stops it.
    Stopped,
}

/// Output of an action. For a forward, `stdout` is the body of the response.
#[derive(Clone, Debug, Default)]
pub struct Output {
    pub stdout: CapturedStream,
    pub stderr: CapturedStream,
}

/// Beginning and end of a stream.
#[derive(Clone, Debug, Default)]
pub struct CapturedStream {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    total: u64,
}

impl Outcome {
    /// Creates an outcome without output.
    pub fn new(verdict: Verdict, detail: impl Into<String>, duration: Duration) -> Self {
        Self {
            verdict,
            detail: detail.into(),
            target: None,
            output: Output::default(),
            duration,
        }
    }
}

impl Output {
    /// Returns both streams as text, one after the other.
    pub fn text(&self) -> String {
        let (stdout, stderr) = (self.stdout.text(), self.stderr.text());
        let between = if stdout.is_empty() || stderr.is_empty() || stdout.ends_with('\n') {
            ""
        } else {
            "\n"
        };
        format!("{stdout}{between}{stderr}")
    }
}

impl Verdict {
    /// Failure without a delay from the target.
    pub const FAILED: Self = Self::Failed { retry_after: None };

    /// Returns the name in records: `done`, `failed`, `dead`, `later` or `cancelled`. If a stop of
    /// the daemon has cancelled the action, records say `interrupted`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed { .. } => "failed",
            Self::Dead => "dead",
            Self::Later { .. } => "later",
            Self::Stopped => "cancelled",
        }
    }
}

impl CapturedStream {
    /// Adds the next bytes of the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        self.total = self
            .total
            .saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        let free = HEAD.saturating_sub(self.head.len()).min(bytes.len());
        let (head, rest) = bytes.split_at(free);
        self.head.extend_from_slice(head);
        let (_, end) = rest.split_at(rest.len().saturating_sub(TAIL));
        let surplus = (self.tail.len() + end.len()).saturating_sub(TAIL);
        self.tail.drain(..surplus);
        self.tail.extend(end);
    }

    /// Returns the length of the whole stream in bytes.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Returns the number of bytes dropped between the beginning and the end.
    pub fn left_out(&self) -> u64 {
        let captured = u64::try_from(self.head.len() + self.tail.len()).unwrap_or(u64::MAX);
        self.total.saturating_sub(captured)
    }

    /// Returns the beginning and the end. If bytes are missing, a line between them says how many.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.head.clone();
        let left_out = self.left_out();
        if left_out > 0 {
            bytes.extend_from_slice(format!("\n[… {left_out} bytes left out …]\n").as_bytes());
        }
        bytes.extend(&self.tail);
        bytes
    }

    /// Returns [`CapturedStream::bytes`] as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes()).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_and_the_end_are_captured_for_every_size_of_chunk() {
        let whole: Vec<u8> = (0..100_000_u32).flat_map(u32::to_be_bytes).collect();
        for piece in [1, 7, 4096, HEAD, HEAD + TAIL, whole.len()] {
            let mut captured = CapturedStream::default();
            whole.chunks(piece).for_each(|chunk| captured.push(chunk));
            let bytes = captured.bytes();
            assert_eq!(bytes[..HEAD], whole[..HEAD], "{piece}");
            assert_eq!(
                bytes[bytes.len() - TAIL..],
                whole[whole.len() - TAIL..],
                "{piece}"
            );
            assert_eq!(captured.left_out(), 400_000 - u64::try_from(HEAD + TAIL).unwrap());
            assert!(captured.text().contains("bytes left out"));
        }
    }

    #[test]
    fn a_short_stream_is_captured_whole() {
        let mut captured = CapturedStream::default();
        assert_eq!(captured.bytes(), b"");
        let whole = vec![b'x'; HEAD + TAIL];
        captured.push(&whole);
        assert_eq!(captured.bytes(), whole);
        assert_eq!((captured.left_out(), captured.total()), (0, 16_384));
    }
}
