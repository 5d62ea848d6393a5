//! HTTP/1 connections, with timeouts from the first byte to the last and an orderly end.
//!
//! Requests that hyper itself refuses never reach `request.rs`. They are reported here.

use std::future::{Future, poll_fn};
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use http::StatusCode;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use crate::pipeline::Answer;
use crate::report::{self, Metrics};
use crate::server::header_budget::MAX_HEAD;
use crate::server::peer::Peer;
use crate::server::request::{FIRST_REQUEST_LIMIT, RequestHandler};
use crate::sys::write_timeout::WriteTimeout;

/// Maximum size of a connection's read buffer, in bytes: the largest head and the beginning of a
/// body. The body budget counts the rest of a body.
const MAX_BUFFER: usize = MAX_HEAD + (8 << 10);
/// Path reported for a request whose head was not understood.
const NO_PATH: &str = "(unread)";

/// Serves one connection to its end. Once the handler is closing, the connection ends after the
/// request that is in flight or about to be.
pub async fn serve_http<S>(stream: S, peer: Peer, handler: Arc<RequestHandler>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let client = peer.address;
    let (closing, timeout) = (handler.closing.clone(), handler.request_timeout);
    let metrics = Arc::clone(&handler.metrics);
    let service = service_fn(move |request| {
        let (handler, peer) = (Arc::clone(&handler), peer.clone());
        async move { handler.answer(request, peer).await }
    });
    let stream = WriteTimeout::new(stream, timeout);
    let (unanswered, has_received) = (stream.unanswered(), stream.has_received());
    let stream = TokioIo::new(stream);
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(timeout)
        .max_header_size(MAX_HEAD)
        .max_buf_size(MAX_BUFFER)
        // Keep serving after the client half-closes: some senders close right after the request and
        // never retry.
        .half_close(true)
        .serve_connection(stream, service);
    let ended = tokio::select! {
        // Biased: a request that has just come is read before its connection counts as idle.
        biased;
        ended = &mut connection => Some(ended),
        () = closing.cancelled() => None,
    };
    let ended = if let Some(ended) = ended {
        ended
    } else {
        let mut is_closing = false;
        let mut silence_timer = pin!(tokio::time::sleep(FIRST_REQUEST_LIMIT));
        poll_fn(|context| {
            loop {
                let polled = Pin::new(&mut connection).poll(context);
                // hyper takes half a head on a kept connection for idleness and would close without
                // an answer.
                if polled.is_ready() || is_closing || unanswered.load(Ordering::Relaxed) {
                    return polled;
                }
                // The first request is on its way, and hyper would close without an answer here,
                // too.
                if !has_received.load(Ordering::Relaxed) && silence_timer.as_mut().poll(context).is_pending()
                {
                    return polled;
                }
                Pin::new(&mut connection).graceful_shutdown();
                is_closing = true;
            }
        })
        .await
    };
    if let Err(error) = ended {
        let parts = connection.into_parts();
        report_error(&metrics, &error, &parts.read_buf, parts.io.into_inner(), client).await;
    }
}

/// Reports the error that has ended a connection. `unread` is the part of a request that had
/// arrived. If it is incomplete, its sender gets an answer.
async fn report_error<S>(
    metrics: &Metrics,
    error: &hyper::Error,
    unread: &Bytes,
    stream: WriteTimeout<S>,
    client: Option<IpAddr>,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    if let Some(status) = refusal(error, unread) {
        report::turned_away(metrics, NO_PATH, client, status.as_u16(), &error.to_string());
    } else {
        // Other errors end the connection only.
        report::connection_ended("connection", error, client);
    }
    if error.is_timeout() && !unread.is_empty() {
        too_slow(stream).await;
    }
}

/// Returns the status of a request that hyper refuses. `None` if there was no request. `unread` is
/// the part that had arrived.
fn refusal(error: &hyper::Error, unread: &Bytes) -> Option<StatusCode> {
    if error.is_timeout() {
        // A silent connection is not a slow request: it is closed without an answer.
        (!unread.is_empty()).then_some(StatusCode::REQUEST_TIMEOUT)
    } else if error.is_parse_too_large() {
        Some(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE)
    } else {
        error.is_parse().then_some(StatusCode::BAD_REQUEST)
    }
}

/// Answers 408 to an incomplete head, which hyper would close without an answer.
async fn too_slow<S: AsyncRead + AsyncWrite + Unpin>(mut stream: WriteTimeout<S>) {
    if stream.is_stalled() {
        // An answer is half written. Another after it would not be understood.
        return;
    }
    let Answer { status, body, .. } = Answer::new(StatusCode::REQUEST_TIMEOUT, "too slow", None);
    let mut bytes = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\nx-content-type-options: nosniff\r\n\
         connection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    bytes.extend_from_slice(&body);
    // The peer may be gone and need no answer.
    if stream.write_all(&bytes).await.is_ok() {
        stream.shutdown().await.ok();
    }
}
