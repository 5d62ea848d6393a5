//! Compiler from the parsed file to the [`RuleSet`]. Each section, endpoint and rule is read on its
//! own, so that one error does not hide another.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::cross_checks::CrossChecks;
use super::defaults::Defaults;
use super::document::RulesFile;
use super::endpoint::EndpointBuilder;
use super::endpoints::EndpointBuilders;
use super::{admin, lint, node, replays, rule, rule_source, settings, shared, store};
use crate::act::CompileContext;
use crate::base::diagnostic::{Diagnostic, Diagnostics};
use crate::base::patterns::Patterns;
use crate::base::secret::Keyring;
use crate::base::units::Size;
use crate::base::url_path;
use crate::base::written::Written;
use crate::base::yaml::{Document, Node};
use crate::rules::{Endpoint, ExpectedArrival, RuleSet, Server};
use crate::template::Templates;
use crate::verify::{Definitions, SchemeContext, Verification};

/// Hint for a file without the key `rules`.
const NO_RULES: &str = "a rules file without rules says so: `rules: []`";

/// Compiles the main file, which is the first document, with the files that it includes. The result
/// is usable only if `diagnostics` holds no errors.
pub fn compile(documents: &[Document], keyring: &Keyring, diagnostics: &mut Diagnostics) -> Option<RuleSet> {
    let root = documents.first()?.root();
    if root.value().is_null() {
        // An empty file may be a half-written one, so it never means "no rules".
        diagnostics.push(root.error("empty", "the file is empty").hint(NO_RULES));
        return None;
    }
    let _shape: RulesFile = root.read(diagnostics)?;
    if let Some(diagnostic) = root.missing("rules").filter(|_| root.get("include").is_none()) {
        diagnostics.push(diagnostic.hint(NO_RULES));
    }
    let (mut server, max_body) = settings::server(root.given("server"), keyring, diagnostics);
    let node = node::node_name(root.given("node"), keyring, diagnostics);
    let store = store::compile(root.given("store"), &node, keyring, diagnostics);
    let mut wanted = settings::deliveries(root.given("deliveries"), diagnostics);
    let admin = admin::compile(root.given("admin"), has_tls(root), keyring, diagnostics);
    let reload = settings::reload(root.given("reload"), diagnostics);
    let log = settings::log(root.given("log"), keyring, diagnostics);

    let schemes = schemes(documents, keyring, &server, diagnostics);
    // The secrets of templates are known by their names, and a name is relative to the file.
    let templates: Vec<Templates> = documents.iter().map(|_| Templates::new()).collect();
    let context = |templates| CompileContext {
        keyring,
        templates,
        schemes: &schemes,
        excludes_dash: None,
        timeout: None,
    };
    let mut contexts: Vec<CompileContext<'_>> = templates.iter().map(context).collect();
    let defaults = Defaults::read(root.given("defaults"), &wanted, contexts.first()?, diagnostics);
    for context in &mut contexts {
        context.timeout = defaults.timeout();
    }
    let patterns = Patterns::default();
    let mut builders = EndpointBuilders::new(
        &server,
        max_body,
        &wanted,
        &defaults,
        contexts.first()?,
        &patterns,
    );
    let files = || documents.iter().map(Document::root).zip(&contexts);
    for (root, context) in files() {
        builders.context = context;
        builders.read(root.given("endpoints"), diagnostics);
    }
    let mut rules = Rules::default();
    for (root, context) in files() {
        builders.context = context;
        rules.read(root.given("rules"), &mut builders, diagnostics);
    }
    rules.cross_checks.finish(diagnostics);

    let mut builders = builders.finish();
    if !diagnostics.has_errors() {
        diagnostics.extend(schemes.unused());
        check_use(&builders, diagnostics);
        for builder in &builders {
            builder.check_answers(diagnostics);
        }
        lint::check(&builders, diagnostics);
        shared::check(root, &builders, diagnostics);
    }
    replays::check(&builders, diagnostics);
    check_client_certificates(root, &builders, diagnostics);
    check_decompression(&builders, diagnostics);
    check_largest_body(&mut server, &builders, diagnostics);
    let routes = routes(&builders, diagnostics);
    let (expected, silences) = expected(&mut builders);
    let endpoints = builders.into_iter().map(EndpointBuilder::into_endpoint);
    let mut endpoints: Vec<Endpoint> = endpoints.collect();
    rule_source::attach(documents, &mut endpoints, &keyring.literals());
    wanted.light_rules = light_rules(&endpoints, &expected);
    let mut rules = RuleSet {
        generation: 0,
        sha256: String::new(),
        fingerprint: String::new(),
        files: BTreeSet::new(),
        includes: Vec::new(),
        server,
        store,
        node,
        wanted,
        admin,
        reload,
        log,
        names: names(&endpoints),
        expected,
        silences,
        written: written_beside_rules(documents),
        endpoints,
        routes,
    };
    rules.wanted.rules = rules.performed();
    Some(rules)
}

