//! An endpoint while the file is being read: its settings, verifications and rules.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;

use http::{HeaderName, Method, header};
use serde_yaml::Value;

use super::document::{EndpointKeepShape, EndpointShape};
use super::early_answers::EarlyAnswers;
use super::settings::{DEFAULT_MAX_BODY, parse_public_url, reject_zero};
use super::{expectation, limit, reads, respond};
use crate::act::CompileContext;
use crate::base::diagnostic::{Diagnostics, Origin};
use crate::base::json_plan::Plan;
use crate::base::network::Networks;
use crate::base::units::Size;
use crate::base::yaml::{self, Node};
use crate::matching::{Condition, Matcher};
use crate::payload::{Decode, Unpack};
use crate::rules::{
    Alternative, AnswerKind, Endpoint, ExpectedArrival, HandshakeVerifiers, RateLimits, Respond, Rule,
};
use crate::store::{ExpectationSubject, PerRing};
use crate::verify::{
    Alternatives, Mode, Reads, Recognition, SchemeContext, Verification, handshake_conflict,
};

pub struct EndpointBuilder<'d> {
    pub path: Arc<str>,
    /// Position of the first mention in the file.
    pub origin: Origin,
    pub shape: EndpointShape,
    /// The endpoint's own `verify`, used by rules that have none.
    pub verify: Option<Node<'d>>,
    pub respond: Respond,
    /// Its `respond`, if it has one.
    respond_node: Option<Node<'d>>,
    pub early_answers: EarlyAnswers<'d>,
    /// External URL of the endpoint's server, if it is not that of `server`.
    public_url: Option<String>,
    methods: Vec<Method>,
    /// Clients that the endpoint accepts. `None`: all.
    pub allow: Option<Networks>,
    limits: RateLimits,
    keep: PerRing<Option<usize>>,
    /// Fields of the payload that are unpacked.
    pub unpack: Option<Unpack>,
    /// Ways to unpack payloads that rules add, each on top of that of the endpoint.
    pub views: Vec<Unpack>,
    max_body: Size,
    /// Maximum to which a sender's documented body size may raise `max_body`, in bytes. `None` if
    /// the file sets `max_body`, here or for all endpoints.
    raised_to: Option<u64>,
    /// The verifications by what they are made from. Equal texts in two folders name different files.
    seen: HashMap<(&'d Value, Mode, Option<&'d Path>), Option<usize>>,
    verifications: Vec<Verification>,
    /// Positions of the verifications, in the same order.
    origins: Vec<Origin>,
    /// Request parts that the rules of each verification read, in the same order.
    reads: Vec<Reads>,
    /// Those of rules that do not allow a note about them.
    noted: Vec<Reads>,
    /// True for each verification with a rule that does not set `on_duplicate`.
    silent: Vec<bool>,
    rules: Vec<Rule>,
    /// Mappings of the rules, in the same order.
    nodes: Vec<Node<'d>>,
    conditions: Vec<Condition>,
    /// Its own expectation, and those of its enabled rules.
    expected: Vec<ExpectedArrival>,
}

/// Limits on bodies that hold for all endpoints.
#[derive(Clone, Copy)]
pub struct BodyLimits {
    /// `server.max_body`, if the file sets it.
    pub max_body: Option<Size>,
    /// `server.max_inflight`, in bytes. A larger body would never be accepted.
    pub max_inflight: u64,
}

/// A verification as an endpoint writes it.
pub struct DeclaredVerification<'v> {
    pub verification: &'v Verification,
    pub origin: &'v Origin,
    /// Request parts that its rules read, unless they allow it.
    pub reads: &'v Reads,
}

