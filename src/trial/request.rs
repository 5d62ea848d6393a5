//! Requests of a test, as the test file states them.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use data_encoding::BASE64;
use http::{HeaderName, HeaderValue, Method};
use serde_json::Value;

use super::captured::Captured;
use super::certificate::certificate;
use super::read::{self, Place};
use super::signer::{Signer, Signers};
use crate::base::diagnostic::{Diagnostic, Diagnostics};
use crate::base::file;
use crate::base::jsonpath::SingularPath;
use crate::base::url_path;
use crate::base::yaml::Node;
use crate::event::certificate::Certificate;
use crate::rules::{Endpoint, RuleSet};

/// Maximum size of a captured file, in bytes.
const MAX_CAPTURED: u64 = 64 << 20;
/// Keys that state the body.
const BODIES: [&str; 4] = ["json", "body", "base64", "form"];
/// Keys of a request.
const KEYS: [&str; 17] = [
    "endpoint",
    "captured",
    "set",
    "as",
    "certificate",
    "event",
    "method",
    "json",
    "body",
    "base64",
    "form",
    "headers",
    "query",
    "client",
    "id",
    "age",
    "ahead",
];

/// A request that is to be signed and sent.
#[derive(Clone, Debug)]
pub struct StatedRequest {
    pub place: Place,
    /// Path and query.
    pub target: String,
    pub method: Method,
    pub headers: http::HeaderMap,
    pub body: Vec<u8>,
    pub client: IpAddr,
    /// Certificate of the client, pretended.
    pub certificate: Option<Arc<Certificate>>,
    pub event: Option<String>,
    /// Id of the message, for schemes that have one.
    pub id: Option<String>,
    pub signer: Signer,
    pub age: Duration,
    pub ahead: Duration,
}

/// Reader of requests, with the rules and secrets of the tests.
pub(super) struct RequestReader<'r> {
    /// `None` if the rules cannot be used: what depends on them is not checked.
    pub rules: Option<&'r RuleSet>,
    pub signers: &'r Signers<'r>,
    /// Folder of the test file.
    pub folder: &'r Path,
    pub diagnostics: &'r mut Diagnostics,
}

