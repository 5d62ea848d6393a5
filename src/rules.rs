//! The compiled rules file, as requests and deliveries use it.
//!
//! `config` builds a [`RuleSet`] once. A set never changes afterwards: a reload replaces it as a
//! whole. A request uses the same set from its arrival to its answer, a delivery at least for one
//! attempt.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, Method, StatusCode};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use serde::Deserialize;

use crate::acme::Acme;
use crate::act::{Action, Retry};
use crate::base::clock::Timestamp;
use crate::base::network::{Networks, TrustedPeers};
use crate::matching::Matcher;
use crate::payload::{Decode, Event};
use crate::store::{Concurrency, Debounce, Overlap, Settings};
use crate::sys::socket::Access;
use crate::template::Template;
use crate::tls::pem::Validity;
use crate::verify::{HandshakeReply, Recognition, Refusal, Verification};

/// Compiled contents of one rules file.
#[derive(Debug)]
pub struct RuleSet {
    /// Number of the set, counted from 1 over the sets that this daemon has put in force.
    pub generation: u64,
    /// SHA-256 of the rules file, in hex.
    pub sha256: String,
    /// SHA-256 of the rules file and the secret files together. A change of any of them reloads.
    pub fingerprint: String,
    /// Files that the set was made from, secrets included. They are watched for changes.
    pub files: BTreeSet<PathBuf>,
    pub server: Server,
    pub store: StoreSettings,
    /// Limits on the deliveries that run at the same time.
    pub room: Concurrency,
    pub admin: Admin,
    pub log: LogSettings,
    pub endpoints: Vec<Endpoint>,
    /// Router from a path to an index into `endpoints`.
    pub routes: matchit::Router<usize>,
    /// Rules by name: indices into `endpoints` and the endpoint's `rules`.
    pub names: HashMap<Arc<str>, (usize, usize)>,
}

impl RuleSet {
    /// ACME settings, if the certificate is issued by an authority.
    pub fn acme(&self) -> Option<&Acme> {
        self.server.tls.as_ref().and_then(Tls::acme)
    }

    /// Returns the endpoint of a normalized path, with the path's parameters still percent-encoded.
    pub fn endpoint<'r, 'p>(&'r self, path: &'p str) -> Option<(&'r Endpoint, matchit::Params<'r, 'p>)> {
        let found = self.routes.at(path).ok()?;
        Some((self.endpoints.get(*found.value)?, found.params))
    }

    /// Returns the enabled rules that need something that this machine does not have now: their
    /// names and what is missing. Reads files and accounts, so it must not run on an async worker.
    pub fn unavailable(&self) -> Vec<(Arc<str>, String)> {
        let rules = self.endpoints.iter().flat_map(|endpoint| &endpoint.rules);
        let missing = |rule: &Rule| {
            let on_failure = rule.on_failure.iter().map(|(action, _)| action);
            rule.actions.iter().chain(on_failure).find_map(Action::missing)
        };
        rules
            .filter(|rule| rule.enabled)
            .filter_map(|rule| Some((Arc::clone(&rule.name), missing(rule)?)))
            .collect()
    }

    /// Returns the rule of that name, with its endpoint.
    pub fn rule(&self, name: &str) -> Option<(&Endpoint, &Rule)> {
        let (endpoint, rule) = self.names.get(name)?;
        let endpoint = self.endpoints.get(*endpoint)?;
        Some((endpoint, endpoint.rules.get(*rule)?))
    }
}

/// Addresses of the admin API.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Admin {
    /// Path of the unix socket. `None`: the default path. `Some(None)`: no socket.
    pub socket: Option<Option<PathBuf>>,
    /// TCP address, which gives access to fewer calls than the socket.
    pub listen: Option<SocketAddr>,
}

/// A path on which webhooks arrive.
#[derive(Debug)]
pub struct Endpoint {
    /// Path as written, with parameters: `/deploy/{app}`.
    pub path: Arc<str>,
    /// Methods of events.
    pub methods: Vec<Method>,
    /// Networks whose requests are accepted. `None`: all.
    pub allow: Option<Networks>,
    pub limits: RateLimits,
    /// Maximum size of a body in bytes, as sent and again after decompression.
    pub max_body: u64,
    pub decode: Decode,
    /// Answers to verified events.
    pub respond: Respond,
    /// Distinct verifications of the rules. Each is computed once per request.
    pub verifications: Vec<Verification>,
    /// Deduplication of the events of each verification, by the same index.
    pub recognitions: Vec<Recognition>,
    /// Rules in the order of the file.
    pub rules: Vec<Rule>,
    /// Indexed conditions of the rules.
    pub matcher: Matcher,
    /// Headers that carry a sender's signature or secret. They are never stored, forwarded or
    /// logged.
    pub credentials: Vec<HeaderName>,
    /// Query parameters that carry a sender's secret. They are never stored, forwarded or logged.
    pub credential_queries: Vec<String>,
    /// Verifications that answer handshakes.
    pub greeters: Greeters,
}