impl<'d> EndpointBuilder<'d> {
    /// Reads the settings of the endpoint at `path`. For an endpoint known only from a rule, `node`
    /// is the path itself and has no keys.
    pub fn new(
        path: &str,
        node: Node<'d>,
        shape: EndpointShape,
        limits: BodyLimits,
        context: &CompileContext<'_>,
        diagnostics: &mut Diagnostics,
    ) -> Self {
        let respond = respond::compile(node.given("respond"), None, context, diagnostics);
        if let Some(max_body) = node.get("max_body") {
            reject_zero(shape.max_body, max_body, diagnostics);
        }
        let max_body = shape.max_body.or(limits.max_body);
        let subject = ExpectationSubject::Endpoint(path.into());
        let every = shape.expect_every;
        let expected = expectation::compile(node, every, subject, &path.into(), context, diagnostics);
        Self {
            expected: expected.into_iter().collect(),
            path: path.into(),
            origin: node.key_origin(),
            verify: node.given("verify"),
            public_url: public_url(node, shape.public_url.as_deref(), diagnostics),
            methods: methods(node.given("methods"), diagnostics),
            allow: node
                .given("allow")
                .and_then(|node| Networks::compile(node, "allow", diagnostics)),
            limits: node
                .given("rate_limit")
                .map(|node| limit::compile(node, diagnostics))
                .unwrap_or_default(),
            keep: node
                .given("keep")
                .map(|node| keep(node, diagnostics))
                .unwrap_or_default(),
            max_body: max_body.unwrap_or(DEFAULT_MAX_BODY),
            raised_to: max_body.is_none().then_some(limits.max_inflight),
            respond,
            respond_node: node.given("respond"),
            shape,
            ..Self::detached(node, limits)
        }
    }

    pub fn has_rules(&self) -> bool {
        !self.rules.is_empty()
    }

    /// An endpoint without a path and without settings.
    pub fn detached(node: Node<'d>, limits: BodyLimits) -> Self {
        Self {
            path: "".into(),
            origin: node.origin(),
            shape: EndpointShape::default(),
            verify: None,
            respond: Respond::default(),
            respond_node: None,
            early_answers: EarlyAnswers::default(),
            public_url: None,
            methods: Vec::new(),
            allow: None,
            limits: RateLimits::default(),
            keep: PerRing::default(),
            unpack: None,
            views: Vec::new(),
            max_body: limits.max_body.unwrap_or(DEFAULT_MAX_BODY),
            raised_to: limits.max_body.is_none().then_some(limits.max_inflight),
            seen: HashMap::new(),
            verifications: Vec::new(),
            origins: Vec::new(),
            reads: Vec::new(),
            noted: Vec::new(),
            silent: Vec::new(),
            rules: Vec::new(),
            nodes: Vec::new(),
            conditions: Vec::new(),
            expected: Vec::new(),
        }
    }

    /// Compiles the alternatives of the `verify` in `node`. Rules that write the same verification
    /// share one. `None` if one of them is invalid.
    pub fn verification(
        &mut self,
        node: Node<'d>,
        public_url: Option<&str>,
        context: &CompileContext<'_>,
        diagnostics: &mut Diagnostics,
    ) -> Option<Vec<usize>> {
        let read = Alternatives::read(node, diagnostics)?;
        let mut indices = Vec::with_capacity(read.nodes.len());
        for alternative in read.nodes {
            indices.push(self.alternative(alternative, read.mode, public_url, context, diagnostics));
        }
        let indices: Vec<usize> = indices.into_iter().collect::<Option<_>>()?;
        let alternatives: Vec<&Verification> = self.verifications_at(&indices).collect();
        if let Some(conflict) = handshake_conflict(&alternatives) {
            diagnostics.push(
                node.error("handshake", conflict)
                    .hint("list both secrets in one alternative: `secret: [env:NEW, env:OLD]`"),
            );
        }
        Some(indices)
    }

