//! `endpoints:`, and builders that collect an endpoint's settings and rules until the whole file is
//! read.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use serde_yaml::Value;

use super::document::{EndpointShape, RespondShape, WaitShape};
use super::replays::DeclaredVerification;
use super::settings::DEFAULT_MAX_BODY;
use super::{limit, reads};
use crate::act::CompileContext;
use crate::base::diagnostic::{Diagnostic, Diagnostics, Origin};
use crate::base::network::Networks;
use crate::base::patterns::Patterns;
use crate::base::units::Size;
use crate::base::yaml::Node;
use crate::matching::{Condition, Matcher};
use crate::payload::Decode;
use crate::rules::{Endpoint, HandshakeVerifiers, RateLimits, Respond, Rule, Server};
use crate::store::Concurrency;
use crate::template::{Scope, Template, warn_of_values};
use crate::verify::{Reads, Recognition, SchemeContext, Verification};

/// Maximum wait for an outcome with `respond: {wait: true}`.
pub const DEFAULT_WAIT: Duration = Duration::from_secs(30);
/// Maximum length of an endpoint's path, in bytes.
const MAX_PATH: usize = 1024;
/// Maximum bytes of a path that is too long which its diagnostic shows.
const MAX_PATH_SHOWN: usize = 64;
/// Maximum parameters of an endpoint's path. The router panics from 26 on.
const MAX_PARAMETERS: usize = 20;

/// All endpoints of the file while it is being read.
pub struct EndpointBuilders<'d, 'w> {
    /// External URL of this server, as senders know it.
    pub public_url: Option<&'w str>,
    /// `server.max_body`, if the file sets it.
    max_body: Option<Size>,
    /// `server.max_inflight`, in bytes. A larger body would never be accepted.
    max_inflight: u64,
    /// Limits on deliveries that run at once.
    pub room: Concurrency,
    /// Context in which actions and templates are compiled.
    pub context: &'w CompileContext<'w>,
    /// The patterns of all conditions.
    pub patterns: &'w Patterns,
    list: Vec<EndpointBuilder<'d>>,
    by_path: HashMap<String, usize>,
}

pub struct EndpointBuilder<'d> {
    pub path: Arc<str>,
    /// Position of the first mention in the file.
    pub origin: Origin,
    pub shape: EndpointShape,
    /// The endpoint's own `verify`, used by rules that have none.
    pub verify: Option<Node<'d>>,
    pub respond: Respond,
    methods: Vec<Method>,
    /// Clients that the endpoint accepts. `None`: all.
    pub allow: Option<Networks>,
    limits: RateLimits,
    max_body: Size,
    /// Maximum to which a sender's documented body size may raise `max_body`, in bytes. `None` if
    /// the file sets `max_body`, here or for all endpoints.
    raised_to: Option<u64>,
    seen: HashMap<&'d Value, Option<usize>>,
    verifications: Vec<Verification>,
    /// Positions of the verifications, in the same order.
    origins: Vec<Origin>,
    /// Request parts that the rules of each verification read, in the same order.
    reads: Vec<Reads>,
    /// True for each verification with a rule that does not set `on_duplicate`.
    silent: Vec<bool>,
    rules: Vec<Rule>,
    conditions: Vec<Condition>,
}

impl<'d, 'w> EndpointBuilders<'d, 'w> {
    pub fn new(
        server: &'w Server,
        max_body: Option<Size>,
        room: Concurrency,
        context: &'w CompileContext<'w>,
        patterns: &'w Patterns,
    ) -> Self {
        Self {
            public_url: server.public_url.as_deref(),
            max_body,
            max_inflight: server.max_inflight,
            room,
            context,
            patterns,
            list: Vec::new(),
            by_path: HashMap::new(),
        }
    }

    /// Reads `endpoints:`.
    pub fn describe(&mut self, node: Option<Node<'d>>, diagnostics: &mut Diagnostics) {
        let Some(node) = node else { return };
        if !node.is_mapping() {
            diagnostics.push(node.error(
                "wrong-value",
                "`endpoints` maps paths to settings: `/github: {…}`",
            ));
            return;
        }
        for (path, node) in node.entries() {
            let shape = if node.value().is_null() {
                EndpointShape::default()
            } else {
                // The errors are in `diagnostics`; the endpoint's rules are still checked.
                node.read(diagnostics).unwrap_or_default()
            };
            let (public_url, context) = (self.public_url, self.context);
            let mut draft = self.draft(path, node, shape, diagnostics);
            if let Some(verify) = draft.verify {
                draft.verification(verify, public_url, context, diagnostics);
            }
            match check_path(path) {
                Ok(()) => self.add(draft),
                Err(message) => diagnostics.push(Diagnostic::error(node.key_origin(), "endpoint", message)),
            }
        }
    }