impl Endpoint {
    /// Returns the methods as the value of an `Allow` header.
    pub fn allowed_methods(&self) -> String {
        let names: Vec<&str> = self.methods.iter().map(Method::as_str).collect();
        format!("{}, OPTIONS", names.join(", "))
    }

    /// True if the method is one of events or of a handshake.
    pub fn admits(&self, method: &Method) -> bool {
        self.methods.contains(method) || self.greeters.methods.contains(method)
    }

    /// True unless the rule at `index` has actions that read the payload and the payload is
    /// unreadable.
    pub fn can_act(&self, index: usize, event: &Event) -> bool {
        let acts_on_it = |rule: &Rule| rule.payload_use == PayloadUse::Actions;
        event.payload.fault.is_none() || !self.rules.get(index).is_some_and(acts_on_it)
    }

    /// True if the endpoint allows this address and so does one of its enabled rules. If no rule is
    /// enabled, only the endpoint decides.
    pub fn lets_in(&self, client: Option<IpAddr>) -> bool {
        is_allowed(self.allow.as_ref(), client) && self.some_rule_lets_in(client, |_| true)
    }

    /// True if an enabled rule that is `of_interest` allows this address, or if no rule is enabled.
    fn some_rule_lets_in(&self, client: Option<IpAddr>, of_interest: impl Fn(&Rule) -> bool) -> bool {
        let mut in_force = self.rules.iter().filter(|rule| rule.enabled).peekable();
        in_force.peek().is_none() || in_force.any(|rule| of_interest(rule) && rule.lets_in(client))
    }

    /// Asks each verification in turn for the answer to a handshake from `client`. Returns the
    /// first reply, else the first refusal. `None` if no verification knows the handshake.
    pub fn greeting(
        &self,
        client: Option<IpAddr>,
        ask: impl Fn(&Verification) -> Option<Result<HandshakeReply, Refusal>>,
    ) -> Option<Result<HandshakeReply, Refusal>> {
        let open = |index: &&usize| self.some_rule_lets_in(client, |rule| rule.verification == **index);
        let indices = self.greeters.indices.iter().filter(open);
        let asked = indices.filter_map(|index| self.verifications.get(*index));
        let mut answers = asked.filter_map(ask);
        let first = answers.next()?;
        Some(first.or_else(|refusal| answers.find_map(Result::ok).ok_or(refusal)))
    }
}

/// Rate limits of an endpoint. `None`: unlimited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RateLimits {
    /// Limit for all clients together.
    pub total: Option<Pace>,
    /// Limit for each client.
    pub per_client: Option<Pace>,
}

/// A rate: `burst` requests at once, then one per `interval`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Time from one request to the next.
    pub interval: Duration,
    /// Maximum requests at once. At least 1.
    pub burst: u32,
}

/// Verifications of an endpoint that know a handshake.
#[derive(Debug)]
pub struct Greeters {
    /// Indices into the endpoint's `verifications`.
    indices: Vec<usize>,
    /// Methods of these handshakes.
    methods: Vec<Method>,
}

impl Greeters {
    /// Collects the verifications that know a handshake. As with events, only verifications of
    /// enabled rules count, or all of them if no rule is enabled.
    pub fn new(verifications: &[Verification], rules: &[Rule]) -> Self {
        let mut in_force = rules.iter().filter(|rule| rule.enabled).peekable();
        let all = in_force.peek().is_none();
        let used: BTreeSet<usize> = in_force.map(|rule| rule.verification).collect();
        let mut greeters = Self {
            indices: Vec::new(),
            methods: Vec::new(),
        };
        for (index, verification) in verifications.iter().enumerate() {
            let mut methods = verification.handshake_methods().peekable();
            if methods.peek().is_some() && (all || used.contains(&index)) {
                greeters.indices.push(index);
                greeters.methods.extend(methods.cloned());
            }
        }
        greeters
    }

    /// True if there are none, so that every request is an event.
    pub fn is_empty(&self) -> bool {
        self.indices.is_empty()
    }
}

/// True if there is no list or the list contains the address. An unknown address is in no list.
fn is_allowed(list: Option<&Networks>, client: Option<IpAddr>) -> bool {
    list.is_none_or(|list| client.is_some_and(|client| list.contains(client)))
}

