//! HTTP/2 connections, chosen by ALPN, within the same limits as HTTP/1.
//!
//! hyper and h2 limit resets, frames and header lists themselves. Where their limits are generous,
//! this file sets lower ones. It adds what they do not limit: a connection without requests for
//! longer than the request timeout ends, however often its peer pings. So does a connection whose
//! peer reads no answers. All connections together never have more requests in progress than HTTP/1
//! could have.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, Version, header};
use http_body_util::Full;
use hyper::body::{Body, Incoming};
use hyper::rt::Executor;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::pipeline::Answer;
use crate::report;
use crate::server::body_budget::{Bounds, Window};
use crate::server::header_budget::{HeaderBudget, HeaderReservation, MAX_HEAD};
use crate::server::peer::Peer;
use crate::server::request::{RequestHandler, UnreadBody};

/// Maximum requests in progress on a connection. RFC 9113 §6.5.2 recommends at least 100.
const MAX_STREAMS: u32 = 100;
/// Maximum memory of a connection's requests besides their bodies, in bytes: 100 with heads of 6
/// KiB, or a dozen with the largest. Further requests are answered with 503.
const MAX_CONNECTION_HEADERS: usize = 1 << 20;
/// Flow control windows of one request and of a connection, in bytes. A peer may send this much
/// before the daemon reads it. The body budget counts the windows.
const STREAM_WINDOW: u32 = 256 << 10;
const CONNECTION_WINDOW: u32 = 1 << 20;
/// Windows in bytes if the budget has no memory for larger ones. RFC 9113 §6.9.2 forbids smaller
/// connection windows.
const SMALLEST_WINDOW: u32 = (64 << 10) - 1;
/// Maximum time for sending the last answers once no request is in progress.
const LINGER: Duration = Duration::from_secs(1);

/// Tasks of one connection, which end with it.
#[derive(Clone)]
struct Streams {
    tasks: TaskTracker,
    shutdown: CancellationToken,
}

impl<F: Future<Output: Send> + Send + 'static> Executor<F> for Streams {
    fn execute(&self, stream: F) {
        let shutdown = self.shutdown.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                _ = stream => {}
                () = shutdown.cancelled() => {}
            }
        });
    }
}

/// Serves one connection to its end, as [`crate::server::http1::serve_http`] does.
pub async fn serve_http<S>(stream: S, peer: Peer, handler: Arc<RequestHandler>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let client = peer.address;
    let (closing, limit) = (handler.closing.clone(), handler.request_timeout);
    let streams = Streams {
        tasks: TaskTracker::new(),
        shutdown: CancellationToken::new(),
    };
    // Ends the streams also if this future is dropped.
    let _ends = streams.shutdown.clone().drop_guard();
    let (in_progress, mut in_progress_count) = watch::channel(0_usize);
    let own_budget = Arc::new(HeaderBudget::for_connection(MAX_CONNECTION_HEADERS));
    let (_window, stream_window, connection_window) = reserve_window(&handler);
    let service = service_fn(move |request: Request<Incoming>| {
        let (handler, peer) = (Arc::clone(&handler), peer.clone());
        let guard = InProgressGuard::new(in_progress.clone());
        // Reserved here and not in the request's task: thousands of tasks may wait for their first
        // turn.
        let head_only = request.method() == Method::HEAD;
        let reserved = reserve_headers(&handler, request, &own_budget, client);
        async move {
            let response = answer(&handler, reserved, peer, head_only).await;
            drop(guard);
            response
        }
    });
    let mut connection = std::pin::pin!(
        http2::Builder::new(streams.clone())
            .timer(TokioTimer::new())
            .max_concurrent_streams(MAX_STREAMS)
            .initial_stream_window_size(stream_window)
            .initial_connection_window_size(connection_window)
            .max_header_list_size(u32::try_from(MAX_HEAD).unwrap_or(u32::MAX))
            .serve_connection(TokioIo::new(stream), service)
    );
    let ended = tokio::select! {
        biased;
        ended = &mut connection => Some(ended),
        () = closing.cancelled() => None,
        () = idle(&mut in_progress_count, limit) => None,
    };
    let ended = if let Some(ended) = ended {
        ended
    } else {
        connection.as_mut().graceful_shutdown();
        tokio::select! {
            ended = &mut connection => ended,
            // The peer may keep the connection open and leave answers unread.
            () = idle(&mut in_progress_count, LINGER) => Ok(()),
        }
    };
    if let Err(error) = ended {
        report::connection_ended("connection", &error, client);
    }
}

