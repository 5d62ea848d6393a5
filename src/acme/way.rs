//! The way to the authority: HTTPS, with a bound on how long it takes and on how much is answered.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Method, Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient, Problem};
use tokio::time::timeout;

use crate::acme::settings::Settings;
use crate::base::clock::{Clock, Timestamp};
use crate::client::Client;
use crate::client::retry_after;

/// How long one request may take, its answer included.
const REQUEST_LIMIT: Duration = Duration::from_secs(30);
/// The largest answer that is read, in bytes.
const MAX_ANSWER: usize = 1 << 20;

/// The longest that an authority may ask to be left alone.
const MAX_RESPITE: Duration = Duration::from_hours(24);

/// How long the authority wants to be left alone, as it said last.
pub(super) type Respite = Arc<Mutex<Option<Duration>>>;

/// Makes requests.
pub(super) struct AcmeHttp {
    client: Client,
    clock: Clock,
    respite: Respite,
}

impl AcmeHttp {
    /// A way to the authority of these settings; the error is why there is none.
    pub(super) fn new(settings: &Settings, clock: Clock, respite: Respite) -> Result<Self, String> {
        let client = Client::trusting(settings.roots.clone()).map_err(|error| error.to_string())?;
        Ok(Self {
            client,
            clock,
            respite,
        })
    }
}

impl HttpClient for AcmeHttp {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let (client, now, respite) = (self.client.clone(), self.clock.now(), Arc::clone(&self.respite));
        Box::pin(async move {
            let url = request.uri().clone();
            // Also where the directory says otherwise (RFC 8555 §6.1).
            if url.scheme_str() != Some("https") {
                return Err(other(format!("`{url}` is no `https` URL")));
            }
            match timeout(REQUEST_LIMIT, exchange(&client, request, now, &respite)).await {
                Ok(answer) => answer.map_err(|error| other(format!("{url}: {error}"))),
                Err(_) => Err(other(format!(
                    "{url}: no answer within {} s",
                    REQUEST_LIMIT.as_secs()
                ))),
            }
        })
    }
}

/// Asks, and is answered. What is no answer of an authority is an error.
async fn exchange(
    client: &Client,
    request: Request<BodyWrapper<Bytes>>,
    now: Timestamp,
    respite: &Respite,
) -> Result<BytesResponse, String> {
    let (head, body) = request.into_parts();
    let is_signed = head.method == Method::POST;
    let body = match body.collect().await {
        Ok(body) => body.to_bytes(),
        Err(never) => match never {},
    };
    let answer = client.request(Request::from_parts(head, Full::new(body))).await;
    let (mut head, body) = answer.map_err(|error| error.to_string())?.into_parts();
    let body = Limited::new(body, MAX_ANSWER).collect().await;
    let body = body.map_err(|error| error.to_string())?.to_bytes();
    if let Some(asked) = retry_after(&head.headers, now) {
        let asked = asked.min(MAX_RESPITE);
        // Whoever reads it next adds it to the time of day.
        head.headers.insert(RETRY_AFTER, asked.as_secs().into());
        if !head.status.is_success() {
            *respite.lock().unwrap_or_else(PoisonError::into_inner) = Some(asked);
        }
    }
    if !head.status.is_success() {
        let kind = head
            .headers
            .get(CONTENT_TYPE)
            .map_or(&b""[..], HeaderValue::as_bytes);
        let told = kind.starts_with(b"application/problem+json") || kind.starts_with(b"application/json");
        let detail = serde_json::from_slice::<Problem>(&body).ok().filter(|_| told);
        // What is told of a signed request is for who has signed it; else it may be a page of anybody's.
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