/// Requests on an endpoint that are verified and matched in one way, and the actions for them.
#[derive(Debug)]
pub struct Rule {
    /// Name, unique in the set.
    pub name: Arc<str>,
    /// False if the rule is switched off.
    pub enabled: bool,
    /// Networks whose requests the rule accepts, of those that the endpoint accepts. `None`: all.
    pub allow: Option<Networks>,
    /// Index into the endpoint's `verifications`.
    pub verification: usize,
    /// Time for which an event is fresh and remembered.
    pub replay_window: Duration,
    pub on_duplicate: OnDuplicate,
    /// True if the conditions read into a structured payload.
    pub needs_structure: bool,
    /// Part of the rule that reads the payload, which may be unreadable.
    pub payload_use: PayloadUse,
    /// Actions in the order in which they run.
    pub actions: Vec<Action>,
    /// Retry policies of the actions, by the same index.
    pub retries: Vec<Retry>,
    /// Actions that run in order after a delivery has become a dead letter, each with its retry
    /// policy.
    pub on_failure: Vec<(Action, Retry)>,
    /// Concurrency group of the deliveries. `None`: only the limits for all deliveries hold.
    pub concurrency: Option<GroupSettings>,
    /// Debounce of the deliveries. `None`: they do not wait.
    pub debounce: Option<Debounce>,
    /// Answer for an event that this rule accepts. `None`: the endpoint's own answer.
    pub respond: Option<Respond>,
}

impl Rule {
    /// True if the rule accepts requests from this address.
    pub fn lets_in(&self, client: Option<IpAddr>) -> bool {
        is_allowed(self.allow.as_ref(), client)
    }

    /// Returns an action and its retry policy. `for_failure` selects the `on_failure` actions.
    pub fn step(&self, for_failure: bool, index: usize) -> Option<(&Action, &Retry)> {
        if for_failure {
            let (action, retry) = self.on_failure.get(index)?;
            Some((action, retry))
        } else {
            Some((self.actions.get(index)?, self.retries.get(index)?))
        }
    }

    /// Returns the number of actions. `for_failure` selects the `on_failure` actions.
    pub fn steps(&self, for_failure: bool) -> usize {
        if for_failure {
            self.on_failure.len()
        } else {
            self.actions.len()
        }
    }

    /// True if the sender waits for this rule's outcome, so that the sender's own retries apply.
    pub fn is_awaited(&self, endpoint: &Endpoint) -> bool {
        self.respond.as_ref().unwrap_or(&endpoint.respond).wait.is_some()
    }
}

/// Part of a rule that reads the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PayloadUse {
    None,
    /// Only the conditions.
    Conditions,
    /// The actions, which cannot run if the payload is unreadable.
    Actions,
}

/// Concurrency group of a rule's deliveries.
#[derive(Debug)]
pub struct GroupSettings {
    /// Template of the group's name, which rules may share. `None`: the rule's name.
    pub group: Option<Template>,
    /// Maximum deliveries of the group that run at the same time.
    pub limit: u32,
    /// Treatment of a delivery that arrives while the group is full.
    pub overlap: Overlap,
}

/// Treatment of an event that a rule has already accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnDuplicate {
    /// Answer success without running the rule.
    #[default]
    Ignore,
    /// Answer 409 without running the rule.
    Reject,
    /// Accept the event again.
    Run,
}

/// Answer of an endpoint to a verified event.
#[derive(Clone, Debug)]
pub struct Respond {
    /// Status of success.
    pub status: StatusCode,
    /// Headers added to success.
    pub headers: HeaderMap,
    /// Template of the body. `None`: the status as JSON.
    pub body: Option<Template>,
    /// Maximum time for which the answer waits for the actions. `None`: the answer does not wait.
    pub wait: Option<Duration>,
}

impl Default for Respond {
    fn default() -> Self {
        Self {
            status: StatusCode::OK,
            headers: HeaderMap::new(),
            body: None,
            wait: None,
        }
    }
}

/// Address of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// A TCP address.
    Tcp {
        /// `host:port`.
        address: String,
        /// True if the listener serves TLS.
        tls: bool,
    },
    /// A unix socket and its access permissions.
    Unix(PathBuf, Access),
    /// Sockets inherited from systemd.
    Systemd {
        /// True if the TCP sockets among them serve TLS.
        tls: bool,
    },
}

impl Listen {
    /// Returns the TCP address, unless its host is a name.
    pub fn tcp(&self) -> Option<SocketAddr> {
        let Self::Tcp { address, .. } = self else {
            return None;
        };
        let address: SocketAddr = address.parse().ok()?;
        Some(SocketAddr::new(address.ip().to_canonical(), address.port()))
    }

    /// True if the listener binds all IPv4 addresses of a port. A listener on `[::]` of the same
    /// port then serves IPv6 only.
    pub fn is_all_v4(&self, port: u16) -> bool {
        self.tcp() == Some(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)))
    }

    /// True if the listener serves TLS.
    pub fn has_tls(&self) -> bool {
        match self {
            Self::Tcp { tls, .. } | Self::Systemd { tls } => *tls,
            Self::Unix(..) => false,
        }
    }
}

