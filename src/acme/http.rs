//! HTTPS client for the authority, with limits on the time and size of responses.
//!
//! Only `https` URLs are requested. The delay that the authority asks for is recorded, up to a
//! bound.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Method, Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient, Problem};
use parking_lot::Mutex;
use tokio::time::timeout;

use crate::acme::settings::Settings;
use crate::base::clock::{Clock, Timestamp};
use crate::client::Client;
use crate::client::retry_after;

/// Maximum time for one request, its response included.
const REQUEST_LIMIT: Duration = Duration::from_secs(30);
/// Maximum size of a response, in bytes.
const MAX_RESPONSE: usize = 1 << 20;

/// Maximum `Retry-After` that is respected. Longer ones are cut.
const MAX_RETRY_AFTER: Duration = Duration::from_hours(24);

/// Latest `Retry-After` of the authority.
pub(super) type LatestRetryAfter = Arc<Mutex<Option<Duration>>>;

pub(super) struct AcmeHttp {
    client: Client,
    clock: Clock,
    latest: LatestRetryAfter,
}

impl AcmeHttp {
    /// Creates a client for the authority of these settings.
    pub(super) fn new(settings: &Settings, clock: Clock, latest: LatestRetryAfter) -> Result<Self, String> {
        let client = Client::trusting(settings.roots.clone()).map_err(|error| error.to_string())?;
        Ok(Self {
            client,
            clock,
            latest,
        })
    }
}

impl HttpClient for AcmeHttp {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let (client, now, latest) = (self.client.clone(), self.clock.now(), Arc::clone(&self.latest));
        Box::pin(async move {
            let url = request.uri().clone();
            // Checked here, because the directory may name other schemes (RFC 8555 §6.1).
            if url.scheme_str() != Some("https") {
                return Err(other(format!("`{url}` is no `https` URL")));
            }
            match timeout(REQUEST_LIMIT, exchange(&client, request, now, &latest)).await {
                Ok(response) => response.map_err(|error| other(format!("{url}: {error}"))),
                Err(_) => Err(other(format!(
                    "{url}: no answer within {} s",
                    REQUEST_LIMIT.as_secs()
                ))),
            }
        })
    }
}

/// Sends a request and reads its response. A response that is not of an authority is an error.
async fn exchange(
    client: &Client,
    request: Request<BodyWrapper<Bytes>>,
    now: Timestamp,
    latest: &LatestRetryAfter,
) -> Result<BytesResponse, String> {
    let (head, body) = request.into_parts();
    let is_signed = head.method == Method::POST;
    let body = match body.collect().await {
        Ok(body) => body.to_bytes(),
        Err(never) => match never {},
    };
    let response = client.request(Request::from_parts(head, Full::new(body))).await;
    let (mut head, body) = response.map_err(|error| error.to_string())?.into_parts();
    let body = Limited::new(body, MAX_RESPONSE).collect().await;
    let body = body.map_err(|error| error.to_string())?.to_bytes();
    if let Some(delay) = retry_after(&head.headers, now) {
        let delay = delay.min(MAX_RETRY_AFTER);
        // The library adds the value to the current time.
        head.headers.insert(RETRY_AFTER, delay.as_secs().into());
        if !head.status.is_success() {
            *latest.lock() = Some(delay);
        }
    }
    if !head.status.is_success() {
        let kind = head
            .headers
            .get(CONTENT_TYPE)
            .map_or(&b""[..], HeaderValue::as_bytes);
        let is_problem =
            kind.starts_with(b"application/problem+json") || kind.starts_with(b"application/json");
        let detail = serde_json::from_slice::<Problem>(&body)
            .ok()
            .filter(|_| is_problem);
        // The library handles problem documents about signed requests. Any other text may come from
        // any server.
        if !is_signed || detail.is_none() {
            let detail = detail.map_or_else(String::new, |detail| format!(": {detail}"));
            return Err(format!("HTTP {}{detail}", head.status.as_u16()));
        }
    }
    Ok(BytesResponse::from(Response::from_parts(head, Full::new(body))))
}

fn other(message: String) -> Error {
    Error::Other(message.into())
}
