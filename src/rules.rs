//! The compiled rules file: what a request meets.
//!
//! A [`RuleSet`] is made by `config` and never changes afterwards; the daemon swaps it for another as a whole.
//! A request takes the set in force once and keeps it to its answer, a delivery for one attempt.

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

/// Everything that one rules file says.
#[derive(Debug)]
pub struct RuleSet {
    /// Counts the sets that this daemon has put in force, from 1.
    pub generation: u64,
    /// SHA-256 of the rules file, in hex.
    pub sha256: String,
    /// SHA-256 of the rules file and the secret files together: a change of either is worth a reload.
    pub fingerprint: String,
    /// The files it was made from, secrets included, to be watched.
    pub files: BTreeSet<PathBuf>,
    /// Settings of the listeners.
    pub server: Server,
    /// Settings of the store.
    pub store: StoreSettings,
    /// How many deliveries are under way at once.
    pub room: Concurrency,
    /// Where the operator's door is.
    pub admin: Admin,
    /// Settings of the logs.
    pub log: LogSettings,
    /// All endpoints.
    pub endpoints: Vec<Endpoint>,
    /// Which endpoint a path leads to: an index into `endpoints`.
    pub routes: matchit::Router<usize>,
    /// Where a rule stands: indices into `endpoints` and its `rules`.
    pub names: HashMap<Arc<str>, (usize, usize)>,
}

impl RuleSet {
    /// How an authority is asked for a certificate, if one is.
    pub fn acme(&self) -> Option<&Acme> {
        self.server.tls.as_ref().and_then(Tls::acme)
    }

    /// The endpoint for a path in its normal form, with the path's parameters still percent-encoded.
    pub fn endpoint<'r, 'p>(&'r self, path: &'p str) -> Option<(&'r Endpoint, matchit::Params<'r, 'p>)> {
        let found = self.routes.at(path).ok()?;
        Some((self.endpoints.get(*found.value)?, found.params))
    }

    /// The rules that are in force and need something that this machine does not have now: their names, and what is
    /// missing. It looks at files and accounts: not for an async worker.
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

    /// The rule of that name, with its endpoint.
    pub fn rule(&self, name: &str) -> Option<(&Endpoint, &Rule)> {
        let (endpoint, rule) = self.names.get(name)?;
        let endpoint = self.endpoints.get(*endpoint)?;
        Some((endpoint, endpoint.rules.get(*rule)?))
    }
}

/// Where the operator's door is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Admin {
    /// The unix socket, or that there is none; not said: its usual place.
    pub socket: Option<Option<PathBuf>>,
    /// A TCP address, which tells less.
    pub listen: Option<SocketAddr>,
}

/// A path on which webhooks arrive.
#[derive(Debug)]
pub struct Endpoint {
    /// The path as written, with parameters: `/deploy/{app}`.
    pub path: Arc<str>,
    /// The methods that are taken.
    pub methods: Vec<Method>,
    /// Whose requests are taken; none: everybody's.
    pub allow: Option<Networks>,
    /// How often it may be called.
    pub limits: RateLimits,
    /// The largest body, in bytes: as it was sent, and again decompressed.
    pub max_body: u64,
    /// How bodies are read.
    pub decode: Decode,
    /// How it answers.
    pub respond: Respond,
    /// The distinct verifications of its rules, each computed once per request.
    pub verifications: Vec<Verification>,
    /// How the events of each of these are recognised again.
    pub recognitions: Vec<Recognition>,
    /// Its rules in the order of the file.
    pub rules: Vec<Rule>,
    /// The conditions of its rules, indexed.
    pub matcher: Matcher,
    /// Headers that carry a sender's signature or secret: not kept, not passed on, not logged.
    pub credentials: Vec<HeaderName>,
    /// Query parameters that carry a sender's secret: not kept, not passed on, not logged.
    pub credential_queries: Vec<String>,
    /// Who answers handshakes.
    pub greeters: Greeters,
}

