//! One body off the wire, within the bounds of its endpoint and of the memory for all bodies.

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

/// Why a body was not read.
#[derive(Debug)]
pub enum Fault {
    /// It is larger than its endpoint takes.
    TooLarge,
    /// It ended early, or is malformed.
    Broken(String),
    /// There is no memory for it.
    Denied(Denied),
}

/// Memory for the bodies of one connection's requests.
#[derive(Debug)]
pub struct Memory<'m> {
    /// Of all bodies.
    pub budget: &'m Arc<BodyBudget>,
    /// The bounds in force.
    pub bounds: Bounds,
    /// The client that sends it.
    pub client: ClientKey,
}

/// All of a body in one piece. A piece of one byte would take forty if it were kept as it came; and so would its trailers if
/// they were kept at all.
pub async fn gather(
    body: &mut Incoming,
    limit: u64,
    memory: Memory<'_>,
) -> Result<(Bytes, Reservation), Fault> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut body = std::pin::pin!(Limited::new(body, limit));
    let mut reserved = memory.budget.reservation(memory.client, memory.bounds);
    let (mut first, mut all) = (Bytes::new(), BytesMut::new());
    // Kept from one piece to the next, for there may be a million of them.
    let mut evicted = None;
    loop {
        evicted = evicted.or_else(|| reserved.evicted().map(Box::pin));
        let next = poll_fn(|context| match body.as_mut().poll_frame(context) {
            Poll::Pending => match evicted.as_mut().map(|evicted| evicted.as_mut().poll(context)) {
                Some(Poll::Ready(())) => Poll::Ready(Err(Fault::Denied(Denied::Evicted))),
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
                    return Err(Fault::Broken(
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
            // Most come in one, which is not copied.
            if body.is_end_stream() {
                reserved
                    .whole(piece.len(), Instant::now())
                    .map_err(Fault::Denied)?;
            } else {
                reserved.grow(piece.len(), Instant::now).map_err(Fault::Denied)?;
            }
            first = piece;
            continue;
        }
        reserved.grow(piece.len(), Instant::now).map_err(Fault::Denied)?;
        if all.is_empty() {
            let rest = usize::try_from(body.size_hint().lower()).unwrap_or_default();
            // Never touched before the bytes arrive, so that only what has arrived takes memory.
            all.reserve(first.len() + piece.len() + rest);
            all.extend_from_slice(&std::mem::take(&mut first));
        }
        all.extend_from_slice(&piece);
    }
    reserved.complete().map_err(Fault::Denied)?;
    let body = if all.is_empty() { first } else { all.freeze() };
    Ok((body, reserved))
}

fn broken(error: &(dyn std::error::Error + Send + Sync + 'static)) -> Fault {
    if error.is::<LengthLimitError>() {
        Fault::TooLarge
    } else {
        Fault::Broken(format!("the body could not be read: {error}"))
    }
}

/// Whether a field's value begins or ends with a blank, which makes a message of HTTP/2 malformed (RFC 9113 §8.2.1). A parser
/// of HTTP/1 strips them.
pub fn has_padded_value(fields: &HeaderMap) -> bool {
    let blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    fields.values().any(|value| {
        let value = value.as_bytes();
        blank(value.first()) || blank(value.last())
    })
}
