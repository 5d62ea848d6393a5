//! A timeout for peers that do not read what they are sent.
//!
//! hyper limits the time for reading a head, and `request.rs` that for a body. This stream limits
//! writing. Without it, a peer that reads no answers would keep its connection, one of
//! `max_connections`, for ever. The stream fails once a pending write has made no progress for the
//! limit. While writes succeed at once there is no timer.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// A stream whose writes fail if the peer does not read for too long.
#[derive(Debug)]
pub struct WriteTimeout<S> {
    stream: S,
    limit: Duration,
    owed: Arc<AtomicBool>,
    heard: Arc<AtomicBool>,
    /// Timer of a pending write.
    stuck: Option<Pin<Box<Sleep>>>,
}

impl<S> WriteTimeout<S> {
    /// Wraps a stream whose peer may stop reading for at most `limit`.
    pub fn new(stream: S, limit: Duration) -> Self {
        Self {
            stream,
            limit,
            owed: Arc::default(),
            heard: Arc::default(),
            stuck: None,
        }
    }

    /// True once the peer has sent something since it was last answered.
    pub fn owed(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.owed)
    }

    /// True once the peer has sent anything at all.
    pub fn heard(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.heard)
    }

    /// True if a write is pending.
    pub fn is_stuck(&self) -> bool {
        self.stuck.is_some()
    }

    /// Passes on the result of a write. Any progress stops the timer. Its end is an error.
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
        // A socket has nothing to flush, so this is no progress of a pending `poll_write`.
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

    /// Long enough for the slowest machine.
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
