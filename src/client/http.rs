//! HTTP clients: one per route, with pooled connections.
//!
//! [`ClientPool`] caches the clients of recent routes, so that their idle connections are reused.
//! Making a connection is left to `connector.rs`.

use std::collections::VecDeque;
use std::error::Error;
use std::sync::Arc;
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
use parking_lot::Mutex;
use rustls::client::WantsClientCert;
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier};

use crate::client::connector::{Connector, Resolver};
use crate::client::proxy::Proxy;
use crate::client::route::Route;
use crate::client::ssrf::NotPublic;
use crate::client::tls::TlsSettings;

/// Maximum time to establish a connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// Maximum time that an idle connection is kept open.
const IDLE_LIMIT: Duration = Duration::from_mins(1);
/// Maximum idle connections per host.
const IDLE_PER_HOST: usize = 16;
/// Maximum cached clients. The least recently used one is evicted.
const MAX_CLIENTS: usize = 32;

/// HTTP client of one route.
#[derive(Clone, Debug)]
pub struct Client {
    inner: hyper_util::client::legacy::Client<HttpsConnector<Connector>, Full<Bytes>>,
    proxy: Proxy,
    /// Error from loading the system's root certificates. Reported if an `https` request fails.
    no_roots: Option<Arc<str>>,
}

/// Reason for a missing response.
#[derive(Debug)]
pub enum ClientError {
    /// The request failed. A retry may succeed.
    Failed(String),
    /// The target's address is not public and must not be reached.
    Refused(String),
}

/// Cache of one client per route.
#[derive(Debug)]
pub struct ClientPool {
    system: SystemRoots,
    /// Clients by route digest, the most recently used last.
    clients: Mutex<VecDeque<([u8; 32], Client)>>,
}

/// TLS defaults of this machine.
struct SystemRoots {
    builder: ConfigBuilder<ClientConfig, WantsVerifier>,
    /// Builder that trusts the system's root certificates.
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

    /// Builds a client for a route.
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
        let public_only = route.public_only;
        let mut http = HttpConnector::new_with_resolver(Resolver {
            system: GaiResolver::new(),
            public_only,
        });
        http.enforce_http(false);
        http.set_nodelay(true);
        http.set_connect_timeout(Some(CONNECT_LIMIT));
        let proxy = route.proxy.clone();
        let tcp_connector = Connector {
            http,
            proxy,
            public_only,
        };
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(config)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp_connector);
        let inner = hyper_util::client::legacy::Client::builder(TokioExecutor::new())
            // Without a timer, idle connections are never closed.
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
    /// Reads the system's root certificates. If there are none, `https` requests report it.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            system: SystemRoots::new()?,
            clients: Mutex::default(),
        })
    }

    /// Returns the client of a route. A cached client still has its connections.
    pub fn by(&self, route: &Route) -> Client {
        let mut clients = self.clients.lock();
        let digest = route.digest();
        let known = clients.iter().position(|(known, _)| *known == digest);
        let entry = known
            .and_then(|at| clients.remove(at))
            .unwrap_or_else(|| (digest, self.system.client(route)));
        let client = entry.1.clone();
        clients.push_back(entry);
        if clients.len() > MAX_CLIENTS {
            clients.pop_front();
        }
        client
    }
}

impl Client {
    /// Creates a client without a proxy that trusts the system's root certificates.
    pub fn new() -> io::Result<Self> {
        Ok(SystemRoots::new()?.client(&Route::default()))
    }

    /// Creates a client without a proxy that trusts only `roots`. Without `roots`, the same as
    /// [`Self::new`].
    pub fn trusting(roots: Option<Arc<RootCertStore>>) -> io::Result<Self> {
        let route = Route {
            tls: roots.map(TlsSettings::trusting),
            ..Route::default()
        };
        Ok(SystemRoots::new()?.client(&route))
    }

    /// Sends one request.
    pub async fn request(
        &self,
        mut request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, ClientError> {
        let is_https = request.uri().scheme_str() == Some("https");
        // In a tunnel, the proxy gets the credentials with CONNECT. The target must never get them.
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
        let message = chain(&error);
        Err(ClientError::Failed(match &self.no_roots {
            Some(why) if is_https => {
                format!("{message}: no certificate can be trusted on this machine ({why})")
            }
            _ => message,
        }))
    }
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Failed(message) | Self::Refused(message)) = self;
        f.write_str(message)
    }
}

/// Iterates over an error and its sources, the error itself first.
fn causes<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// Joins an error with its sources. The innermost one says what happened.
fn chain(error: &(dyn Error + 'static)) -> String {
    causes(error).fold(String::new(), |message, cause| {
        let next = cause.to_string();
        match message.as_str() {
            "" => next,
            _ if message.contains(&next) => message,
            _ => format!("{message}: {next}"),
        }
    })
}
