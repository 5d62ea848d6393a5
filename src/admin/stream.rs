//! Server-sent events: responses that go on, such as the output of a command while it runs.
//!
//! A stream is produced by a future that the connection polls, so it needs no task of its own. The
//! future waits while the peer does not read, and holds one event at most. Streams are counted
//! apart from the connections of requests. Each ends after [`STREAM_LIFE`]; a browser then connects
//! again and sends the `id` of the last event that it has seen.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::{Body, Frame, SizeHint};
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, Sleep, sleep};

use crate::admin::answer::text;

/// Maximum streams at once, of all listeners.
const MAX_EVENT_STREAMS: usize = 64;
/// Maximum life of a stream.
pub(super) const STREAM_LIFE: Duration = Duration::from_mins(15);
/// Interval between comments on a stream without events, which show that the connection works.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Time after which a browser connects again, sent at the begin of a stream.
const RETRY: &[u8] = b"retry: 1000\n\n";

/// Body of an admin response.
pub enum AdminBody {
    Whole(Full<Bytes>),
    Events(EventStream),
}

/// An event as it is sent.
#[derive(Debug)]
pub struct ServerEvent(Bytes);

/// The sending end of a stream. Sends wait until the peer has taken the event before.
pub type EventSender = mpsc::Sender<ServerEvent>;

/// A stream of events.
pub struct EventStream {
    /// Produces the events. `None` when it has ended.
    source: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    events: mpsc::Receiver<ServerEvent>,
    has_begun: bool,
    interval: Duration,
    heartbeat: Pin<Box<Sleep>>,
    life: Pin<Box<Sleep>>,
    _permit: OwnedSemaphorePermit,
}

/// The permits of all streams, and their times.
#[derive(Clone, Debug)]
pub struct Streams {
    permits: Arc<Semaphore>,
    heartbeat: Duration,
    life: Duration,
}

impl ServerEvent {
    /// An event with JSON data. `id` is what the peer sends when it connects again.
    pub fn json(event: &str, id: Option<&str>, data: &impl Serialize) -> Self {
        // JSON has no line breaks of its own, so one `data` line holds it.
        let data = serde_json::to_string(data).unwrap_or_default();
        let id = id.map(|id| format!("id: {id}\n")).unwrap_or_default();
        Self(format!("{id}event: {event}\ndata: {data}\n\n").into())
    }
}

impl Default for Streams {
    fn default() -> Self {
        Self {
            permits: Arc::new(Semaphore::new(MAX_EVENT_STREAMS)),
            heartbeat: HEARTBEAT,
            life: STREAM_LIFE,
        }
    }
}

impl Streams {
    /// Responds with the events that `source` sends, until its future ends. If there are too many
    /// streams, responds 503.
    pub fn respond<F>(&self, source: impl FnOnce(EventSender) -> F) -> Response<AdminBody>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() else {
            return text(StatusCode::SERVICE_UNAVAILABLE, "too many streams").map(AdminBody::from);
        };
        let (sender, events) = mpsc::channel(1);
        let mut response = Response::new(AdminBody::Events(EventStream {
            source: Some(Box::pin(source(sender))),
            events,
            has_begun: false,
            interval: self.heartbeat,
            heartbeat: Box::pin(sleep(self.heartbeat)),
            life: Box::pin(sleep(self.life)),
            _permit: permit,
        }));
        let headers = response.headers_mut();
        for (name, value) in [
            (header::CONTENT_TYPE, "text/event-stream"),
            (header::CACHE_CONTROL, "no-store"),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        // nginx would collect the events of a response that it buffers.
        headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
        response
    }
}