    /// Returns the index of the endpoint that a rule names. An endpoint without an entry gets the
    /// defaults.
    pub fn named(&mut self, path: &str, node: Node<'d>, diagnostics: &mut Diagnostics) -> Option<usize> {
        if let Some(index) = self.by_path.get(path) {
            return Some(*index);
        }
        if let Err(message) = check_path(path) {
            diagnostics.push(node.error("endpoint", message));
            return None;
        }
        let draft = self.draft(path, node, EndpointShape::default(), diagnostics);
        self.add(draft);
        self.by_path.get(path).copied()
    }

    /// Returns a detached endpoint, for a rule without a valid endpoint. The rest of the rule is
    /// checked against it; then it is discarded.
    pub fn nowhere(&self, node: Node<'d>) -> EndpointBuilder<'d> {
        EndpointBuilder {
            path: "".into(),
            origin: node.origin(),
            shape: EndpointShape::default(),
            verify: None,
            respond: Respond::default(),
            methods: Vec::new(),
            allow: None,
            limits: RateLimits::default(),
            max_body: self.max_body.unwrap_or(DEFAULT_MAX_BODY),
            raised_to: self.max_body.is_none().then_some(self.max_inflight),
            seen: HashMap::new(),
            verifications: Vec::new(),
            origins: Vec::new(),
            reads: Vec::new(),
            silent: Vec::new(),
            rules: Vec::new(),
            conditions: Vec::new(),
        }
    }

    fn draft(
        &self,
        path: &str,
        node: Node<'d>,
        shape: EndpointShape,
        diagnostics: &mut Diagnostics,
    ) -> EndpointBuilder<'d> {
        // For an endpoint known only from a rule, the node is the path itself and has no keys.
        let respond = respond(node.given("respond"), self.context, diagnostics);
        if let Some(place) = node.get("max_body") {
            super::settings::not_nothing(shape.max_body, place, diagnostics);
        }
        EndpointBuilder {
            path: path.into(),
            origin: node.key_origin(),
            verify: node.given("verify"),
            methods: methods(node.given("methods"), diagnostics),
            allow: node
                .given("allow")
                .and_then(|node| Networks::compile(node, "allow", diagnostics)),
            limits: node
                .given("rate_limit")
                .map(|node| limit::compile(node, diagnostics))
                .unwrap_or_default(),
            max_body: shape.max_body.or(self.max_body).unwrap_or(DEFAULT_MAX_BODY),
            raised_to: shape
                .max_body
                .or(self.max_body)
                .is_none()
                .then_some(self.max_inflight),
            respond: respond.unwrap_or_default(),
            shape,
            ..self.nowhere(node)
        }
    }

    fn add(&mut self, draft: EndpointBuilder<'d>) {
        self.by_path.insert(draft.path.to_string(), self.list.len());
        self.list.push(draft);
    }

    pub fn at(&mut self, index: usize) -> Option<&mut EndpointBuilder<'d>> {
        self.list.get_mut(index)
    }

    pub fn finish(self) -> Vec<EndpointBuilder<'d>> {
        self.list
    }
}