    /// Compiles one alternative, with the mode that stands beside all of them.
    fn alternative(
        &mut self,
        node: Node<'d>,
        mode: Option<Mode>,
        public_url: Option<&str>,
        context: &CompileContext<'_>,
        diagnostics: &mut Diagnostics,
    ) -> Option<usize> {
        let folder = node.path().parent();
        let key = (node.value(), mode.unwrap_or_default(), folder);
        if let Some(index) = self.seen.get(&key) {
            return *index;
        }
        if let (Some(largest), Some(most)) =
            (Verification::largest_body(node, context.schemes), self.raised_to)
        {
            self.max_body = Size(self.max_body.0.max(largest.min(most)));
        }
        let scheme_context = SchemeContext {
            keyring: context.keyring,
            schemes: context.schemes,
            public_url: self.public_url.as_deref().or(public_url),
            max_body: self.max_body.0,
            decompress_unverified: self.shape.decompress_unverified == Some(true),
            beside_others: false,
        };
        let compiled = Verification::compile_alternative(node, mode, &scheme_context, diagnostics);
        let index = compiled.map(|verification| {
            self.verifications.push(verification);
            self.origins.push(node.origin());
            self.reads.push(Reads::default());
            self.noted.push(Reads::default());
            self.silent.push(false);
            self.verifications.len() - 1
        });
        self.seen.insert(key, index);
        index
    }

    /// True if a verification of this endpoint is of this family.
    pub fn verifies_by(&self, family: &str) -> bool {
        self.verifications.iter().any(|known| known.family() == family)
    }

    /// True if the endpoint allows decompression before verification, and no verification needs it.
    pub fn decompresses_needlessly(&self) -> bool {
        self.shape.decompress_unverified == Some(true)
            && !self.verifications.iter().any(Verification::reads_unverified)
    }

    /// Reports answers of the endpoint that are never given, because no rule waits, and actions in
    /// them that a rule does not have.
    pub fn check_answers(&self, diagnostics: &mut Diagnostics) {
        if self.has_rules() && !self.rules.iter().any(Rule::is_awaited) {
            respond::check_wait(self.respond_node, diagnostics);
        }
        for rule in &self.rules {
            respond::check_actions(self.respond_node, &self.respond, rule, diagnostics);
        }
    }

    pub fn max_body(&self) -> Size {
        self.max_body
    }

    /// The verifications at these indices.
    pub fn verifications_at(&self, indices: &[usize]) -> impl Iterator<Item = &Verification> {
        indices.iter().filter_map(|index| self.verifications.get(*index))
    }

    /// Names of the path's parameters: `app` of `/deploy/{app}`.
    pub fn parameters(&self) -> Vec<&str> {
        // `{{` and `}}` are escaped braces.
        let mut names = Vec::new();
        let mut rest = &*self.path;
        while let Some((_, after)) = rest.split_once('{') {
            if let Some(escaped) = after.strip_prefix('{') {
                rest = escaped;
                continue;
            }
            let Some((name, next)) = after.split_once('}') else {
                break;
            };
            names.push(name.trim_start_matches('*'));
            rest = next;
        }
        names
    }