impl Endpoint {
    /// The methods as the value of an `Allow` header.
    pub fn allowed_methods(&self) -> String {
        let names: Vec<&str> = self.methods.iter().map(Method::as_str).collect();
        format!("{}, OPTIONS", names.join(", "))
    }

    /// Whether the method is let in: as one of events, or of a handshake.
    pub fn admits(&self, method: &Method) -> bool {
        self.methods.contains(method) || self.greeters.methods.contains(&method)
    }

    /// Whether the actions of the rule at `index` have what they need of an event: they may read what it says, and that may be
    /// unreadable.
    pub fn can_act(&self, index: usize, event: &Event) -> bool {
        let acts_on_it = |rule: &Rule| rule.payload_use == PayloadUse::Actions;
        event.payload.fault.is_none() || !self.rules.get(index).is_some_and(acts_on_it)
    }

    /// Whether a rule could take what comes from this address: the endpoint lets it in, and so does one of its rules that
    /// are in force, where there are any.
    pub fn lets_in(&self, client: Option<IpAddr>) -> bool {
        is_allowed(self.allow.as_ref(), client) && self.some_rule_lets_in(client, |_| true)
    }

    /// Whether one of the rules that are in force and of interest takes what comes from this address, or no rule is in
    /// force.
    fn some_rule_lets_in(&self, client: Option<IpAddr>, of_interest: impl Fn(&Rule) -> bool) -> bool {
        let mut in_force = self.rules.iter().filter(|rule| rule.enabled).peekable();
        in_force.peek().is_none() || in_force.any(|rule| of_interest(rule) && rule.lets_in(client))
    }

    /// What is answered to a handshake that comes from `client`, each of the verifications being asked: what the first
    /// says that greets, else what the first says that knows the handshake and refuses it. `None` if none knows it.
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

/// How often an endpoint may be called; absent: as often as anybody likes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RateLimits {
    /// By everybody together.
    pub total: Option<Pace>,
    /// By each client.
    pub per_client: Option<Pace>,
}

/// So many requests at once, and then one an interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// From one request to the next.
    pub interval: Duration,
    /// How many at once, 1 at least.
    pub burst: u32,
}

/// The verifications of an endpoint that know a handshake.
#[derive(Debug)]
pub struct Greeters {
    /// Indices into the endpoint's `verifications`.
    indices: Vec<usize>,
    /// The methods by which their handshakes come.
    methods: Vec<&'static Method>,
}

impl Greeters {
    /// Those that know one. As with events, what counts are the verifications of rules that are in force, or all of
    /// them where no rule is.
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
                greeters.methods.extend(methods);
            }
        }
        greeters
    }

    /// Whether there are none, so that every request is an event.
    pub fn is_empty(&self) -> bool {
        self.indices.is_empty()
    }
}

/// Whether a list lets in what comes from this address: one that is not known is in no list.
fn is_allowed(list: Option<&Networks>, client: Option<IpAddr>) -> bool {
    list.is_none_or(|list| client.is_some_and(|client| list.contains(client)))
}

/// "What arrives here, verified so and matching this, gets these actions."
#[derive(Debug)]
pub struct Rule {
    /// Unique in the set.
    pub name: Arc<str>,
    /// Whether it is in force.
    pub enabled: bool,
    /// Whose requests it takes, of those that the endpoint lets in; none: everybody's.
    pub allow: Option<Networks>,
    /// Its verification: an index into the endpoint's `verifications`.
    pub verification: usize,
    /// How long an event stays fresh and is remembered.
    pub replay_window: Duration,
    /// What becomes of an event that was taken before.
    pub on_duplicate: OnDuplicate,
    /// Whether its conditions read into a structured payload.
    pub needs_structure: bool,
    /// What of it looks into the payload, which may be unreadable.
    pub payload_use: PayloadUse,
    /// What it does, in order.
    pub actions: Vec<Action>,
    /// How often each action is tried: one entry an action.
    pub retries: Vec<Retry>,
    /// What it does when a delivery is given up on, in order, each with how often it is tried.
    pub on_failure: Vec<(Action, Retry)>,
    /// How many of its deliveries are under way at once; none: as many as there is room for.
    pub concurrency: Option<GroupSettings>,
    /// How its deliveries wait for quiet; none: they do not.
    pub debounce: Option<Debounce>,
    /// How the endpoint answers for an event that this rule took; the endpoint's own answer if none.
    pub respond: Option<Respond>,
}

