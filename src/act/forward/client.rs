//! The HTTP client: one for the daemon, with its connections kept.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::{ClientConfig, RootCertStore};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::act::forward::{Forward, judge};
use crate::act::occasion::Occasion;
use crate::act::outcome::{HEAD, Kept, Outcome, Output, TAIL, Verdict};
use crate::clock::Clock;

/// How long a connection may take to come about.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// How long an idle connection is kept.
const IDLE_LIMIT: Duration = Duration::from_mins(1);
/// How many idle connections to one host are kept.
const IDLE_PER_HOST: usize = 16;
/// How much of an answer is read; what is more is left to the target.
const ANSWER: u64 = (HEAD + TAIL) as u64;
/// How long the body of an answer is waited for. The status is known by then: it decides.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);

/// Makes requests.
#[derive(Debug)]
pub struct Client {
    inner: hyper_util::client::legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    /// Why no certificate can be trusted, if none can.
    no_roots: Option<String>,
    clock: Clock,
}

impl Client {
    /// A client that trusts what the system trusts.
    pub fn new() -> io::Result<Self> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?;
        let (builder, no_roots) = match builder.clone().with_native_roots() {
            Ok(builder) => (builder, None),
            // A machine without certificates can still forward over plain HTTP.
            Err(error) => (
                builder.with_root_certificates(RootCertStore::empty()),
                Some(error.to_string()),
            ),
        };
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_nodelay(true);
        http.set_connect_timeout(Some(CONNECT_LIMIT));
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(builder.with_no_client_auth())
            .https_or_http()
            .enable_http1()
            .wrap_connector(http);
        let inner = hyper_util::client::legacy::Client::builder(TokioExecutor::new())
            // Without a timer idle connections are never closed.
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_LIMIT)
            .pool_max_idle_per_host(IDLE_PER_HOST)
            .build(connector);
        Ok(Self {
            inner,
            no_roots,
            clock: Clock::system(),
        })
    }
}

impl Client {
    /// Makes one request that is nobody's action; the error says what went wrong.
    pub async fn request(&self, request: http::Request<Full<Bytes>>) -> Result<Response<Incoming>, String> {
        self.inner.request(request).await.map_err(|error| chain(&error))
    }
}

impl Forward {
    /// Makes the request.
    pub async fn perform(
        &self,
        client: &Client,
        occasion: &Occasion<'_>,
        stop: &CancellationToken,
    ) -> Outcome {
        let started = Instant::now();
        let request = match self.request(occasion, client.clock.now()) {
            Ok(request) => request,
            Err(why) => return Outcome::new(Verdict::Dead, why, started.elapsed()),
        };
        let is_https = request.uri().scheme_str() == Some("https");
        let deadline = started + self.timeout;
        let answered = tokio::select! {
            biased;
            () = stop.cancelled() => {
                return Outcome::new(Verdict::Stopped, "stopped", started.elapsed());
            }
            answered = timeout_at(deadline, client.inner.request(request)) => answered,
        };
        let mut output = Output::default();
        let (verdict, detail) = match answered {
            Err(_) => (
                Verdict::FAILED,
                format!("timed out after {}", humantime::format_duration(self.timeout)),
            ),
            Ok(Err(error)) => {
                let mut detail = chain(&error);
                if let Some(why) = client.no_roots.as_ref().filter(|_| is_https) {
                    detail = format!("{detail}: no certificate can be trusted on this machine ({why})");
                }
                (Verdict::FAILED, detail)
            }
            Ok(Ok(answer)) => {
                let judged = judge::judge(answer.status(), answer.headers(), client.clock.now());
                let patience = deadline
                    .saturating_duration_since(Instant::now())
                    .min(ANSWER_LIMIT);
                // Whether the body comes or not: the status has been given.
                let reading = timeout(patience, read(answer, &mut output.stdout));
                tokio::select! {
                    () = stop.cancelled() => {}
                    _ = reading => {}
                }
                judged
            }
        };
        Outcome {
            verdict,
            detail,
            output,
            duration: started.elapsed(),
        }
    }
}

/// Reads an answer's body up to [`ANSWER`].
async fn read(answer: Response<Incoming>, kept: &mut Kept) {
    let mut body = answer.into_body();
    while let Some(Ok(frame)) = body.frame().await {
        if let Some(data) = frame.data_ref() {
            kept.push(data);
        }
        if kept.total() > ANSWER {
            return;
        }
    }
}

/// An error with its causes, for the innermost says what happened.
fn chain(error: &dyn Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !words.contains(&next) {
            words = format!("{words}: {next}");
        }
        cause = error.source();
    }
    words
}
