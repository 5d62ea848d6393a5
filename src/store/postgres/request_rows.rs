//! Events with their requests, as a lease needs them.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::Method;
use tokio_postgres::Row;
use uuid::Uuid;

use super::failure::Failure;
use super::link::Link;
use super::row;
use crate::event::{EventId, Received};
use crate::store::columns::{Unreadable, headers, parameters, parsed};

/// A stored request, with all that its deliveries need.
#[derive(Clone, Debug)]
pub(super) struct StoredRequest {
    pub received: Arc<Received>,
    /// The decoding of the body.
    pub decode: String,
    /// Name of the operator who made the event. `None` if it arrived, also if it was replayed.
    pub fired_by: Option<Arc<str>>,
}

/// Events that were read, or why they are unreadable.
pub(super) type Requests = HashMap<EventId, Result<StoredRequest, Arc<str>>>;

/// A request is in the table of its day, or with the requests that are kept for longer.
const REQUESTS: &str = "SELECT e.id, e.received_at, e.endpoint, e.method, e.path, e.query, e.parameters, e.client, \
     coalesce(r.headers, k.headers), coalesce(r.body, k.body), e.decode, CASE WHEN NOT e.is_replay THEN e.fired_by END \
     FROM events e LEFT JOIN requests r ON r.event = e.id AND r.day = e.day LEFT JOIN requests_kept k ON k.event = e.id \
     WHERE e.id = ANY ($1)";

/// Reads events with their bodies.
pub(super) async fn read(link: &Link, events: &[EventId]) -> Result<Requests, Failure> {
    if events.is_empty() {
        return Ok(Requests::new());
    }
    let ids: Vec<Uuid> = events.iter().map(|event| Uuid::from(*event)).collect();
    let mut requests: Requests = events
        .iter()
        .map(|event| (*event, Err(Arc::from("it is gone"))))
        .collect();
    for read in link.query(REQUESTS, &[&ids]).await? {
        let request = request(&read)?.map_err(|Unreadable(why)| Arc::from(why));
        requests.insert(row::id(&read, 0)?, request);
    }
    Ok(requests)
}

/// Reads a row of [`REQUESTS`].
fn request(read: &Row) -> Result<Result<StoredRequest, Unreadable>, Failure> {
    let (Some(headers_text), Some(body)): (Option<&str>, Option<&[u8]>) =
        (read.try_get(8)?, read.try_get(9)?)
    else {
        return Ok(Err(Unreadable("its request is gone".to_owned())));
    };
    let received = match received(read, headers_text, body)? {
        Ok(received) => received,
        Err(unreadable) => return Ok(Err(unreadable)),
    };
    Ok(Ok(StoredRequest {
        received: Arc::new(received),
        decode: read.try_get(10)?,
        fired_by: row::optional_text(read, 11)?,
    }))
}

/// Reads a request from a row whose first columns are those of [`REQUESTS`]. The inner error is a text
/// that cannot be parsed.
pub(super) fn received(
    read: &Row,
    headers_text: &str,
    body: &[u8],
) -> Result<Result<Received, Unreadable>, Failure> {
    let (method, parameters_text): (&str, &str) = (read.try_get(3)?, read.try_get(6)?);
    let client: Option<&str> = read.try_get(7)?;
    let columns = || {
        let client = client.map(|client| parsed::<IpAddr>("client", client));
        let method = parsed::<Method>("method", method)?;
        Ok((
            method,
            client.transpose()?,
            parameters(parameters_text)?,
            headers(headers_text)?,
        ))
    };
    let (method, client, parameters, headers) = match columns() {
        Ok(columns) => columns,
        Err(unreadable) => return Ok(Err(unreadable)),
    };
    Ok(Ok(Received {
        id: row::id(read, 0)?,
        at: row::time(read, 1)?,
        endpoint: row::text(read, 2)?,
        method,
        path: read.try_get(4)?,
        query: read.try_get(5)?,
        parameters,
        client,
        certificate: None,
        headers,
        body: Bytes::copy_from_slice(body),
    }))
}
