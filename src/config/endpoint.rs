//! `endpoints:`, and what its rules add to an endpoint while they are read.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use serde_yaml::Value;

use super::document::{EndpointShape, RespondShape, Wait};
use crate::act::Workshop;
use crate::diagnostic::{Findings, Origin};
use crate::matching::{Condition, Matcher};
use crate::rules::{Endpoint, Respond, Rule};
use crate::template::Scope;
use crate::units::Size;
use crate::verify::Verification;
use crate::yaml::Node;

/// How long `respond: {wait: true}` waits.
pub const DEFAULT_WAIT: Duration = Duration::from_secs(30);
/// The longest path of an endpoint, in bytes.
const MAX_PATH: usize = 1024;

/// All endpoints while they are being read.
pub struct Drafts<'d, 'w> {
    public_url: Option<&'w str>,
    max_body: Size,
    /// What actions and templates are made with.
    pub workshop: &'w Workshop<'w>,
    list: Vec<Draft<'d>>,
    by_path: HashMap<String, usize>,
}

/// An endpoint while it is being read.
pub struct Draft<'d> {
    /// Its path.
    pub path: Arc<str>,
    /// Where it was first named.
    pub origin: Origin,
    /// What the file says of it.
    pub shape: EndpointShape,
    /// Its own `verify`, for rules that have none.
    pub verify: Option<Node<'d>>,
    /// How it answers.
    pub respond: Respond,
    methods: Vec<Method>,
    max_body: Size,
    seen: HashMap<&'d Value, Option<usize>>,
    verifications: Vec<Verification>,
    rules: Vec<Rule>,
    conditions: Vec<Condition>,
}

impl<'d, 'w> Drafts<'d, 'w> {
    /// None yet.
    pub fn new(public_url: Option<&'w str>, max_body: Size, workshop: &'w Workshop<'w>) -> Self {
        Self {
            public_url,
            max_body,
            workshop,
            list: Vec::new(),
            by_path: HashMap::new(),
        }
    }

    /// Reads `endpoints:`.
    pub fn describe(&mut self, node: Option<Node<'d>>, findings: &mut Findings) {
        let Some(node) = node else { return };
        if !node.is_mapping() {
            findings.push(node.error(
                "wrong-value",
                "`endpoints` maps paths to settings: `/github: {…}`",
            ));
            return;
        }
        for (path, node) in node.entries() {
            let shape = if node.value().is_null() {
                Some(EndpointShape::default())
            } else {
                node.read(findings)
            };
            let Some(shape) = shape else { continue };
            if let Err(message) = check_path(path) {
                findings.push(crate::diagnostic::Finding::error(
                    node.key_origin(),
                    "endpoint",
                    message,
                ));
                continue;
            }
            let index = self.add(path, node, shape, findings);
            if let Some(draft) = self.list.get_mut(index)
                && let Some(verify) = draft.verify
            {
                draft.verification(verify, self.public_url, self.workshop, findings);
            }
        }
    }

    /// The endpoint that a rule names; one that nobody described gets the defaults.
    pub fn named(&mut self, path: &str, node: Node<'d>, findings: &mut Findings) -> Option<usize> {
        if let Some(index) = self.by_path.get(path) {
            return Some(*index);
        }
        if let Err(message) = check_path(path) {
            findings.push(node.error("endpoint", message));
            return None;
        }
        Some(self.add(path, node, EndpointShape::default(), findings))
    }

    fn add(&mut self, path: &str, node: Node<'d>, shape: EndpointShape, findings: &mut Findings) -> usize {
        let respond = respond(
            shape.respond.as_ref(),
            node.get("respond"),
            self.workshop,
            findings,
        );
        let draft = Draft {
            path: path.into(),
            origin: node.key_origin(),
            verify: node.get("verify").filter(|_| node.is_mapping()),
            methods: methods(shape.methods.as_deref(), node, findings),
            max_body: shape.max_body.unwrap_or(self.max_body),
            respond: respond.unwrap_or_default(),
            shape,
            seen: HashMap::new(),
            verifications: Vec::new(),
            rules: Vec::new(),
            conditions: Vec::new(),
        };
        self.by_path.insert(path.to_owned(), self.list.len());
        self.list.push(draft);
        self.list.len() - 1
    }

    /// The draft at `index`, with what compiling needs beside it.
    pub fn at(&mut self, index: usize) -> Option<(&mut Draft<'d>, Option<&'w str>, &'w Workshop<'w>)> {
        let (public_url, workshop) = (self.public_url, self.workshop);
        self.list
            .get_mut(index)
            .map(|draft| (draft, public_url, workshop))
    }

