//! Compiler from the parsed file to the [`RuleSet`]. Each section, endpoint and rule is read on its
//! own, so that one error does not hide another.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::cross_checks::Agreements;
use super::document::RulesFile;
use super::endpoint::{EndpointBuilder, EndpointBuilders};
use super::{admin, replays, rule, settings};
use crate::act::CompileContext;
use crate::base::diagnostic::{Diagnostic, Diagnostics};
use crate::base::patterns::Patterns;
use crate::base::secret::Keyring;
use crate::base::url_path;
use crate::base::yaml::{Document, Node};
use crate::rules::RuleSet;
use crate::template::Templates;
use crate::verify::{Definitions, SchemeContext, Verification};

/// Compiles a document. The result is usable only if `diagnostics` holds no errors.
pub fn compile(document: &Document, keyring: &Keyring, diagnostics: &mut Diagnostics) -> Option<RuleSet> {
    let root = document.root();
    if root.value().is_null() {
        // An empty file may be a half-written one, so it never means "no rules".
        let diagnostic = root.error("empty", "the file is empty");
        diagnostics.push(diagnostic.hint("a rules file without rules says so: `rules: []`"));
        return None;
    }
    let _shape: RulesFile = root.read(diagnostics)?;
    if let Some(diagnostic) = root.missing("rules") {
        diagnostics.push(diagnostic.hint("a rules file without rules says so: `rules: []`"));
    }
    let (mut server, max_body) = settings::server(root.given("server"), keyring, diagnostics);
    let store = settings::store(root.given("store"), keyring, diagnostics);
    let deliveries = settings::deliveries(root.given("deliveries"), diagnostics);
    let admin = admin::compile(root.given("admin"), keyring.folder(), diagnostics);
    let log = settings::log(root.given("log"), keyring, diagnostics);

    let schemes = Definitions::read(root.given("schemes"), diagnostics);
    let scheme_context = SchemeContext {
        keyring,
        schemes: &schemes,
        public_url: server.public_url.as_deref(),
        max_body: u64::MAX,
        decompress_unverified: false,
    };
    Verification::check_definitions(&scheme_context, diagnostics);

    let templates = Templates::new();
    let context = CompileContext {
        keyring,
        templates: &templates,
        schemes: &schemes,
        excludes_dash: None,
    };
    let patterns = Patterns::default();
    let mut drafts = EndpointBuilders::new(&server, max_body, deliveries, &context, &patterns);
    drafts.describe(root.given("endpoints"), diagnostics);
    rules(root.given("rules"), &mut drafts, diagnostics);

    let endpoints = drafts.finish();
    if !diagnostics.has_errors() {
        diagnostics.extend(schemes.unused());
    }
    check_endpoints(root, &endpoints, diagnostics);
    let largest = endpoints.iter().max_by_key(|draft| draft.max_body().0);
    if let Some(draft) = largest {
        server.largest_body = draft.max_body().0;
    }
    if let Some(draft) = largest.filter(|_| server.largest_body > server.max_inflight) {
        let message = format!(
            "`{}` takes bodies of up to {}, and all bodies together have {}: the largest are never taken",
            draft.path,
            bytesize::ByteSize(server.largest_body),
            bytesize::ByteSize(server.max_inflight)
        );
        let diagnostic = Diagnostic::error(draft.origin.clone(), "max-inflight", message);
        diagnostics.push(diagnostic.hint("raise `server.max_inflight`, or lower `max_body`"));
    }
    let mut routes = matchit::Router::new();
    let mut names = HashMap::new();
    for (index, EndpointBuilder { origin, .. }) in endpoints.iter().enumerate() {
        let path = &endpoints.get(index)?.path;
        if let Err(error) = routes.insert(url_path::normalized(path).into_owned(), index) {
            let message = format!("the endpoint `{path}` cannot be told apart from another: {error}");
            diagnostics.push(Diagnostic::error(origin.clone(), "endpoint", message));
        }
    }
    let endpoints: Vec<_> = endpoints
        .into_iter()
        .map(EndpointBuilder::into_endpoint)
        .collect();
    for (at, endpoint) in endpoints.iter().enumerate() {
        for (index, rule) in endpoint.rules.iter().enumerate() {
            names.insert(Arc::clone(&rule.name), (at, index));
        }
    }
    Some(RuleSet {
        generation: 0,
        sha256: String::new(),
        fingerprint: String::new(),
        files: BTreeSet::new(),
        server,
        store,
        room: deliveries,
        admin,
        log,
        endpoints,
        routes,
        names,
    })
}

/// Checks all endpoints together.
fn check_endpoints(root: Node<'_>, endpoints: &[EndpointBuilder<'_>], diagnostics: &mut Diagnostics) {
    replays::look_at(endpoints, diagnostics);
    let tls = root.given("server").and_then(|server| server.given("tls"));
    if tls.is_none_or(|tls| tls.get("client_ca").is_none()) {
        for draft in endpoints.iter().filter(|draft| draft.verifies_by("client_cert")) {
            let message = format!(
                "no client is asked for the certificate that `{}` requires",
                draft.path
            );
            let diagnostic = Diagnostic::error(draft.origin.clone(), "client-cert", message);
            diagnostics.push(diagnostic.hint("set `server.tls.client_ca` to the authority that signs them"));
        }
    }
    for draft in endpoints.iter().filter(|draft| draft.decompresses_needlessly()) {
        let message = format!(
            "`decompress_unverified` has no effect: no proof of `{}` stands in the body",
            draft.path
        );
        let diagnostic = Diagnostic::warning(draft.origin.clone(), "decompress-unverified", message);
        diagnostics.push(
            diagnostic.hint("leave it out: a body that is proved otherwise is decompressed afterwards"),
        );
    }
}

/// Compiles `rules:`, each rule on its own.
fn rules<'d>(node: Option<Node<'d>>, drafts: &mut EndpointBuilders<'d, '_>, diagnostics: &mut Diagnostics) {
    let Some(node) = node else { return };
    if !node.value().is_sequence() {
        diagnostics.push(node.error("wrong-value", "`rules` is a list: `rules:`, then `- name: …`"));
        return;
    }
    let mut names: HashMap<&'d str, Node<'d>> = HashMap::new();
    let mut agreements = Agreements::default();
    for item in node.items() {
        let name = item.get("name").and_then(|place| Some((place, place.as_str()?)));
        if let Some((place, name)) = name
            && let Some(first) = names.insert(name, place)
        {
            let line = if diagnostics.is_full() {
                0
            } else {
                first.origin().line_column().0
            };
            let message = format!("a second rule named `{name}`; the first is in line {line}");
            diagnostics.push(place.error("duplicate-rule", message));
        }
        rule::compile(item, drafts, &mut agreements, diagnostics);
    }
    agreements.finish(diagnostics);
}