impl<'d> EndpointBuilder<'d> {
    /// Compiles the verification in `node`. Rules that write the same verification share one.
    pub fn verification(
        &mut self,
        node: Node<'d>,
        public_url: Option<&str>,
        context: &CompileContext<'_>,
        diagnostics: &mut Diagnostics,
    ) -> Option<usize> {
        if let Some(index) = self.seen.get(node.value()) {
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
            public_url,
            max_body: self.max_body.0,
            decompress_unverified: self.shape.decompress_unverified == Some(true),
        };
        let compiled = Verification::compile(node, &scheme_context, diagnostics);
        let index = compiled.map(|verification| {
            self.verifications.push(verification);
            self.origins.push(node.origin());
            self.reads.push(Reads::default());
            self.silent.push(false);
            self.verifications.len() - 1
        });
        self.seen.insert(node.value(), index);
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

    pub fn max_body(&self) -> Size {
        self.max_body
    }

    pub fn verification_at(&self, index: usize) -> Option<&Verification> {
        self.verifications.get(index)
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
        let all = self.verifications.iter().zip(&self.origins).zip(&self.reads);
        all.map(|((verification, origin), reads)| DeclaredVerification {
            verification,
            origin,
            reads,
        })
    }

    /// The rules of the verification at `index`.
    pub fn rules_of(&self, index: usize) -> impl Iterator<Item = &Rule> {
        self.rules.iter().filter(move |rule| rule.verification == index)
    }

    /// True if a rule of the verification at `index` does not set `on_duplicate`.
    pub fn is_silent_on_duplicates(&self, index: usize) -> bool {
        self.silent.get(index).copied().unwrap_or(false)
    }

    /// Adds a rule with its condition. `silent`: it does not set `on_duplicate`.
    pub fn add(&mut self, rule: Rule, condition: Condition, silent: bool) {
        if let Some(known) = self.silent.get_mut(rule.verification) {
            *known |= silent;
        }
        let reads = reads::of(&rule, &condition, &self.respond);
        if let Some(known) = self.reads.get_mut(rule.verification) {
            known.extend(reads);
        }
        self.rules.push(rule);
        self.conditions.push(condition);
    }

    /// Builds the endpoint that serves requests.
    pub fn into_endpoint(self) -> Endpoint {
        let mut credentials: Vec<HeaderName> =
            vec![header::AUTHORIZATION, header::COOKIE, header::PROXY_AUTHORIZATION];
        credentials.extend(
            self.verifications
                .iter()
                .flat_map(Verification::credential_headers),
        );
        credentials.sort_by(|left, right| left.as_str().cmp(right.as_str()));
        credentials.dedup();
        let queries = self
            .verifications
            .iter()
            .filter_map(Verification::credential_query);
        let mut conditions = self.conditions;
        let secret = |written: &str| match written.split_once('.') {
            Some(("header", name)) => credentials.iter().any(|header| header.as_str() == name),
            Some(("query", name)) => {
                let mut queries = self
                    .verifications
                    .iter()
                    .filter_map(Verification::credential_query);
                queries.any(|query| query.eq_ignore_ascii_case(name))
            }
            _ => false,
        };
        for condition in &mut conditions {
            condition.quieten(secret);
        }
        let recognitions = self.verifications.iter().zip(self.reads).enumerate();
        // With another type, boundary or charset, the same signed bytes decode to another payload.
        let decoding: &[HeaderName] = match self.shape.decode.unwrap_or_default() {
            Decode::Json => &[header::CONTENT_ENCODING],
            _ => &[header::CONTENT_TYPE, header::CONTENT_ENCODING],
        };
        let rules = &self.rules;
        let recognitions = recognitions.map(|(index, (verification, reads))| {
            let decoding = if reads.payload { decoding } else { &[] };
            let own = rules
                .iter()
                .filter(|rule| rule.enabled && rule.verification == index);
            let window = own.map(|rule| rule.replay_window).max();
            Recognition::new(verification, reads, decoding, window)
        });
        let recognitions = recognitions.collect();
        Endpoint {
            recognitions,
            path: self.path,
            methods: self.methods,
            allow: self.allow,
            limits: self.limits,
            max_body: self.max_body.0,
            decode: self.shape.decode.unwrap_or_default(),
            respond: self.respond,
            credential_queries: queries.map(str::to_owned).collect(),
            handshakes: HandshakeVerifiers::new(&self.verifications, &self.rules),
            verifications: self.verifications,
            rules: self.rules,
            matcher: Matcher::new(conditions),
            credentials,
        }
    }
}

/// Checks an endpoint's path. The error names the problem.
fn check_path(path: &str) -> Result<(), String> {
    if !path.starts_with('/') {
        return Err(format!("the endpoint `{path}` does not begin with `/`"));
    }
    if path.len() > MAX_PATH {
        let shown = path.get(..MAX_PATH_SHOWN).unwrap_or_default();
        return Err(format!("the endpoint `{shown}…` has more than {MAX_PATH} bytes"));
    }
    if path.matches('{').count() > MAX_PARAMETERS {
        return Err(format!(
            "the endpoint `{path}` has more than {MAX_PARAMETERS} parameters"
        ));
    }
    if path
        .bytes()
        .any(|byte| byte <= b' ' || byte == b'?' || byte == b'#' || byte >= 127)
    {
        return Err(format!(
            "the endpoint `{path}` is not a path of printable ASCII without `?` and `#`"
        ));
    }
    matchit::Router::new()
        .insert(path, ())
        .map_err(|error| format!("the endpoint `{path}`: {error}; a parameter is written `/deploy/{{app}}`"))
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
            None => diagnostics.push(crate::base::yaml::unknown(
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

/// Compiles `respond:` of an endpoint or a rule.
pub fn respond(
    node: Option<Node<'_>>,
    context: &CompileContext<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<Respond> {
    let node = node?;
    let shape: RespondShape = node.read(diagnostics)?;
    let mut respond = Respond::default();
    let place = |key: &str| node.get(key).unwrap_or(node);
    if let Some(status) = shape.status {
        match StatusCode::from_u16(status) {
            Ok(status) if status.is_success() => respond.status = status,
            _ => diagnostics.push(
                place("status")
                    .error("respond-status", format!("`{status}` is not a status of success"))
                    .hint("200 to 299; a refusal's status is not a matter of the rules"),
            ),
        }
    }
    for (name, value) in shape.headers.iter().flatten() {
        match header_line(name, value) {
            Ok((name, value)) => {
                respond.headers.insert(name, value);
            }
            Err(message) => {
                let place = place("headers");
                diagnostics.push(place.get(name).unwrap_or(place).error("respond-header", message));
            }
        }
    }
    if let Some(body) = node.given("body") {
        let content_type = respond.headers.get(header::CONTENT_TYPE);
        warn_of_values(
            body,
            content_type.and_then(|value| value.to_str().ok()),
            diagnostics,
        );
        respond.body = context
            .templates
            .read(body, Scope::Answer, context.keyring, diagnostics);
        if respond.body.as_ref().is_some_and(Template::names_secret) {
            diagnostics.push(body.warning("secret", "a secret in the answer goes to every sender"));
        }
    }
    respond.wait = match &shape.wait {
        None | Some(WaitShape::Switch(false)) => None,
        Some(WaitShape::Switch(true)) => Some(DEFAULT_WAIT),
        Some(WaitShape::AtMost(period)) => Some(period.0),
    };
    Some(respond)
}

/// Parses a response header. The error names the problem.
fn header_line(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), String> {
    let parsed: HeaderName = name
        .parse()
        .map_err(|error| format!("`{name}` is not the name of a header: {error}"))?;
    let framing = [
        header::CONTENT_LENGTH,
        header::TRANSFER_ENCODING,
        header::CONNECTION,
        header::UPGRADE,
        HeaderName::from_static("x-hookyard-status"),
    ];
    if framing.contains(&parsed) {
        return Err(format!("`{name}` is set by the server"));
    }
    let value = HeaderValue::from_str(value)
        .map_err(|error| format!("the value of `{name}` cannot stand in a header: {error}"))?;
    Ok((parsed, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_printable_and_begins_with_a_slash() {
        for good in ["/", "/github", "/deploy/{app}", "/files/{*rest}", "/a-b_c.d~e"] {
            assert_eq!(check_path(good), Ok(()), "{good}");
        }
        for wrong in [
            "", "github", "/a b", "/a?b", "/a#b", "/é", "/{", "/{a}{b}", "/{*a}/b",
        ] {
            assert!(check_path(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_answer_sets_no_header_of_the_servers_own() {
        assert!(header_line("X-Note", "thanks").is_ok());
        for (name, value) in [
            ("Content-Length", "3"),
            ("transfer-encoding", "chunked"),
            ("X-Hookyard-Status", "fine"),
            ("a b", "x"),
            ("x", "a\nb"),
        ] {
            assert!(header_line(name, value).is_err(), "{name}");
        }
    }

    #[test]
    fn a_path_has_a_bounded_number_of_parameters() {
        let path = |count: usize| {
            let parameters: Vec<String> = (0..count).map(|n| format!("/{{p{n}}}")).collect();
            parameters.concat()
        };
        assert_eq!(check_path(&path(MAX_PARAMETERS)), Ok(()));
        for count in [MAX_PARAMETERS + 1, 26, 100] {
            let message = check_path(&path(count)).unwrap_err();
            assert!(message.contains("more than 20 parameters"), "{message}");
        }
        let long = check_path(&format!("/{}", "a".repeat(5000))).unwrap_err();
        assert!(
            long.contains("more than 1024 bytes") && long.len() < 200,
            "{long}"
        );
    }
}