/// TLS settings of the listeners.
#[derive(Clone, Debug)]
pub struct Tls {
    /// Configuration for rustls, certificate and versions included.
    pub config: Arc<ServerConfig>,
    /// Authorities for client certificates. `None`: clients are not asked for a certificate.
    pub clients: Option<ClientAuth>,
    pub origin: CertificateSource,
}

/// Authorities for client certificates: `client_ca`.
#[derive(Clone, Debug)]
pub struct ClientAuth {
    /// Verifier of a client's certificate chain.
    pub verifier: Arc<dyn ClientCertVerifier>,
    /// SHA-256 over the trusted certificates.
    pub digest: [u8; 32],
}

impl ClientAuth {
    /// True if a chain, whose first certificate is the client's own, is valid at `now`.
    pub fn vouch_for(&self, chain: &[CertificateDer<'_>], now: Timestamp) -> bool {
        let Some((own, rest)) = chain.split_first() else {
            return false;
        };
        let now = Duration::from_millis(u64::try_from(now.as_millis()).unwrap_or_default());
        let now = UnixTime::since_unix_epoch(now);
        self.verifier.verify_client_cert(own, rest, now).is_ok()
    }
}

/// Source of the server certificate.
#[derive(Clone, Debug)]
pub enum CertificateSource {
    /// Files, with the period in which the certificate is valid.
    Files(Validity),
    /// An authority that issues the certificate by ACME.
    Acme(Acme),
}

impl Tls {
    /// ACME settings, if the certificate is issued by an authority.
    pub fn acme(&self) -> Option<&Acme> {
        match &self.origin {
            CertificateSource::Files(_) => None,
            CertificateSource::Acme(acme) => Some(acme),
        }
    }

    /// End of the certificate's validity. `None` if there is no certificate yet.
    pub fn until(&self) -> Option<Timestamp> {
        match &self.origin {
            CertificateSource::Files(validity) => Some(validity.until),
            CertificateSource::Acme(acme) => acme.issued.validity().map(|validity| validity.until),
        }
    }

    /// Describes the problem with the certificate at `now`, if any.
    pub fn problem(&self, now: Timestamp) -> Option<String> {
        match &self.origin {
            CertificateSource::Files(validity) => validity.problem(now),
            CertificateSource::Acme(acme) => acme.issued.problem(now),
        }
    }

    /// Takes over the certificate issued under the previous rules.
    pub fn succeed(&mut self, before: &Self) {
        if let (CertificateSource::Acme(acme), Some(before)) = (&mut self.origin, before.acme()) {
            acme.issued = Arc::clone(&before.issued);
            Arc::make_mut(&mut self.config).cert_resolver = Arc::clone(&before.issued) as _;
        }
    }
}

/// Settings of the listeners.
#[derive(Clone, Debug)]
pub struct Server {
    /// Addresses to listen on. At least one.
    pub listen: Vec<Listen>,
    /// URL under which senders know this server, without a trailing slash.
    pub public_url: Option<String>,
    /// Proxies whose `Forwarded` and `X-Forwarded-For` headers name the client.
    pub trusted_proxies: TrustedPeers,
    /// Peers that must begin each connection with a PROXY protocol header.
    pub proxy_protocol: TrustedPeers,
    /// Maximum time for a request's head, and again for its body.
    pub request_timeout: Duration,
    /// Memory for the bodies of all requests together, in bytes.
    pub max_inflight: u64,
    /// Largest `max_body` of an endpoint, in bytes.
    pub largest_body: u64,
    /// Maximum open connections. Further ones wait in the kernel's queue.
    pub max_connections: usize,
    /// Maximum time for which a stopping daemon waits for running work.
    pub stop_grace: Duration,
    /// TLS settings. `None`: no listener serves TLS.
    pub tls: Option<Tls>,
}

/// Settings of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreSettings {
    /// Path of the file. `None`: the default path, which `config` decides.
    pub path: Option<PathBuf>,
    /// Retention and limits.
    pub settings: Settings,
}

/// Settings of the logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// A level, or a filter in the syntax of `tracing-subscriber`'s `EnvFilter`.
    pub level: String,
    pub format: LogFormat,
    /// File to which the log is written in addition to stderr.
    pub file: Option<LogFile>,
}

/// Format of a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text for people.
    #[default]
    Text,
    /// A JSON object per line.
    Json,
}

/// A log file that is rotated by time (UTC) and size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFile {
    /// Path of the file. The date is added to its name.
    pub path: PathBuf,
    pub rotate: LogRotation,
    /// Size in bytes at which the file is rotated early.
    pub size: u64,
    /// Maximum log files kept. Older ones are deleted.
    pub keep: usize,
}

/// Interval at which a log file is rotated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogRotation {
    #[serde(alias = "hour")]
    Hourly,
    #[serde(alias = "day")]
    #[default]
    Daily,
    Never,
}