    /// All of them.
    pub fn finish(self) -> Vec<Draft<'d>> {
        self.list
    }
}

impl<'d> Draft<'d> {
    /// The verification that `node` writes: compiled once, however many rules write the same.
    pub fn verification(
        &mut self,
        node: Node<'d>,
        public_url: Option<&str>,
        workshop: &Workshop<'_>,
        findings: &mut Findings,
    ) -> Option<usize> {
        if let Some(index) = self.seen.get(node.value()) {
            return *index;
        }
        let compiled = Verification::compile(node, workshop.keyring, public_url, findings);
        let index = compiled.map(|verification| {
            self.verifications.push(verification);
            self.verifications.len() - 1
        });
        self.seen.insert(node.value(), index);
        index
    }

    /// The verification at `index`.
    pub fn verification_at(&self, index: usize) -> Option<&Verification> {
        self.verifications.get(index)
    }

    /// Adds a rule with its conditions.
    pub fn add(&mut self, rule: Rule, condition: Condition) {
        self.rules.push(rule);
        self.conditions.push(condition);
    }

    /// The endpoint as requests will meet it.
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
        Endpoint {
            path: self.path,
            methods: self.methods,
            max_body: self.max_body.0,
            decode: self.shape.decode.unwrap_or_default(),
            respond: self.respond,
            credential_queries: queries.map(str::to_owned).collect(),
            verifications: self.verifications,
            rules: self.rules,
            matcher: Matcher::new(self.conditions),
            credentials,
        }
    }
}

/// Whether an endpoint can have this path; the error says what is wrong.
fn check_path(path: &str) -> Result<(), String> {
    if !path.starts_with('/') {
        return Err(format!("the endpoint `{path}` does not begin with `/`"));
    }
    if path.len() > MAX_PATH
        || path
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

/// `methods:`; POST if none are given.
fn methods(given: Option<&[String]>, node: Node<'_>, findings: &mut Findings) -> Vec<Method> {
    let Some(given) = given else {
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
    let items = node.get("methods").map(|node| node.items()).unwrap_or_default();
    let mut methods = Vec::new();
    for (text, item) in given.iter().zip(items) {
        match known.iter().find(|method| method.as_str() == text) {
            Some(method) => methods.push(method.clone()),
            None => findings.push(crate::yaml::unknown(
                item.origin(),
                "unknown-method",
                "method",
                text,
                known.iter().map(Method::as_str),
            )),
        }
    }
    if given.is_empty() {
        findings.push(node.error("methods", "no method: nothing could ever arrive"));
    }
    methods
}

/// `respond:` of an endpoint or a rule.
pub fn respond(
    shape: Option<&RespondShape>,
    node: Option<Node<'_>>,
    workshop: &Workshop<'_>,
    findings: &mut Findings,
) -> Option<Respond> {
    let (shape, node) = (shape?, node?);
    let mut respond = Respond::default();
    let place = |key: &str| node.get(key).unwrap_or(node);
    if let Some(status) = shape.status {
        match StatusCode::from_u16(status) {
            Ok(status) if status.is_success() => respond.status = status,
            _ => findings.push(
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
                findings.push(place.get(name).unwrap_or(place).error("respond-header", message));
            }
        }
    }
    if let Some(body) = node.get("body") {
        respond.body = workshop
            .templates
            .read(body, Scope::Answer, workshop.keyring, findings);
    }
    respond.wait = match &shape.wait {
        None | Some(Wait::Switch(false)) => None,
        Some(Wait::Switch(true)) => Some(DEFAULT_WAIT),
        Some(Wait::AtMost(period)) => Some(period.0),
    };
    Some(respond)
}

/// A header of an answer; the error says what is wrong.
fn header_line(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), String> {
    let parsed: HeaderName = name
        .parse()
        .map_err(|error| format!("`{name}` is not the name of a header: {error}"))?;
    let framing = [
        header::CONTENT_LENGTH,
        header::TRANSFER_ENCODING,
        header::CONNECTION,
        header::UPGRADE,
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
    fn an_answer_sets_no_framing_header() {
        assert!(header_line("X-Note", "thanks").is_ok());
        for (name, value) in [
            ("Content-Length", "3"),
            ("transfer-encoding", "chunked"),
            ("a b", "x"),
            ("x", "a\nb"),
        ] {
            assert!(header_line(name, value).is_err(), "{name}");
        }
    }
}
