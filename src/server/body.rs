//! Bodies of requests, read within the limits of the endpoint and of the memory for all bodies.
//!
//! `body_budget.rs` decides which body is evicted if the memory is used up.

use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::task::Poll;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body_util::{LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use tokio::time::Instant;

use crate::server::body_budget::{BodyBudget, Bounds, Denied, Reservation};
use crate::server::slots::ClientKey;

/// Reason why a body was not read.
#[derive(Debug)]
pub enum BodyError {
    /// The body exceeds the endpoint's `max_body`.
    TooLarge,
    /// The body ended early or is malformed.
    Broken(String),
    /// There is no memory for the body.
    Denied(Denied),
}

/// Memory for the bodies of one connection's requests.
#[derive(Debug)]
pub struct Memory<'m> {
    /// Budget of all bodies.
    pub budget: &'m Arc<BodyBudget>,
    pub bounds: Bounds,
    /// Client that sends the body.
    pub client: ClientKey,
}

/// Collects a body into one piece. Keeping the pieces as they came could take forty bytes for each
/// byte. Trailers are dropped for the same reason.
pub async fn gather(
    body: &mut Incoming,
    limit: u64,
    memory: Memory<'_>,
) -> Result<(Bytes, Reservation), BodyError> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut body = std::pin::pin!(Limited::new(body, limit));
    let mut reserved = memory.budget.reservation(memory.client, memory.bounds);
    let (mut first, mut all) = (Bytes::new(), BytesMut::new());
    // Kept across pieces, since there may be a million of them.
    let mut evicted = None;
    loop {
        evicted = evicted.or_else(|| reserved.evicted().map(Box::pin));
        let next = poll_fn(|context| match body.as_mut().poll_frame(context) {
            Poll::Pending => match evicted.as_mut().map(|evicted| evicted.as_mut().poll(context)) {
                Some(Poll::Ready(())) => Poll::Ready(Err(BodyError::Denied(Denied::Evicted))),
                _ => Poll::Pending,
            },
            Poll::Ready(frame) => Poll::Ready(Ok(frame)),
        });
        let Some(frame) = next.await? else { break };
        let piece = match frame.map_err(|error| broken(&*error))?.into_data() {
            Ok(piece) => piece,
            Err(frame) => {
                if frame
                    .into_trailers()
                    .is_ok_and(|fields| has_padded_value(&fields))
                {
                    return Err(BodyError::Broken(
                        "a trailer's value begins or ends with a blank".to_owned(),
                    ));
                }
                continue;
            }
        };
        if piece.is_empty() {
            continue;
        }
        if first.is_empty() && all.is_empty() {
            // Most bodies come in one piece, which is not copied.
            if body.is_end_stream() {
                reserved
                    .whole(piece.len(), Instant::now())
                    .map_err(BodyError::Denied)?;
            } else {
                reserved
                    .grow(piece.len(), Instant::now)
                    .map_err(BodyError::Denied)?;
            }
            first = piece;
            continue;
        }
        reserved
            .grow(piece.len(), Instant::now)
            .map_err(BodyError::Denied)?;
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

fn broken(error: &(dyn std::error::Error + Send + Sync + 'static)) -> BodyError {
    if error.is::<LengthLimitError>() {
        BodyError::TooLarge
    } else {
        BodyError::Broken(format!("the body could not be read: {error}"))
    }
}

/// True if a field's value begins or ends with a blank, which makes an HTTP/2 request malformed
/// (RFC 9113 §8.2.1). An HTTP/1 parser strips them.
pub fn has_padded_value(fields: &HeaderMap) -> bool {
    let blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    fields.values().any(|value| {
        let value = value.as_bytes();
        blank(value.first()) || blank(value.last())
    })
}