impl Rule {
    /// Whether it takes what comes from this address.
    pub fn lets_in(&self, client: Option<IpAddr>) -> bool {
        is_allowed(self.allow.as_ref(), client)
    }

    /// The action at an index, of those for a failure or of those for the event, and how often it is tried.
    pub fn step(&self, for_failure: bool, index: usize) -> Option<(&Action, &Retry)> {
        if for_failure {
            let (action, retry) = self.on_failure.get(index)?;
            Some((action, retry))
        } else {
            Some((self.actions.get(index)?, self.retries.get(index)?))
        }
    }

    /// How many of them there are.
    pub fn steps(&self, for_failure: bool) -> usize {
        if for_failure {
            self.on_failure.len()
        } else {
            self.actions.len()
        }
    }

    /// Whether the sender waits for this rule's outcome, so that the sender's own retries are used.
    pub fn is_awaited(&self, endpoint: &Endpoint) -> bool {
        self.respond.as_ref().unwrap_or(&endpoint.respond).wait.is_some()
    }
}

/// What of a rule looks into the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PayloadUse {
    /// Nothing.
    None,
    /// Its conditions alone.
    Conditions,
    /// Its actions: they can do nothing where the payload cannot be read.
    Actions,
}

/// How many deliveries of a group are under way at once.
#[derive(Debug)]
pub struct GroupSettings {
    /// The group, which rules may share; the rule's name if none.
    pub group: Option<Template>,
    /// How many of it.
    pub limit: u32,
    /// What becomes of one that comes while the group is busy.
    pub overlap: Overlap,
}

/// What becomes of an event that a rule has taken before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnDuplicate {
    /// Answer success and do nothing.
    #[default]
    Ignore,
    /// Answer 409 and do nothing.
    Reject,
    /// Take it again.
    Run,
}

/// How an endpoint answers a verified event.
#[derive(Clone, Debug)]
pub struct Respond {
    /// The status of success.
    pub status: StatusCode,
    /// Headers added to success.
    pub headers: HeaderMap,
    /// The body; the status as JSON if none.
    pub body: Option<Template>,
    /// How long the answer waits for the actions; none: it does not.
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

/// Where a listener listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// A TCP address.
    Tcp {
        /// `host:port`.
        address: String,
        /// Whether it is served with TLS.
        tls: bool,
    },
    /// A unix socket, and who may connect to it.
    Unix(PathBuf, Access),
    /// The sockets that systemd hands over.
    Systemd {
        /// Whether those of TCP are served with TLS.
        tls: bool,
    },
}

impl Listen {
    /// The address, if it is one of TCP that names no host.
    pub fn tcp(&self) -> Option<SocketAddr> {
        let Self::Tcp { address, .. } = self else {
            return None;
        };
        let address: SocketAddr = address.parse().ok()?;
        Some(SocketAddr::new(address.ip().to_canonical(), address.port()))
    }

    /// Whether it is all IPv4 addresses of a port: then `[::]` of that port leaves them to it.
    pub fn is_all_v4(&self, port: u16) -> bool {
        self.tcp() == Some(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)))
    }

    /// Whether it is served with TLS.
    pub fn has_tls(&self) -> bool {
        match self {
            Self::Tcp { tls, .. } | Self::Systemd { tls } => *tls,
            Self::Unix(..) => false,
        }
    }
}

/// How connections are secured.
#[derive(Clone, Debug)]
pub struct Tls {
    /// The certificate, the versions, and what else rustls asks for.
    pub config: Arc<ServerConfig>,
    /// Whose word is taken on who a client is; none: no client is asked for a certificate.
    pub clients: Option<ClientAuth>,
    /// Where the certificate comes from.
    pub origin: CertificateSource,
}

