//! The HTTP clients: one for each way to reach a target, with its connections kept.

use std::collections::VecDeque;
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use std::{fmt, io};

use bytes::Bytes;
use http::header::PROXY_AUTHORIZATION;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::GaiResolver;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::client::WantsClientCert;
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier};

use crate::client::connector::{Connector, Resolver};
use crate::client::proxy::Proxy;
use crate::client::route::Route;
use crate::client::ssrf::NotPublic;
use crate::client::tls::TlsSettings;

/// How long a connection may take to come about.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// How long an idle connection is kept.
const IDLE_LIMIT: Duration = Duration::from_mins(1);
/// How many idle connections to one host are kept.
const IDLE_PER_HOST: usize = 16;
/// How many clients are kept: those of routes that were used last.
const MAX_CLIENTS: usize = 32;

/// Makes requests by one route.
#[derive(Clone, Debug)]
pub struct Client {
    inner: hyper_util::client::legacy::Client<HttpsConnector<Connector>, Full<Bytes>>,
    proxy: Proxy,
    /// Why no certificate can be trusted, if none can.
    no_roots: Option<Arc<str>>,
}

/// Why there is no answer.
#[derive(Debug)]
pub enum ClientError {
    /// It did not come about, which may pass.
    Failed(String),
    /// It would have gone where it must not go.
    Refused(String),
}

/// The clients of all routes.
#[derive(Debug)]
pub struct ClientPool {
    system: SystemRoots,
    /// Those made, by what tells their routes apart; the one used last stands last.
    made: Mutex<VecDeque<([u8; 32], Client)>>,
}

/// What the machine brings along.
struct SystemRoots {
    builder: ConfigBuilder<ClientConfig, WantsVerifier>,
    /// With the system's certificates trusted.
    trusting: ConfigBuilder<ClientConfig, WantsClientCert>,
    no_roots: Option<Arc<str>>,
}

impl fmt::Debug for SystemRoots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("System")
            .field("no_roots", &self.no_roots)
            .finish_non_exhaustive()
    }
}

impl SystemRoots {
    /// Reads the system's root certificates.
    fn new() -> io::Result<Self> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?;
        let (trusting, no_roots) = match builder.clone().with_native_roots() {
            Ok(trusting) => (trusting, None),
            // A machine without certificates can still forward over plain HTTP.
            Err(error) => (
                builder.clone().with_root_certificates(RootCertStore::empty()),
                Some(error.to_string().into()),
            ),
        };
        Ok(Self {
            builder,
            trusting,
            no_roots,
        })
    }

    /// A client for a route.
    fn client(&self, route: &Route) -> Client {
        let roots = route.tls.as_ref().and_then(|tls| tls.roots.as_ref());
        let trusting = match roots {
            Some(roots) => self.builder.clone().with_root_certificates(Arc::clone(roots)),
            None => self.trusting.clone(),
        };
        let identity = route.tls.as_ref().and_then(|tls| tls.identity.as_ref());
        let config = match identity {
            Some(identity) => trusting.with_client_cert_resolver(Arc::clone(identity) as _),
            None => trusting.with_no_client_auth(),
        };
        let guarded = route.guarded;
        let mut http = HttpConnector::new_with_resolver(Resolver {
            system: GaiResolver::new(),
            guarded,
        });
        http.enforce_http(false);
        http.set_nodelay(true);
        http.set_connect_timeout(Some(CONNECT_LIMIT));
        let proxy = route.proxy.clone();
        let dial = Connector { http, proxy, guarded };
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(config)
            .https_or_http()
            .enable_http1()
            .wrap_connector(dial);
        let inner = hyper_util::client::legacy::Client::builder(TokioExecutor::new())
            // Without a timer idle connections are never closed.
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_LIMIT)
            .pool_max_idle_per_host(IDLE_PER_HOST)
            .build(connector);
        Client {
            inner,
            proxy: route.proxy.clone(),
            no_roots: self.no_roots.clone().filter(|_| roots.is_none()),
        }
    }
}

impl ClientPool {
    /// Reads the system's root certificates. That there are none is told by the first request that needs them.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            system: SystemRoots::new()?,
            made: Mutex::default(),
        })
    }

    /// The client of a route; one that was used lately still has its connections.
    pub fn by(&self, route: &Route) -> Client {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let digest = route.digest();
        let known = made.iter().position(|(known, _)| *known == digest);
        let entry = known
            .and_then(|at| made.remove(at))
            .unwrap_or_else(|| (digest, self.system.client(route)));
        let client = entry.1.clone();
        made.push_back(entry);
        if made.len() > MAX_CLIENTS {
            made.pop_front();
        }
        client
    }
}

impl Client {
    /// A client that goes straight to its target and trusts what the system trusts.
    pub fn new() -> io::Result<Self> {
        Ok(SystemRoots::new()?.client(&Route::default()))
    }

    /// A client that goes straight to its target and trusts these roots alone; or as [`Self::new`], if there are none.
    pub fn trusting(roots: Option<Arc<RootCertStore>>) -> io::Result<Self> {
        let route = Route {
            tls: roots.map(TlsSettings::trusting),
            ..Route::default()
        };
        Ok(SystemRoots::new()?.client(&route))
    }

    /// Makes one request.
    pub async fn request(
        &self,
        mut request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, ClientError> {
        let is_https = request.uri().scheme_str() == Some("https");
        // Of a tunnel the proxy is told it when the tunnel is made; the target never.
        if !is_https
            && let Some(proxy) = self.proxy.to(request.uri())
            && let Some(authorization) = proxy.basic_auth()
        {
            let headers = request.headers_mut();
            headers.insert(PROXY_AUTHORIZATION, authorization.clone());
        }
        let error = match self.inner.request(request).await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        if let Some(refused) = causes(&error).find_map(|cause| cause.downcast_ref::<NotPublic>()) {
            return Err(ClientError::Refused(refused.to_string()));
        }
        let words = chain(&error);
        Err(ClientError::Failed(match &self.no_roots {
            Some(why) if is_https => {
                format!("{words}: no certificate can be trusted on this machine ({why})")
            }
            _ => words,
        }))
    }
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Failed(words) | Self::Refused(words)) = self;
        f.write_str(words)
    }
}

/// What an error comes from, itself first.
fn causes<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// An error with its causes, for the innermost says what happened.
fn chain(error: &(dyn Error + 'static)) -> String {
    causes(error).fold(String::new(), |words, cause| {
        let next = cause.to_string();
        match words.as_str() {
            "" => next,
            _ if words.contains(&next) => words,
            _ => format!("{words}: {next}"),
        }
    })
}
