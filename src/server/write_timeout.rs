//! How long a peer may leave unread what it is sent.
//!
//! hyper times the reading of a head and `request` that of a body, and nobody the writing: a peer that sends requests
//! and reads no answer would hold its connection, and one of `max_connections`, for ever. This stream fails once
//! something that is to be written has not moved for the limit. While writes succeed at once there is no timer.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// A stream that waits for its reader up to a limit.
#[derive(Debug)]
pub struct WriteTimeout<S> {
    stream: S,
    limit: Duration,
    owed: Arc<AtomicBool>,
    heard: Arc<AtomicBool>,
    /// Runs while something is to be written that the peer does not take.
    stuck: Option<Pin<Box<Sleep>>>,
}

impl<S> WriteTimeout<S> {
    /// The stream, whose reader may rest for at most `limit`.
    pub fn new(stream: S, limit: Duration) -> Self {
        Self {
            stream,
            limit,
            owed: Arc::default(),
            heard: Arc::default(),
            stuck: None,
        }
    }

    /// Whether the peer has said something since it was last answered.
    pub fn owed(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.owed)
    }

    /// Whether the peer has said anything at all.
    pub fn heard(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.heard)
    }

    /// Whether something was to be written that has not been taken yet.
    pub fn is_stuck(&self) -> bool {
        self.stuck.is_some()
    }

    /// Passes on what a write came to. Any progress ends the waiting; none within the limit is an error.
    fn bounded<T>(&mut self, wrote: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        self.owed.store(false, Ordering::Relaxed);
        if wrote.is_ready() {
            self.stuck = None;
            return wrote;
        }
        let limit = self.limit;
        let stuck = self.stuck.get_or_insert_with(|| Box::pin(sleep(limit)));
        stuck.as_mut().poll(context).map(|()| {
            Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the peer does not read its answers",
            ))
        })
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for WriteTimeout<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.owed.store(true, Ordering::Relaxed);
            self.heard.store(true, Ordering::Relaxed);
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WriteTimeout<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.bounded(wrote, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write_vectored(context, pieces);
        self.bounded(wrote, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A socket has nothing to flush: this is no progress of what `poll_write` left waiting.
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// A time that no machine is too slow to keep.
    const LIMIT: Duration = Duration::from_millis(300);

    #[tokio::test]
    async fn a_reader_that_rests_longer_than_the_limit_is_given_up() {
        let (near, _far) = tokio::io::duplex(16);
        let mut stream = WriteTimeout::new(near, LIMIT);
        assert!(stream.write_all(&[0; 16]).await.is_ok());
        assert!(!stream.is_stuck());
        let error = stream.write_all(&[0; 16]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(stream.is_stuck());
    }

    #[tokio::test]
    async fn a_slow_reader_is_waited_for_as_long_as_it_reads() {
        let (near, mut far) = tokio::io::duplex(16);
        let mut stream = WriteTimeout::new(near, LIMIT);
        let reading = async {
            let mut taken = [0; 16];
            for _ in 0..6 {
                sleep(LIMIT / 3).await;
                far.read_exact(&mut taken).await.unwrap();
            }
        };
        let (wrote, ()) = tokio::join!(stream.write_all(&[0; 112]), reading);
        wrote.unwrap();
    }
}