/// Reserves memory for the flow control windows of a connection, and returns the size of a stream's
/// and of its own. If no memory is left, both are small.
fn reserve_window(handler: &RequestHandler) -> (Option<Window>, u32, u32) {
    let server = &handler.live.current().server;
    let bounds = Bounds::new(server.max_inflight, server.largest_body);
    match handler.body_budget.window(CONNECTION_WINDOW.into(), bounds) {
        Some(window) => (Some(window), STREAM_WINDOW, CONNECTION_WINDOW),
        None => (None, SMALLEST_WINDOW, SMALLEST_WINDOW),
    }
}

/// A request with the memory of its headers, or the answer if there is none left.
type Reserved = Result<(HeaderReservation, Request<Incoming>), (Box<Answer>, UnreadBody)>;

/// Reserves memory for the headers of a request.
fn reserve_headers(
    handler: &RequestHandler,
    request: Request<Incoming>,
    own: &Arc<HeaderBudget>,
    client: Option<IpAddr>,
) -> Reserved {
    match HeaderReservation::new(&request, own, &handler.header_budget) {
        Ok(headers) => Ok((headers, request)),
        Err((answer, why)) => {
            report::turned_away(
                &handler.metrics,
                request.uri().path(),
                client,
                answer.status.as_u16(),
                why,
            );
            let expects_continue = request.headers().contains_key(header::EXPECT);
            let body = request.into_body();
            Err((
                answer,
                UnreadBody {
                    body,
                    expects_continue,
                },
            ))
        }
    }
}

/// Answers one request.
async fn answer(
    handler: &RequestHandler,
    reserved: Reserved,
    peer: Peer,
    head_only: bool,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (answer, unread) = match reserved {
        // Boxed: the future is large, and a task that only drains a refused body does not need it.
        Ok((_headers, request)) => Box::pin(handler.handle(request, peer)).await,
        Err((answer, unread)) => (*answer, Some(unread)),
    };
    let mut response = handler.respond(answer, unread, Version::HTTP_2).await?;
    if head_only {
        without_body(&mut response);
    }
    Ok(response)
}

/// Keeps the length of a response to HEAD and removes its body, which must not be sent (RFC 9110
/// §9.3.2). Over HTTP/1 hyper does so itself.
fn without_body(response: &mut Response<Full<Bytes>>) {
    let length = response.body().size_hint().exact().unwrap_or_default();
    response
        .headers_mut()
        .insert(header::CONTENT_LENGTH, length.into());
    *response.body_mut() = Full::default();
}

/// Returns when no request was in progress for `limit`.
async fn idle(in_progress_count: &mut watch::Receiver<usize>, limit: Duration) {
    loop {
        let is_idle = *in_progress_count.borrow_and_update() == 0;
        let changed = in_progress_count.changed();
        let elapsed = if is_idle {
            timeout(limit, changed).await.is_err()
        } else {
            changed.await.is_err()
        };
        if elapsed {
            return;
        }
    }
}

/// Counts a request while it is in progress.
struct InProgressGuard(watch::Sender<usize>);

impl InProgressGuard {
    fn new(in_progress: watch::Sender<usize>) -> Self {
        in_progress.send_modify(|count| *count += 1);
        Self(in_progress)
    }
}

impl Drop for InProgressGuard {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    #[tokio::test]
    async fn a_connection_is_idle_after_the_limit_without_requests() {
        let (in_progress, mut in_progress_count) = watch::channel(0);
        let limit = Duration::from_millis(200);
        let started_at = tokio::time::Instant::now();
        let requests = async {
            sleep(limit / 2).await;
            let guard = InProgressGuard::new(in_progress.clone());
            sleep(3 * limit).await;
            drop(guard);
            // Between two checks.
            drop(InProgressGuard::new(in_progress.clone()));
        };
        tokio::join!(idle(&mut in_progress_count, limit), requests);
        assert!(started_at.elapsed() >= limit / 2 + 3 * limit + limit);
    }
}