/// Whose word is taken on who a client is: `client_ca`.
#[derive(Clone, Debug)]
pub struct ClientAuth {
    /// Asks whether a chain leads to it.
    pub verifier: Arc<dyn ClientCertVerifier>,
    /// SHA-256 over the certificates that are trusted.
    pub digest: [u8; 32],
}

impl ClientAuth {
    /// Whether a chain, whose first certificate is the client's own, holds at `now`.
    pub fn vouch_for(&self, chain: &[CertificateDer<'_>], now: Timestamp) -> bool {
        let Some((own, rest)) = chain.split_first() else {
            return false;
        };
        let now = Duration::from_millis(u64::try_from(now.as_millis()).unwrap_or_default());
        let now = UnixTime::since_unix_epoch(now);
        self.verifier.verify_client_cert(own, rest, now).is_ok()
    }
}

/// Where a certificate comes from.
#[derive(Clone, Debug)]
pub enum CertificateSource {
    /// From files; and when it is valid.
    Files(Validity),
    /// An authority issues it.
    Acme(Acme),
}

impl Tls {
    /// What says how the authority is asked, if one is.
    pub fn acme(&self) -> Option<&Acme> {
        match &self.origin {
            CertificateSource::Files(_) => None,
            CertificateSource::Acme(acme) => Some(acme),
        }
    }

    /// Until when the certificate is valid; none: there is none yet.
    pub fn until(&self) -> Option<Timestamp> {
        match &self.origin {
            CertificateSource::Files(validity) => Some(validity.until),
            CertificateSource::Acme(acme) => acme.issued.validity().map(|validity| validity.until),
        }
    }

    /// What is wrong with the certificate at `now`.
    pub fn problem(&self, now: Timestamp) -> Option<String> {
        match &self.origin {
            CertificateSource::Files(validity) => validity.problem(now),
            CertificateSource::Acme(acme) => acme.issued.problem(now),
        }
    }

    /// Goes on with what was issued under the rules before.
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
    /// Where to listen; at least one.
    pub listen: Vec<Listen>,
    /// The URL under which senders know this server, without a trailing slash.
    pub public_url: Option<String>,
    /// Whose word is believed on where a request comes from.
    pub trusted_proxies: TrustedPeers,
    /// Who speaks the PROXY protocol, and must.
    pub proxy_protocol: TrustedPeers,
    /// How long a request's head may take, and again its body.
    pub request_timeout: Duration,
    /// Memory for the bodies of all requests together, in bytes.
    pub max_inflight: u64,
    /// The largest `max_body` of an endpoint, in bytes.
    pub largest_body: u64,
    /// How many connections are open at once; more wait in the kernel's queue.
    pub max_connections: usize,
    /// How long a stopping daemon waits for what is under way.
    pub stop_grace: Duration,
    /// How connections are secured; none: not at all.
    pub tls: Option<Tls>,
}

/// Settings of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreSettings {
    /// The file; none: its usual place, which `config` decides.
    pub path: Option<PathBuf>,
    /// What it keeps, and how much.
    pub settings: Settings,
}

/// Settings of the logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// A level, or a filter in the syntax of `tracing-subscriber`'s `EnvFilter`.
    pub level: String,
    /// How a line is written.
    pub format: LogFormat,
    /// A file beside stderr.
    pub file: Option<LogFile>,
}

/// How a log line is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// A log file that is begun anew from time to time (by UTC).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFile {
    /// The path of the file; the date is added to its name.
    pub path: PathBuf,
    /// When a new one is begun.
    pub rotate: LogRotation,
    /// Its size at most, in bytes; then a new one is begun, too.
    pub size: u64,
    /// How many are kept.
    pub keep: usize,
}

/// When a new log file is begun.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogRotation {
    /// Every hour.
    #[serde(alias = "hour")]
    Hourly,
    /// Every day.
    #[serde(alias = "day")]
    #[default]
    Daily,
    /// Never.
    Never,
}