    /// The verifications with their positions and the parts that their rules read.
    pub fn written(&self) -> impl Iterator<Item = DeclaredVerification<'_>> {
        let all = self.verifications.iter().zip(&self.origins).zip(&self.noted);
        all.map(|((verification, origin), reads)| DeclaredVerification {
            verification,
            origin,
            reads,
        })
    }

    /// Pairs of alternatives of a rule of which the first one weakens the second one.
    pub fn weak_alternatives(&self) -> BTreeSet<(usize, usize)> {
        let mut pairs = BTreeSet::new();
        for rule in self.rules.iter().filter(|rule| rule.alternatives.len() > 1) {
            let indices = || rule.alternatives.iter().map(|known| known.verification);
            let all = indices().flat_map(|weak| indices().map(move |strong| (weak, strong)));
            let weakens = |(weak, strong): &(usize, usize)| {
                let at = |index: usize| self.verifications.get(index);
                at(*weak)
                    .zip(at(*strong))
                    .is_some_and(|(weak, strong)| weak.weakens(strong))
            };
            pairs.extend(all.filter(weakens));
        }
        pairs
    }

    /// The rules of the verification at `index`.
    pub fn rules_of(&self, index: usize) -> impl Iterator<Item = &Rule> {
        self.rules
            .iter()
            .filter(move |rule| rule.alternative(index).is_some())
    }

    /// The rules with their mappings.
    pub fn rules_with_nodes(&self) -> impl Iterator<Item = (&Rule, Node<'d>)> {
        self.rules.iter().zip(self.nodes.iter().copied())
    }

    /// True if a rule of the verification at `index` does not set `on_duplicate`.
    pub fn is_silent_on_duplicates(&self, index: usize) -> bool {
        self.silent.get(index).copied().unwrap_or(false)
    }

    /// Adds a rule with its condition. `silent`: it does not set `on_duplicate`.
    pub fn add(&mut self, rule: Rule, node: Node<'d>, condition: Condition, silent: bool) {
        let reads = reads::of(&rule, &condition, &self.respond, &self.methods);
        for Alternative { verification, .. } in &rule.alternatives {
            if let Some(known) = self.silent.get_mut(*verification) {
                *known |= silent;
            }
            if let Some(known) = self.reads.get_mut(*verification) {
                known.extend(reads.clone());
            }
            let noted = self.noted.get_mut(*verification);
            if let Some(noted) = noted.filter(|_| !rule.allows_warning("unsigned-part")) {
                noted.extend(reads.clone());
            }
        }
        self.rules.push(rule);
        self.nodes.push(node);
        self.conditions.push(condition);
    }

    /// Adds the expectation of a rule.
    pub fn expect(&mut self, expected: ExpectedArrival) {
        self.expected.push(expected);
    }

    /// Takes the expectations. An endpoint without an enabled rule verifies no request, so none is
    /// expected there.
    pub fn take_expected(&mut self) -> Vec<ExpectedArrival> {
        let mut expected = std::mem::take(&mut self.expected);
        if !self.rules.iter().any(|rule| rule.enabled) {
            expected.clear();
        }
        expected
    }

    /// Builds the endpoint that serves requests.
    pub fn into_endpoint(mut self) -> Endpoint {
        let credentials = self.credential_headers();
        let credential_queries: Vec<String> = self
            .verifications
            .iter()
            .filter_map(Verification::credential_query)
            .map(str::to_owned)
            .collect();
        let is_secret = |written: &str| match written.split_once('.') {
            Some(("header", name)) => credentials.iter().any(|header| header.as_str() == name),
            Some(("query", name)) => credential_queries
                .iter()
                .any(|query| query.eq_ignore_ascii_case(name)),
            _ => false,
        };
        for condition in &mut self.conditions {
            condition.redact(is_secret);
        }
        let mut matcher = Matcher::new(std::mem::take(&mut self.conditions));
        let plan = Arc::new(self.plan(&matcher));
        matcher.read_by(&plan);
        let states_early = |rule: &Rule| {
            let mut kinds = AnswerKind::KEYED.into_iter();
            kinds.any(|kind| kind.is_before_a_rule() && rule.respond.of(kind).is_some())
        };
        let rules = self.rules.iter().enumerate();
        let early_answering = rules
            .filter(|(_, rule)| states_early(rule))
            .map(|(index, _)| index);
        Endpoint {
            early_answering: early_answering.collect(),
            plan,
            recognitions: self.recognitions(),
            expect_every: self.shape.expect_every.map(|every| every.0),
            path: self.path,
            methods: self.methods,
            allow: self.allow,
            limits: self.limits,
            max_body: self.max_body.0,
            decode: self.shape.decode.unwrap_or_default(),
            unpack: self.unpack,
            views: self.views,
            respond: self.respond,
            keep: self.keep,
            credential_queries,
            handshakes: HandshakeVerifiers::new(&self.verifications, &self.rules),
            verifications: self.verifications,
            rules: self.rules,
            matcher,
            credentials,
        }
    }

    /// Values of a JSON payload that are read before an event is answered.
    fn plan(&self, matcher: &Matcher) -> Plan {
        let mut plan = Plan::default();
        matcher.add_to(&mut plan);
        // A view is unpacked, and so read as a whole.
        let rules = || self.rules.iter().filter(|rule| rule.view.is_none());
        let groups = rules().filter_map(|rule| rule.concurrency.as_ref());
        let groups = groups.filter_map(|group| group.group.as_ref());
        let responds = rules().map(|rule| &rule.respond);
        let answers = responds.chain([&self.respond]).flat_map(Respond::templates);
        let event_names = rules().filter_map(|rule| rule.event_name.as_deref());
        event_names.for_each(|name| name.add_to(&mut plan));
        for template in groups.chain(answers) {
            template.add_to(&mut plan);
        }
        plan
    }

    /// Headers that carry a credential, in the order of their names.
    fn credential_headers(&self) -> Vec<HeaderName> {
        let mut headers = vec![header::AUTHORIZATION, header::COOKIE, header::PROXY_AUTHORIZATION];
        let declared = self.verifications.iter();
        headers.extend(declared.flat_map(Verification::credential_headers));
        headers.sort_by(|left, right| left.as_str().cmp(right.as_str()));
        headers.dedup();
        headers
    }

    /// The deduplication of the events of each verification, in the same order.
    fn recognitions(&mut self) -> Vec<Recognition> {
        // With another type, boundary or charset, the same signed bytes decode to another payload.
        let decoding: &[HeaderName] = match self.shape.decode.unwrap_or_default() {
            Decode::Json => &[header::CONTENT_ENCODING],
            _ => &[header::CONTENT_TYPE, header::CONTENT_ENCODING],
        };
        let reads = std::mem::take(&mut self.reads);
        let verifications = self.verifications.iter().zip(reads).enumerate();
        let recognition = |(index, (verification, reads)): (usize, (&Verification, Reads))| {
            let decoding = if reads.payload { decoding } else { &[] };
            let enabled = self.rules_of(index).filter(|rule| rule.enabled);
            let alternatives = enabled.filter_map(|rule| rule.alternative(index));
            let window = alternatives.map(|alternative| alternative.replay_window).max();
            Recognition::new(verification, reads, decoding, window)
        };
        verifications.map(recognition).collect()
    }
}