/// True if `server.tls` is set, although it may be wrong.
fn has_tls(root: Node<'_>) -> bool {
    root.given("server")
        .is_some_and(|server| server.given("tls").is_some())
}

/// Everything that is written beside the rules.
fn written_beside_rules(documents: &[Document]) -> Written {
    let entries = documents.iter().flat_map(|document| document.root().entries());
    let beside = entries.filter(|(key, _)| *key != "rules");
    Written::of(beside.map(|(key, node)| (key, node.value())).collect::<Vec<_>>())
}

/// Expected arrivals, and the names of the rules of their `on_silence`.
type Expected = (Vec<ExpectedArrival>, HashMap<Arc<str>, (usize, usize)>);

/// Collects the expected arrivals of all endpoints.
fn expected(builders: &mut [EndpointBuilder<'_>]) -> Expected {
    let (mut all, mut silences) = (Vec::new(), HashMap::new());
    for (endpoint, builder) in builders.iter_mut().enumerate() {
        for expected in builder.take_expected() {
            if let Some(rule) = &expected.on_silence {
                silences.insert(Arc::clone(&rule.name), (endpoint, all.len()));
            }
            all.push(expected);
        }
    }
    (all, silences)
}

/// Names of the light rules.
fn light_rules(endpoints: &[Endpoint], expected: &[ExpectedArrival]) -> Arc<HashSet<Arc<str>>> {
    let rules = endpoints.iter().flat_map(|endpoint| &endpoint.rules);
    let rules = rules.chain(expected.iter().filter_map(|one| one.on_silence.as_ref()));
    let light = rules.filter(|rule| rule.is_light);
    Arc::new(light.map(|rule| Arc::clone(&rule.name)).collect())
}

/// Reads `schemes:` of all files, and checks each scheme as a rule would use it.
fn schemes<'d>(
    documents: &'d [Document],
    keyring: &Keyring,
    server: &Server,
    diagnostics: &mut Diagnostics,
) -> Definitions<'d> {
    let nodes = documents
        .iter()
        .filter_map(|document| document.root().given("schemes"));
    let schemes = Definitions::read(nodes, diagnostics);
    let context = SchemeContext {
        keyring,
        schemes: &schemes,
        public_url: server.public_url.as_deref(),
        max_body: u64::MAX,
        decompress_unverified: false,
        beside_others: false,
    };
    Verification::check_definitions(&context, diagnostics);
    schemes
}

