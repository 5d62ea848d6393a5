//! How an action went.
//!
//! What it put out is kept in bounded pieces: the beginning, where a command says what it is about, and the end,
//! where it says why it failed.

use std::collections::VecDeque;
use std::time::Duration;

/// How much of the beginning of a stream is kept, in bytes.
pub const HEAD: usize = 8 << 10;
/// How much of the end of a stream is kept, in bytes.
pub const TAIL: usize = 8 << 10;

/// How one try at one action went.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Whether it is done, and whether trying again can help.
    pub verdict: Verdict,
    /// In few words, without secrets or payload: `exit 3`, `HTTP 503`, `timed out after 10m`.
    pub detail: String,
    /// Where a request went, as the log shows it: without query, credentials, payload, and without what may be a token.
    pub target: Option<String>,
    /// What it put out.
    pub output: Output,
    /// How long it took.
    pub duration: Duration,
}

/// What an outcome means for the delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is done.
    Done,
    /// It failed, and another try may help, after this long at least.
    Failed {
        /// How long the target asked to be left alone.
        retry_after: Option<Duration>,
    },
    /// It failed, and another try cannot help.
    Dead,
    /// The target is not to be called yet: this was no attempt.
    Later {
        /// When it may be.
        after: Duration,
    },
    /// It was stopped before its end: the daemon is stopping, or another delivery takes its place.
    Stopped,
}

/// What an action put out. Of a forward, `stdout` is the body of the answer.
#[derive(Clone, Debug, Default)]
pub struct Output {
    /// The standard output.
    pub stdout: CapturedStream,
    /// The standard error.
    pub stderr: CapturedStream,
}

/// The beginning and the end of a stream.
#[derive(Clone, Debug, Default)]
pub struct CapturedStream {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    total: u64,
}

impl Outcome {
    /// One without output.
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
    /// Both streams as text, one after the other.
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
    /// Failed, and the target did not say for how long.
    pub const FAILED: Self = Self::Failed { retry_after: None };

    /// Its name, as records have it: `done`, `failed`, `dead`, `later`, `cancelled`. Of what a stop of the daemon
    /// has cancelled they say `interrupted`.
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
    /// Takes what came next.
    pub fn push(&mut self, bytes: &[u8]) {
        self.total = self
            .total
            .saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        let room = HEAD.saturating_sub(self.head.len()).min(bytes.len());
        let (head, rest) = bytes.split_at(room);
        self.head.extend_from_slice(head);
        let (_, end) = rest.split_at(rest.len().saturating_sub(TAIL));
        let surplus = (self.tail.len() + end.len()).saturating_sub(TAIL);
        self.tail.drain(..surplus);
        self.tail.extend(end);
    }

    /// How many bytes there were.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// How many bytes between the beginning and the end are not kept.
    pub fn left_out(&self) -> u64 {
        let kept = u64::try_from(self.head.len() + self.tail.len()).unwrap_or(u64::MAX);
        self.total.saturating_sub(kept)
    }

    /// The beginning and the end, with a line between them that says how much is missing.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.head.clone();
        let left_out = self.left_out();
        if left_out > 0 {
            bytes.extend_from_slice(format!("\n[… {left_out} bytes left out …]\n").as_bytes());
        }
        bytes.extend(&self.tail);
        bytes
    }

    /// As [`CapturedStream::bytes`], as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes()).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_and_the_end_are_kept_whatever_the_pieces() {
        let whole: Vec<u8> = (0..100_000_u32).flat_map(u32::to_be_bytes).collect();
        for piece in [1, 7, 4096, HEAD, HEAD + TAIL, whole.len()] {
            let mut kept = CapturedStream::default();
            whole.chunks(piece).for_each(|chunk| kept.push(chunk));
            let bytes = kept.bytes();
            assert_eq!(bytes[..HEAD], whole[..HEAD], "{piece}");
            assert_eq!(
                bytes[bytes.len() - TAIL..],
                whole[whole.len() - TAIL..],
                "{piece}"
            );
            assert_eq!(kept.left_out(), 400_000 - u64::try_from(HEAD + TAIL).unwrap());
            assert!(kept.text().contains("bytes left out"));
        }
    }

    #[test]
    fn a_short_stream_is_kept_whole() {
        let mut kept = CapturedStream::default();
        assert_eq!(kept.bytes(), b"");
        let whole = vec![b'x'; HEAD + TAIL];
        kept.push(&whole);
        assert_eq!(kept.bytes(), whole);
        assert_eq!((kept.left_out(), kept.total()), (0, 16_384));
    }
}