/// The body of a request with its usual content type.
type Body = (Vec<u8>, &'static str);

impl<'r> RequestReader<'r> {
    /// Reads `request`.
    pub(super) fn request(&mut self, node: Node<'_>) -> Option<StatedRequest> {
        let errors = self.diagnostics.errors();
        if !read::keys(node, &KEYS, self.diagnostics) {
            return None;
        }
        let captured = match node.given("captured") {
            Some(file) => Some(self.captured(file)?),
            None => None,
        };
        let target = self.target(node, captured.as_ref())?;
        let endpoint = self.endpoint(&target);
        let mut headers = captured
            .as_ref()
            .map(|one| one.headers.clone())
            .unwrap_or_default();
        let mut body = match (self.body(node), &captured) {
            (Some((body, content_type)), _) => {
                headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static(content_type));
                headers.remove(http::header::CONTENT_ENCODING);
                body
            }
            (None, Some(captured)) => captured.body.clone(),
            (None, None) => {
                headers.insert(
                    http::header::CONTENT_TYPE,
                    HeaderValue::from_static("application/json"),
                );
                b"{}".to_vec()
            }
        };
        headers.remove(http::header::CONTENT_LENGTH);
        if let Some(set) = node.given("set") {
            body = self.set(set, &body)?;
        }
        self.headers(node.given("headers"), &mut headers);
        let mut text = |key: &str| {
            node.given(key)
                .and_then(|node| read::text(node, self.diagnostics))
        };
        let (event, id) = (text("event"), text("id"));
        let (client, method) = (text("client"), text("method"));
        let mut period = |key: &str| {
            node.given(key)
                .and_then(|node| read::duration(node, self.diagnostics))
        };
        let (age, ahead) = (
            period("age").unwrap_or_default(),
            period("ahead").unwrap_or_default(),
        );
        let client = match client {
            None => captured.as_ref().and_then(|captured| captured.client),
            Some(text) => self.client(node, &text),
        };
        let usual = || endpoint.and_then(|endpoint| endpoint.methods.first().cloned());
        let method = match (method, &captured) {
            (Some(text), _) => self.method(node, &text)?,
            (None, Some(captured)) => self.method(node, &captured.method)?,
            (None, None) => usual().unwrap_or(Method::POST),
        };
        let certificate = match node.given("certificate") {
            Some(node) => Some(certificate(node, self.diagnostics)?),
            None => None,
        };
        let signer = self.signers.signer(node, endpoint, self.diagnostics)?;
        (self.diagnostics.errors() == errors).then(|| StatedRequest {
            place: Place::of(node),
            target,
            method,
            headers,
            body,
            client: client.unwrap_or(Ipv4Addr::LOCALHOST.into()),
            certificate,
            event,
            id,
            signer,
            age,
            ahead,
        })
    }

    fn endpoint(&self, target: &str) -> Option<&'r Endpoint> {
        let rules: &'r RuleSet = self.rules?;
        let path = target.split('?').next().unwrap_or_default();
        let path = url_path::normalized(path);
        let (endpoint, _) = rules.endpoint(&path)?;
        Some(endpoint)
    }

    fn captured(&mut self, node: Node<'_>) -> Option<Captured> {
        let name = read::text(node, self.diagnostics)?;
        let path = self.folder.join(&name);
        let text = file::read(&path, MAX_CAPTURED);
        let captured = match text {
            Ok(contents) => Captured::read(&contents.bytes)
                .map_err(|why| format!("`{name}` is no captured request: {why}")),
            Err(_) => Err(format!("cannot read `{}`", path.display())),
        };
        captured
            .map_err(|message| self.diagnostics.push(node.error("captured", message)))
            .ok()
    }

    /// The path and the query.
    fn target(&mut self, node: Node<'_>, captured: Option<&Captured>) -> Option<String> {
        let own = node.given("endpoint");
        let mut target = match (own, captured) {
            (Some(endpoint), _) => read::text(endpoint, self.diagnostics)?,
            (None, Some(captured)) => captured.target.clone(),
            (None, None) => {
                self.diagnostics.extend(node.missing("endpoint"));
                return None;
            }
        };
        let query = read::pairs(node.given("query"), self.diagnostics);
        if !query.is_empty() {
            let query = form_urlencoded::Serializer::new(String::new())
                .extend_pairs(query)
                .finish();
            target.push(if target.contains('?') { '&' } else { '?' });
            target.push_str(&query);
        }
        if !target.starts_with('/') || target.parse::<http::Uri>().is_err() {
            let message = format!("`{target}` is not a path: it begins with `/`");
            self.diagnostics
                .push(own.unwrap_or(node).error("endpoint", message));
            return None;
        }
        Some(target)
    }

    /// The stated body.
    fn body(&mut self, node: Node<'_>) -> Option<Body> {
        let given = BODIES.map(|key| Some((key, node.given(key)?)));
        let mut given = given.into_iter().flatten();
        let (key, value) = given.next()?;
        if let Some((second, node)) = given.next() {
            let message = format!("a request has one body: `{key}` or `{second}`");
            self.diagnostics
                .push(Diagnostic::error(node.key_origin(), "wrong-value", message));
        }
        let body = match key {
            "json" => read::json(value, self.diagnostics)?.to_string().into_bytes(),
            "form" => {
                let fields = read::pairs(Some(value), self.diagnostics);
                let form = form_urlencoded::Serializer::new(String::new())
                    .extend_pairs(fields)
                    .finish();
                return Some((form.into_bytes(), "application/x-www-form-urlencoded"));
            }
            "base64" => {
                let text = read::text(value, self.diagnostics)?;
                let Ok(bytes) = BASE64.decode(text.as_bytes()) else {
                    self.diagnostics
                        .push(value.error("wrong-value", "this is not Base64"));
                    return None;
                };
                bytes
            }
            _ => read::text(value, self.diagnostics)?.into_bytes(),
        };
        let content_type = if serde_json::from_slice::<serde::de::IgnoredAny>(&body).is_ok() {
            "application/json"
        } else if key == "base64" {
            "application/octet-stream"
        } else {
            "text/plain; charset=utf-8"
        };
        Some((body, content_type))
    }

    /// The body with some values replaced.
    fn set(&mut self, node: Node<'_>, body: &[u8]) -> Option<Vec<u8>> {
        if !read::is_mapping(node, self.diagnostics) {
            return None;
        }
        let Ok(mut payload) = serde_json::from_slice::<Value>(body) else {
            let message = "`set` changes a body that is JSON, and this one is not";
            self.diagnostics
                .push(Diagnostic::error(node.key_origin(), "set", message));
            return None;
        };
        for (path, value) in node.entries() {
            let new = read::json(value, self.diagnostics)?;
            let set = SingularPath::parse(path).and_then(|path| path.set(&mut payload, new));
            if let Err(message) = set {
                self.diagnostics
                    .push(Diagnostic::error(value.key_origin(), "set", message));
            }
        }
        Some(payload.to_string().into_bytes())
    }

    fn headers(&mut self, node: Option<Node<'_>>, headers: &mut http::HeaderMap) {
        let Some(node) = node.filter(|node| read::is_mapping(*node, self.diagnostics)) else {
            return;
        };
        for (name, value) in node.entries() {
            let Some(text) = read::text(value, self.diagnostics) else {
                continue;
            };
            match (name.parse::<HeaderName>(), text.parse::<HeaderValue>()) {
                (Ok(name), Ok(text)) => {
                    headers.insert(name, text);
                }
                (Err(_), _) => {
                    let message = format!("`{name}` is not the name of a header");
                    let diagnostic = Diagnostic::error(value.key_origin(), "wrong-value", message);
                    self.diagnostics.push(diagnostic);
                }
                (_, Err(_)) => {
                    let message = format!("the value of `{name}` cannot stand in a header");
                    self.diagnostics.push(value.error("wrong-value", message));
                }
            }
        }
    }

    fn client(&mut self, node: Node<'_>, text: &str) -> Option<IpAddr> {
        let client = text.parse().ok();
        if client.is_none() {
            let at = node.given("client").unwrap_or(node);
            self.diagnostics
                .push(at.error("wrong-value", format!("`{text}` is not an IP address")));
        }
        client
    }

    fn method(&mut self, node: Node<'_>, text: &str) -> Option<Method> {
        let method = text.to_uppercase().parse().ok();
        if method.is_none() {
            let at = node.given("method").unwrap_or(node);
            self.diagnostics
                .push(at.error("wrong-value", format!("`{text}` is not a method")));
        }
        method
    }
}
