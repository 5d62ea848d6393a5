//! The way to the authority: HTTPS, with a bound on how long it takes and on how much is answered.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use tokio::time::timeout;

use super::settings::Settings;
use crate::act::Client;

/// How long one request may take, its answer included.
const REQUEST_LIMIT: Duration = Duration::from_secs(30);
/// The largest answer that is read, in bytes.
const MAX_ANSWER: usize = 1 << 20;

/// How long the authority wants to be left alone, as it said last.
pub(super) type Respite = Arc<Mutex<Option<Duration>>>;

/// Makes requests.
pub(super) struct Way {
    client: Client,
    respite: Respite,
}

impl Way {
    /// A way to the authority of these settings; the error is why there is none.
    pub(super) fn new(settings: &Settings, respite: Respite) -> Result<Self, String> {
        let client = Client::trusting(settings.roots.clone()).map_err(|error| error.to_string())?;
        Ok(Self { client, respite })
    }
}

impl HttpClient for Way {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let (client, respite) = (self.client.clone(), Arc::clone(&self.respite));
        Box::pin(async move {
            match timeout(REQUEST_LIMIT, exchange(&client, request, &respite)).await {
                Ok(answer) => answer,
                Err(_) => Err(other(format!(
                    "the authority has not answered within {} s",
                    REQUEST_LIMIT.as_secs()
                ))),
            }
        })
    }
}

async fn exchange(
    client: &Client,
    request: Request<BodyWrapper<Bytes>>,
    respite: &Respite,
) -> Result<BytesResponse, Error> {
    let (head, body) = request.into_parts();
    let url = head.uri.clone();
    let body = match body.collect().await {
        Ok(body) => body.to_bytes(),
        Err(never) => match never {},
    };
    let answer = client.request(Request::from_parts(head, Full::new(body))).await;
    let (head, body) = answer
        .map_err(|error| other(format!("{url}: {error}")))?
        .into_parts();
    let body = Limited::new(body, MAX_ANSWER)
        .collect()
        .await
        .map_err(Error::Other)?;
    if !head.status.is_success() {
        let seconds = head
            .headers
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.parse().ok());
        *respite.lock().unwrap_or_else(PoisonError::into_inner) = seconds.map(Duration::from_secs);
        let kind = head
            .headers
            .get(CONTENT_TYPE)
            .map_or(&b""[..], |kind| kind.as_bytes());
        let told = kind.starts_with(b"application/problem+json") || kind.starts_with(b"application/json");
        if !told {
            // The page of a proxy, or of somebody else altogether.
            return Err(other(format!("{url}: HTTP {}", head.status.as_u16())));
        }
    }
    Ok(BytesResponse::from(Response::from_parts(
        head,
        Full::new(body.to_bytes()),
    )))
}

fn other(message: String) -> Error {
    Error::Other(message.into())
}