/// Reports endpoints that verify client certificates although no client is asked for one.
fn check_client_certificates(
    root: Node<'_>,
    builders: &[EndpointBuilder<'_>],
    diagnostics: &mut Diagnostics,
) {
    let tls = root.given("server").and_then(|server| server.given("tls"));
    if tls.is_some_and(|tls| tls.get("client_ca").is_some()) {
        return;
    }
    for builder in builders
        .iter()
        .filter(|builder| builder.verifies_by("client_cert"))
    {
        let message = format!(
            "no client is asked for the certificate that `{}` requires",
            builder.path
        );
        let diagnostic = Diagnostic::error(builder.origin.clone(), "client-cert", message);
        diagnostics.push(diagnostic.hint("set `server.tls.client_ca` to the authority that signs them"));
    }
}

/// Warns of endpoints that no rule names, such as `/github` beside a rule for `/hooks/github`.
fn check_use(builders: &[EndpointBuilder<'_>], diagnostics: &mut Diagnostics) {
    for builder in builders.iter().filter(|builder| !builder.has_rules()) {
        let message = format!("no rule has the endpoint `{}`", builder.path);
        let diagnostic = Diagnostic::warning(builder.origin.clone(), "unused-endpoint", message);
        diagnostics.push(diagnostic.hint(format!(
            "write `endpoint: {}` in a rule, or remove it: its settings hold for no other path",
            builder.path
        )));
    }
}

/// Warns of endpoints that allow decompression before verification without a need.
fn check_decompression(builders: &[EndpointBuilder<'_>], diagnostics: &mut Diagnostics) {
    for builder in builders
        .iter()
        .filter(|builder| builder.decompresses_needlessly())
    {
        let message = format!(
            "`decompress_unverified` has no effect: no proof of `{}` stands in the body",
            builder.path
        );
        let diagnostic = Diagnostic::warning(builder.origin.clone(), "decompress-unverified", message);
        diagnostics.push(
            diagnostic.hint("leave it out: a body that is proved otherwise is decompressed afterwards"),
        );
    }
}

/// Stores the largest `max_body` of all endpoints. Reports if no such body fits into
/// `max_inflight`.
fn check_largest_body(server: &mut Server, builders: &[EndpointBuilder<'_>], diagnostics: &mut Diagnostics) {
    let Some(builder) = builders.iter().max_by_key(|builder| builder.max_body().0) else {
        return;
    };
    server.largest_body = builder.max_body().0;
    if server.largest_body > server.max_inflight {
        let message = format!(
            "`{}` takes bodies of up to {}, and all bodies together have {}: the largest are never taken",
            builder.path,
            Size(server.largest_body),
            Size(server.max_inflight)
        );
        let diagnostic = Diagnostic::error(builder.origin.clone(), "max-inflight", message);
        diagnostics.push(diagnostic.hint("raise `server.max_inflight`, or lower `max_body`"));
    }
}

/// Builds the router from paths to endpoints. Reports paths that it cannot tell apart.
fn routes(builders: &[EndpointBuilder<'_>], diagnostics: &mut Diagnostics) -> matchit::Router<usize> {
    let mut routes = matchit::Router::new();
    for (index, EndpointBuilder { path, origin, .. }) in builders.iter().enumerate() {
        if let Err(error) = routes.insert(url_path::normalized(path).into_owned(), index) {
            let message = format!("the endpoint `{path}` cannot be told apart from another: {error}");
            diagnostics.push(Diagnostic::error(origin.clone(), "endpoint", message));
        }
    }
    routes
}

/// Indexes the rules by name.
fn names(endpoints: &[Endpoint]) -> HashMap<Arc<str>, (usize, usize)> {
    let mut names = HashMap::new();
    for (endpoint_index, endpoint) in endpoints.iter().enumerate() {
        for (index, rule) in endpoint.rules.iter().enumerate() {
            names.insert(Arc::clone(&rule.name), (endpoint_index, index));
        }
    }
    names
}

/// The rules of all files.
#[derive(Default)]
struct Rules<'d> {
    /// Places of the names.
    names: HashMap<&'d str, Node<'d>>,
    cross_checks: CrossChecks,
}

impl<'d> Rules<'d> {
    /// Compiles `rules:` of a file, each rule on its own.
    fn read(
        &mut self,
        node: Option<Node<'d>>,
        builders: &mut EndpointBuilders<'d, '_>,
        diagnostics: &mut Diagnostics,
    ) {
        let Some(node) = node else { return };
        if !node.value().is_sequence() {
            diagnostics.push(node.error("wrong-value", "`rules` is a list: `rules:`, then `- name: …`"));
            return;
        }
        for item in node.items() {
            let name = item.get("name");
            if let Some((place, name)) = name.and_then(|place| Some((place, place.as_str()?)))
                && let Some(first) = self.names.insert(name, place)
            {
                // Finding a place scans the whole file.
                let first = if diagnostics.is_full() {
                    String::new()
                } else {
                    first.origin().seen_from(&place.origin())
                };
                let message = format!("a second rule named `{name}`; the first is in {first}");
                diagnostics.push(place.error("duplicate-rule", message));
            }
            rule::compile(item, builders, &mut self.cross_checks, diagnostics);
        }
    }
}
