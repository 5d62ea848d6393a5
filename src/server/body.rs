//! Bodies of requests, read within the limits of the endpoint and of the memory for all bodies.
//!
//! `body_budget.rs` decides which body is evicted if the memory is used up.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body, Frame, Incoming};
use tokio::time::{Instant, timeout};
use tokio_util::sync::WaitForCancellationFutureOwned;

use crate::pipeline::Answer;
use crate::server::body_budget::{BodyBudget, Bounds, Denied, Reservation};
use crate::server::client_key::ClientKey;
use crate::server::request_head::has_padded_value;

/// Maximum part of a refused body that is read before the answer, in bytes.
const MAX_DRAINED: usize = 4 << 20;
/// Maximum time for reading that part.
const DRAIN_LIMIT: Duration = Duration::from_secs(1);

/// Reason why a body was not read.
#[derive(Debug)]
enum BodyError {
    /// The body exceeds the endpoint's `max_body`.
    TooLarge,
    /// The body ended early or is malformed.
    Broken(String),
    /// There is no memory for the body.
    Denied(Denied),
}

/// Memory for the bodies of one connection's requests.
#[derive(Debug)]
pub struct BodyMemory<'m> {
    /// Budget of all bodies.
    pub budget: &'m Arc<BodyBudget>,
    pub bounds: Bounds,
    /// Client that sends the body.
    pub client: ClientKey,
}

/// Answer for a body that was not read, and the reason.
pub type BodyRejection = (Answer, String);

/// Reads a body of at most `limit` bytes `within` a time. The error is the answer and the reason.
pub async fn read(
    body: &mut Incoming,
    limit: u64,
    within: Duration,
    memory: BodyMemory<'_>,
) -> Result<(Bytes, Reservation), BodyRejection> {
    let refused = |status, word| Answer::new(status, word, None);
    let announced = body.size_hint().lower();
    let too_large = || {
        // A body of unannounced size is not read to its end only to report it.
        let size = match announced {
            size if size > limit => format!("{size} bytes"),
            _ => format!("more than {limit} bytes"),
        };
        let why = format!("too large: a body of {size}, and `max_body` of the endpoint is {limit}");
        (refused(StatusCode::PAYLOAD_TOO_LARGE, "too large"), why)
    };
    if announced > limit {
        return Err(too_large());
    }
    let reading = gather(body, limit, memory);
    match timeout(within, reading).await {
        Ok(Ok(read)) => Ok(read),
        Ok(Err(BodyError::TooLarge)) => Err(too_large()),
        Ok(Err(BodyError::Broken(why))) => Err((refused(StatusCode::BAD_REQUEST, "incomplete"), why)),
        Ok(Err(BodyError::Denied(Denied::Evicted))) => Err((
            Answer::unavailable(),
            "`max_inflight` reached: its partial body was evicted".to_owned(),
        )),
        Ok(Err(BodyError::Denied(Denied::Full))) => Err((
            Answer::unavailable(),
            "`max_inflight` reached: no memory for its body".to_owned(),
        )),
        Err(_) => {
            let answer = refused(StatusCode::REQUEST_TIMEOUT, "too slow");
            Err((answer, "too slow".to_owned()))
        }
    }
}

/// Collects a body into one piece. Keeping the pieces as they came could take forty bytes for each
/// byte. Trailers are dropped for the same reason.
async fn gather(
    body: &mut Incoming,
    limit: u64,
    memory: BodyMemory<'_>,
) -> Result<(Bytes, Reservation), BodyError> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut body = pin!(Limited::new(body, limit));
    let mut reserved = memory.budget.reservation(memory.client, memory.bounds);
    let (mut first, mut all) = (Bytes::new(), BytesMut::new());
    // Kept across pieces, since there may be a million of them.
    let mut evicted = None;
    loop {
        evicted = evicted.or_else(|| reserved.evicted().map(Box::pin));
        let Some(frame) = next_frame(body.as_mut(), evicted.as_mut()).await? else {
            break;
        };
        let Some(piece) = data(frame)? else { continue };
        let is_first = first.is_empty() && all.is_empty();
        // Most bodies come in one piece, which is not copied.
        if is_first && body.is_end_stream() {
            reserved.whole(piece.len(), Instant::now())
        } else {
            reserved.grow(piece.len(), Instant::now)
        }
        .map_err(BodyError::Denied)?;
        if is_first {
            first = piece;
            continue;
        }
        if all.is_empty() {
            let rest = usize::try_from(body.size_hint().lower()).unwrap_or_default();
            // The pages are untouched until bytes arrive, so only those take memory.
            all.reserve(first.len() + piece.len() + rest);
            all.extend_from_slice(&std::mem::take(&mut first));
        }
        all.extend_from_slice(&piece);
    }
    reserved.complete().map_err(BodyError::Denied)?;
    let body = if all.is_empty() { first } else { all.freeze() };
    Ok((body, reserved))
}

/// Waits for the next frame of a body, or for its eviction.
async fn next_frame(
    mut body: Pin<&mut Limited<&mut Incoming>>,
    mut evicted: Option<&mut Pin<Box<WaitForCancellationFutureOwned>>>,
) -> Result<Option<Frame<Bytes>>, BodyError> {
    let next = poll_fn(|context| match body.as_mut().poll_frame(context) {
        Poll::Pending => match evicted.as_mut().map(|evicted| evicted.as_mut().poll(context)) {
            Some(Poll::Ready(())) => Poll::Ready(Err(BodyError::Denied(Denied::Evicted))),
            _ => Poll::Pending,
        },
        Poll::Ready(frame) => Poll::Ready(Ok(frame)),
    });
    next.await?.transpose().map_err(|error| broken(&*error))
}

/// Returns the bytes of a frame. `None` if it has none.
fn data(frame: Frame<Bytes>) -> Result<Option<Bytes>, BodyError> {
    let frame = match frame.into_data() {
        Ok(piece) => return Ok(Some(piece).filter(|piece| !piece.is_empty())),
        Err(frame) => frame,
    };
    if frame
        .into_trailers()
        .is_ok_and(|fields| has_padded_value(&fields))
    {
        let message = "a trailer's value begins or ends with a blank";
        return Err(BodyError::Broken(message.to_owned()));
    }
    Ok(None)
}

fn broken(error: &(dyn std::error::Error + Send + Sync + 'static)) -> BodyError {
    if error.is::<LengthLimitError>() {
        BodyError::TooLarge
    } else {
        BodyError::Broken(format!("the body could not be read: {error}"))
    }
}

/// Reads the rest of a body within limits. True if that was all of it. Closing a connection, or
/// resetting an HTTP/2 stream, with unread bytes could discard the answer (RFC 9112 §9.6, RFC 9113
/// §8.1).
pub async fn drain(body: &mut Incoming) -> bool {
    let mut rest = pin!(Limited::new(body, MAX_DRAINED));
    let drained = async {
        while let Some(frame) = rest.frame().await {
            if frame.is_err() {
                return false;
            }
        }
        true
    };
    timeout(DRAIN_LIMIT, drained).await.unwrap_or(false)
}
