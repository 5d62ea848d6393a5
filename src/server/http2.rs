//! HTTP/2 connections, chosen by ALPN, within the same limits as HTTP/1.
//!
//! hyper and h2 limit resets, frames and header lists themselves. Where their limits are generous,
//! this file sets lower ones. It adds what they do not limit: a connection without requests for
//! longer than the request timeout ends, however often its peer pings. So does a connection whose
//! peer reads no answers. All connections together never have more requests in progress than HTTP/1
//! could have.

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

use crate::report;
use crate::server::body_budget::Bounds;
use crate::server::header_budget::{HeaderBudget, HeaderReservation};
use crate::server::http1::MAX_HEAD;
use crate::server::request::{Peer, RequestHandler, Rest};

/// Maximum requests in progress on a connection. RFC 9113 §6.5.2 recommends at least 100.
const MAX_STREAMS: u32 = 100;
/// Maximum memory of a connection's requests besides their bodies, in bytes: 100 with heads of 6
/// KiB, or a dozen with the largest. Further requests are answered with 503.
const MAX_HEADS: usize = 1 << 20;
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
    over: CancellationToken,
}

impl<F: Future<Output: Send> + Send + 'static> Executor<F> for Streams {
    fn execute(&self, stream: F) {
        let over = self.over.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                _ = stream => {}
                () = over.cancelled() => {}
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
        over: CancellationToken::new(),
    };
    // Ends the streams also if this future is dropped.
    let _ends = streams.over.clone().drop_guard();
    let (under_way, mut busy) = watch::channel(0_usize);
    let heads = Arc::new(HeaderBudget::of_one(MAX_HEADS));
    let server = &handler.live.current().server;
    let bounds = Bounds::new(server.max_inflight, server.largest_body);
    let window = handler.bodies.window(CONNECTION_WINDOW.into(), bounds);
    let (of_stream, of_connection) = match window {
        Some(_) => (STREAM_WINDOW, CONNECTION_WINDOW),
        None => (SMALLEST_WINDOW, SMALLEST_WINDOW),
    };
    let service = service_fn(move |request: Request<Incoming>| {
        let (handler, peer) = (Arc::clone(&handler), peer.clone());
        let counted = Counted::new(under_way.clone());
        let head_only = request.method() == Method::HEAD;
        // Reserved here and not in the request's task: thousands of tasks may wait for their first
        // turn.
        let request = match HeaderReservation::new(&request, &heads, &handler.heads) {
            Ok(head) => Ok((head, request)),
            Err((answer, why)) => {
                report::turned_away(request.uri().path(), client, answer.status.as_u16(), why);
                let waits = request.headers().contains_key(header::EXPECT);
                let body = request.into_body();
                Err((*answer, Some(Rest { body, waits })))
            }
        };
        async move {
            let (answer, rest) = match request {
                Ok((_head, request)) => {
                    // Boxed: the future is large, and a task that only drains a refused body does
                    // not need it.
                    let attending = Box::pin(handler.attend(request, peer));
                    attending.await
                }
                Err(refused) => refused,
            };
            let mut response = handler.respond(answer, rest, Version::HTTP_2).await;
            if head_only && let Ok(response) = &mut response {
                without_body(response);
            }
            drop(counted);
            response
        }
    });
    let mut connection = std::pin::pin!(
        http2::Builder::new(streams.clone())
            .timer(TokioTimer::new())
            .max_concurrent_streams(MAX_STREAMS)
            .initial_stream_window_size(of_stream)
            .initial_connection_window_size(of_connection)
            .max_header_list_size(u32::try_from(MAX_HEAD).unwrap_or(u32::MAX))
            .serve_connection(TokioIo::new(stream), service)
    );
    let ended = tokio::select! {
        biased;
        ended = &mut connection => Some(ended),
        () = closing.cancelled() => None,
        () = idle(&mut busy, limit) => None,
    };
    let ended = if let Some(ended) = ended {
        ended
    } else {
        connection.as_mut().graceful_shutdown();
        tokio::select! {
            ended = &mut connection => ended,
            // The peer may keep the connection open and leave answers unread.
            () = idle(&mut busy, LINGER) => Ok(()),
        }
    };
    if let Err(error) = ended {
        report::connection_ended("connection", &error, client);
    }
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
async fn idle(busy: &mut watch::Receiver<usize>, limit: Duration) {
    loop {
        let quiet = *busy.borrow_and_update() == 0;
        let changed = busy.changed();
        let over = if quiet {
            timeout(limit, changed).await.is_err()
        } else {
            changed.await.is_err()
        };
        if over {
            return;
        }
    }
}

/// Counts a request while it is in progress.
struct Counted(watch::Sender<usize>);

impl Counted {
    fn new(under_way: watch::Sender<usize>) -> Self {
        under_way.send_modify(|count| *count += 1);
        Self(under_way)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    #[tokio::test]
    async fn a_connection_is_idle_when_nothing_was_under_way_for_the_limit() {
        let (under_way, mut busy) = watch::channel(0);
        let limit = Duration::from_millis(200);
        let begun = tokio::time::Instant::now();
        let asking = async {
            sleep(limit / 2).await;
            let counted = Counted::new(under_way.clone());
            sleep(3 * limit).await;
            drop(counted);
            // Between two checks.
            drop(Counted::new(under_way.clone()));
        };
        tokio::join!(idle(&mut busy, limit), asking);
        assert!(begun.elapsed() >= limit / 2 + 3 * limit + limit);
    }
}