impl EventStream {
    /// Polls for the next bytes. `None`: the stream has ended.
    fn poll_bytes(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if !self.has_begun {
            self.has_begun = true;
            return Poll::Ready(Some(Bytes::from_static(RETRY)));
        }
        if self.life.as_mut().poll(context).is_ready() {
            return Poll::Ready(None);
        }
        if let Poll::Ready(event) = self.events.poll_recv(context) {
            return Poll::Ready(event.map(|ServerEvent(bytes)| bytes));
        }
        if let Some(source) = &mut self.source
            && source.as_mut().poll(context).is_ready()
        {
            // Its last event may still be in the channel.
            self.source = None;
        }
        if let Poll::Ready(event) = self.events.poll_recv(context) {
            return Poll::Ready(event.map(|ServerEvent(bytes)| bytes));
        }
        ready!(self.heartbeat.as_mut().poll(context));
        Poll::Ready(Some(Bytes::from_static(b":\n\n")))
    }
}

impl Body for AdminBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Self::Whole(whole) => Pin::new(whole).poll_frame(context),
            Self::Events(stream) => {
                let bytes = ready!(stream.poll_bytes(context));
                let next = Instant::now() + stream.interval;
                stream.heartbeat.as_mut().reset(next);
                Poll::Ready(bytes.map(|bytes| Ok(Frame::data(bytes))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(whole) => whole.is_end_stream(),
            Self::Events(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(whole) => whole.size_hint(),
            Self::Events(_) => SizeHint::default(),
        }
    }
}

impl From<Full<Bytes>> for AdminBody {
    fn from(whole: Full<Bytes>) -> Self {
        Self::Whole(whole)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    async fn read(body: &mut AdminBody) -> Option<String> {
        let frame = body.frame().await?.unwrap();
        let bytes = frame.into_data().unwrap();
        Some(String::from_utf8(bytes.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn events_come_in_order_with_comments_between_them_and_an_end() {
        let streams = Streams {
            heartbeat: Duration::from_millis(1),
            ..Streams::default()
        };
        let response = streams.respond(|sender| async move {
            for at in 0..2 {
                sleep(Duration::from_millis(20)).await;
                let data = serde_json::json!({"at": at, "text": "a\nb"});
                let event = ServerEvent::json("count", Some("7"), &data);
                sender.send(event).await.ok();
            }
        });
        let mut body = response.into_body();
        let mut all = String::new();
        while let Some(bytes) = read(&mut body).await {
            all += &bytes;
        }
        assert!(all.contains("\n\n:\n\n"), "{all}");
        let event = |at| format!("id: 7\nevent: count\ndata: {{\"at\":{at},\"text\":\"a\\nb\"}}\n\n");
        let expected = ["retry: 1000\n\n", &event(0), &event(1)];
        assert_eq!(all.replace(":\n\n", ""), expected.concat());
    }

    #[tokio::test]
    async fn a_stream_ends_after_its_life_and_the_number_of_streams_is_bounded() {
        let streams = Streams {
            life: Duration::from_millis(20),
            ..Streams::default()
        };
        let respond = || streams.respond(|_sender| std::future::pending());
        let mut open: Vec<_> = (0..MAX_EVENT_STREAMS).map(|_| respond()).collect();
        assert_eq!(respond().status(), StatusCode::SERVICE_UNAVAILABLE);
        let mut body = open.pop().unwrap().into_body();
        assert_eq!(read(&mut body).await.unwrap(), "retry: 1000\n\n");
        assert_eq!(read(&mut body).await, None);
        drop(body);
        assert_eq!(respond().status(), StatusCode::OK);
    }

    #[tokio::test]
    async fn a_source_waits_for_a_peer_that_does_not_read() {
        let sent = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let counter = Arc::clone(&sent);
        let response = Streams::default().respond(|sender| async move {
            while sender.send(ServerEvent::json("x", None, &0)).await.is_ok() {
                counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            }
        });
        let mut body = response.into_body();
        for _ in 0..3 {
            read(&mut body).await.unwrap();
        }
        assert!(sent.load(std::sync::atomic::Ordering::Relaxed) <= 3);
    }
}