/// Compiles `keep:` of an endpoint.
fn keep(node: Node<'_>, diagnostics: &mut Diagnostics) -> PerRing<Option<usize>> {
    let shape: EndpointKeepShape = node.read(diagnostics).unwrap_or_default();
    PerRing {
        ignored: shape.ignored.map(|records| records as usize),
        refused: shape.refused.map(|records| records as usize),
    }
}

/// Compiles `public_url:`.
fn public_url(node: Node<'_>, given: Option<&str>, diagnostics: &mut Diagnostics) -> Option<String> {
    match parse_public_url(given?) {
        Ok(url) => Some(url),
        Err(message) => {
            let place = node.get("public_url").unwrap_or(node);
            diagnostics.push(place.error("public-url", message));
            None
        }
    }
}

/// Compiles `methods:`. Default: POST.
fn methods(node: Option<Node<'_>>, diagnostics: &mut Diagnostics) -> Vec<Method> {
    let Some(node) = node else {
        return vec![Method::POST];
    };
    let known = [
        Method::GET,
        Method::POST,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
        Method::HEAD,
    ];
    if !node.value().is_sequence() {
        let diagnostic = node.error("wrong-value", "`methods` is a list");
        diagnostics.push(diagnostic.hint("write `methods: [POST]`"));
        return Vec::new();
    }
    let items = node.items();
    if items.is_empty() {
        diagnostics.push(node.error("methods", "no method: nothing could ever arrive"));
    }
    let mut methods = Vec::new();
    for item in items {
        let Some(text) = item.as_str() else {
            diagnostics.push(item.error("unknown-method", "a method is a word, such as `POST`"));
            continue;
        };
        match known.iter().find(|method| method.as_str() == text) {
            Some(method) => methods.push(method.clone()),
            None => diagnostics.push(yaml::unknown(
                item.origin(),
                "unknown-method",
                "method",
                text,
                known.iter().map(Method::as_str),
            )),
        }
    }
    methods
}
