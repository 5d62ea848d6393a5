//! Signs a stated request as its sender would, at the time of the test.

use bytes::Bytes;
use data_encoding::HEXLOWER;
use http::{HeaderMap, HeaderValue, Method, header};
use sha2::{Digest, Sha256};

use super::request::StatedRequest;
use super::signer::Signer;
use crate::base::clock::Timestamp;
use crate::rules::{Endpoint, RuleSet};
use crate::verify::{EventName, OutgoingRequest, Verification};

/// Origin of the URL if the rules file has no `public_url`.
const ORIGIN: &str = "http://localhost";

/// A request that is ready to be received.
#[derive(Clone, Debug)]
pub(super) struct SignedRequest {
    pub method: Method,
    /// Path and query.
    pub target: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// Signs the request at `now`. The error is the reason why there is no request.
pub(super) fn sign(
    request: &StatedRequest,
    rules: &RuleSet,
    endpoint: Option<&Endpoint>,
    now: Timestamp,
) -> Result<SignedRequest, String> {
    let verification = match &request.signer {
        Signer::None => None,
        Signer::OfEndpoint(index) => endpoint.and_then(|endpoint| endpoint.verifications.get(*index)),
        Signer::Own(own) => Some(&**own),
    };
    let signs_url = verification.and_then(Verification::signed_origin);
    let origin = signs_url.filter(|origin| !origin.is_empty());
    let origin = origin.or(rules.server.public_url.as_deref()).unwrap_or(ORIGIN);
    let url = format!("{}{}", origin.trim_end_matches('/'), request.target);
    let mut headers = request.headers.clone();
    if let Some(host) = url.parse().ok().and_then(|uri: http::Uri| host(&uri)) {
        headers.insert(header::HOST, host);
    }
    // A captured request is signed again.
    for name in verification.map(Verification::own_headers).unwrap_or_default() {
        headers.remove(&name);
    }
    if let Some(event) = &request.event {
        let (location, scheme) = event_place(verification, endpoint);
        let (name, value) = EventName::header(location, event, &scheme)?;
        headers.insert(name, value);
    }
    let Some(verification) = verification else {
        return Ok(SignedRequest {
            method: request.method.clone(),
            target: request.target.clone(),
            headers,
            body: request.body.clone().into(),
        });
    };
    let at = now.as_millis() - millis(request.age) + millis(request.ahead);
    let id = request.id.clone().unwrap_or_else(|| id_of(request));
    let signed = verification.sign(&OutgoingRequest {
        method: &request.method,
        url: &url,
        headers: &headers,
        body: &request.body,
        at: Timestamp::from_millis(at),
        id: &id,
        restamp: true,
    })?;
    let target = signed.url(&request.target);
    for (name, value) in signed.headers {
        headers.insert(name, value);
    }
    Ok(SignedRequest {
        method: request.method.clone(),
        target,
        headers,
        body: signed.body.unwrap_or_else(|| request.body.clone()).into(),
    })
}

fn host(uri: &http::Uri) -> Option<HeaderValue> {
    HeaderValue::from_str(uri.authority()?.as_str()).ok()
}

/// The place of the event's name, and the scheme that says so.
fn event_place<'v>(
    verification: Option<&'v Verification>,
    endpoint: Option<&'v Endpoint>,
) -> (Option<&'v EventName>, String) {
    let of_endpoint = endpoint.into_iter().flat_map(|endpoint| &endpoint.verifications);
    let mut all = verification.into_iter().chain(of_endpoint);
    let named = all.find_map(|known| Some((known.event_name()?, known.scheme())));
    match named {
        Some((place, scheme)) => (Some(place), scheme.to_string()),
        None => (
            None,
            verification.map_or("none", |known| known.scheme()).to_owned(),
        ),
    }
}

/// The id of a message: the same for the same request.
fn id_of(request: &StatedRequest) -> String {
    let digest = Sha256::new()
        .chain_update(request.method.as_str())
        .chain_update(&request.target)
        .chain_update(&request.body)
        .finalize();
    let digest = HEXLOWER.encode(&digest);
    format!("msg_{}", digest.get(..24).unwrap_or_default())
}

fn millis(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
