//! The compiled rules file, as requests and deliveries use it.
//!
//! `config` builds a [`RuleSet`] once. A set never changes afterwards: a reload replaces it as a
//! whole. A request uses the same set from its arrival to its answer, a delivery at least for one
//! attempt.
//!
//! [`Endpoint`] and [`Rule`] decide what happens to an event. `server.rs`, `tls.rs` and `log.rs`
//! hold the settings of the daemon itself.

mod admin;
mod endpoint;
mod expectation;
mod log;
mod reload;
mod respond;
mod rule;
mod server;
mod store;
mod tls;

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

pub use admin::{Admin, PageAccess, PublicUrl};
pub use endpoint::{Endpoint, HandshakeVerifiers, Pace, RateLimits};
pub use expectation::ExpectedArrival;
pub use log::{LogFile, LogFormat, LogRotation, LogSettings};
pub use reload::{Change, ReloadSettings};
pub use respond::{AnswerKind, Respond, StatedAnswer};
pub use rule::{Alternative, GroupSettings, OnDuplicate, PayloadUse, Rule, RuleSource};
pub use server::{Listen, Server};
pub use store::{SharedStore, StoreSettings};
pub use tls::{CertificateSource, ClientAuth, Tls};

use crate::acme::Acme;
use crate::act::Action;
use crate::base::include::Include;
use crate::base::written::Written;
use crate::store::{InForce, Wanted, WantedRules};

/// Compiled contents of one rules file.
#[derive(Debug)]
pub struct RuleSet {
    /// Number of the set, counted from 1 over the sets that this daemon has put in force.
    pub generation: u64,
    /// SHA-256 of the rules file, in hex. With included files, that of the lines `SHA-256  NAME` of
    /// all files, as `sha256sum` prints them in the folder of the rules file.
    pub sha256: String,
    /// SHA-256 of the rules file, the included files and the secret files together. A change of any of them reloads.
    pub fingerprint: String,
    /// Files that the set was made from, secrets included. They are watched for changes.
    pub files: BTreeSet<PathBuf>,
    /// The files that the rules file includes, as it names them.
    pub includes: Vec<Include>,
    pub server: Server,
    pub store: StoreSettings,
    /// Name of this node.
    pub node: Arc<str>,
    /// Limits on the deliveries that run at the same time.
    pub wanted: Wanted,
    pub admin: Admin,
    pub reload: ReloadSettings,
    pub log: LogSettings,
    /// Everything that is written beside the rules.
    pub written: Written,
    pub endpoints: Vec<Endpoint>,
    /// Router from a path to an index into `endpoints`.
    pub routes: matchit::Router<usize>,
    /// Rules by name: indices into `endpoints` and the endpoint's `rules`.
    pub names: HashMap<Arc<str>, (usize, usize)>,
    /// Expected arrivals of enabled rules, and of endpoints that have one.
    pub expected: Vec<ExpectedArrival>,
    /// Rules of `on_silence` by name: indices into `endpoints` and `expected`.
    pub silences: HashMap<Arc<str>, (usize, usize)>,
}

impl RuleSet {
    /// ACME settings, if the certificate is issued by an authority.
    pub fn acme(&self) -> Option<&Acme> {
        self.server.tls.as_ref().and_then(Tls::acme)
    }

    /// True if `other` has a rule of this name that is written in the same way, as is everything
    /// beside the rules.
    pub fn has_like(&self, other: &Self, name: &str) -> bool {
        let written = |rules: &Self| rules.rule(name).map(|(_, rule)| rule.written);
        self.written == other.written && written(self).is_some() && written(self) == written(other)
    }

    /// Returns the endpoint of a normalized path, with the path's parameters still percent-encoded.
    pub fn endpoint<'r, 'p>(&'r self, path: &'p str) -> Option<(&'r Endpoint, matchit::Params<'r, 'p>)> {
        let found = self.routes.at(path).ok()?;
        Some((self.endpoints.get(*found.value)?, found.params))
    }

    /// Returns the enabled rules that need something that this machine does not have now: their
    /// names and what is missing. Reads files and accounts, so it must not run on an async worker.
    pub fn unavailable(&self) -> Vec<(Arc<str>, String)> {
        let missing = |rule: &Rule| {
            let on_failure = rule.on_failure.iter().map(|(action, _)| action);
            rule.actions.iter().chain(on_failure).find_map(Action::missing)
        };
        self.all_rules()
            .filter(|rule| rule.enabled)
            .filter_map(|rule| Some((Arc::clone(&rule.name), missing(rule)?)))
            .collect()
    }

    /// Switches a rule on, for tests of the rules. False if there is none of that name.
    pub fn enable(&mut self, name: &str) -> bool {
        let Some((endpoint, rule)) = self.names.get(name).copied() else {
            return false;
        };
        let endpoint = self.endpoints.get_mut(endpoint);
        let Some(endpoint) = endpoint else { return false };
        if let Some(rule) = endpoint.rules.get_mut(rule) {
            rule.enabled = true;
        }
        endpoint.handshakes = HandshakeVerifiers::new(&endpoint.verifications, &endpoint.rules);
        true
    }

    /// Returns the rule of that name, with its endpoint. Rules of `on_silence` count, too.
    pub fn rule(&self, name: &str) -> Option<(&Endpoint, &Rule)> {
        if let Some((endpoint, expected)) = self.silences.get(name) {
            let on_silence = self.expected.get(*expected)?.on_silence.as_ref()?;
            return Some((self.endpoints.get(*endpoint)?, on_silence));
        }
        let (endpoint, rule) = self.names.get(name)?;
        let endpoint = self.endpoints.get(*endpoint)?;
        Some((endpoint, endpoint.rules.get(*rule)?))
    }

    /// The rules that this node performs: those without `nodes`, and those that name it. A store of
    /// one node has all, also rules that are gone.
    pub fn performed(&self) -> WantedRules {
        if self.store.server.is_none() {
            return WantedRules::All;
        }
        let performed = self.all_rules().filter(|rule| rule.is_performed_by(&self.node));
        let names = performed.map(|rule| Arc::clone(&rule.name));
        WantedRules::Only(Arc::new(names.collect()))
    }

    /// The summary of this set that other nodes get.
    pub fn in_force(&self) -> InForce {
        let rules = match &self.wanted.rules {
            WantedRules::All => Arc::default(),
            WantedRules::Only(rules) => Arc::clone(rules),
        };
        InForce {
            generation: self.generation,
            sha256: self.sha256.clone(),
            rules,
            known: Arc::new(self.all_rules().map(|rule| Arc::clone(&rule.name)).collect()),
        }
    }

    /// All rules, those of `on_silence` too.
    pub fn all_rules(&self) -> impl Iterator<Item = &Rule> {
        let rules = self.endpoints.iter().flat_map(|endpoint| &endpoint.rules);
        let expected = self.expected.iter();
        rules.chain(expected.filter_map(|expected| expected.on_silence.as_ref()))
    }
}

/// Percent-decodes the parameters of a path. `None` if one is not UTF-8, so that nothing matches.
pub fn path_parameters(parameters: &matchit::Params<'_, '_>) -> Option<Vec<(String, String)>> {
    let decode = |(name, value): (&str, &str)| {
        let value = percent_encoding::percent_decode_str(value).decode_utf8().ok()?;
        Some((name.to_owned(), value.into_owned()))
    };
    parameters.iter().map(decode).collect()
}
