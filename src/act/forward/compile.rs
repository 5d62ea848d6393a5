//! Compiling a forward: every key with its value, and all that is wrong with them.

use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue, Method};
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::act::forward::proxy::Proxy;
use crate::act::forward::rate::Rate;
use crate::act::forward::route::Route;
use crate::act::forward::tls::Tls;
use crate::act::forward::{Forward, request, target};
use crate::act::settings::Kind;
use crate::act::{Workshop, settings};
use crate::diagnostic::{Finding, Findings};
use crate::template::{Scope, Template, warn_of_values};
use crate::units::Period;
use crate::verify::{Surroundings, Verification};
use crate::yaml::Node;

/// How long a request may take, from the connection to the end of the answer, where the rule does not say.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(15);

/// The keys of the action.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    #[serde(rename = "forward")]
    _forward: IgnoredAny,
    headers: Option<IgnoredAny>,
    #[serde(rename = "sign")]
    _sign: Option<IgnoredAny>,
    #[serde(rename = "tls")]
    _tls: Option<IgnoredAny>,
    #[serde(rename = "proxy")]
    _proxy: Option<IgnoredAny>,
    #[serde(rename = "rate")]
    _rate: Option<IgnoredAny>,
    timeout: Option<Period>,
}

/// The keys of the mapping under `forward`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    #[serde(rename = "url")]
    _url: IgnoredAny,
    method: Option<String>,
    #[serde(rename = "headers")]
    _headers: Option<IgnoredAny>,
    body: Option<IgnoredAny>,
}

impl Forward {
    /// Reads `forward` with its fields.
    pub fn compile(node: Node<'_>, workshop: &Workshop<'_>, findings: &mut Findings) -> Option<Self> {
        let before = findings.errors();
        let fields: Fields = settings::read(node, Kind::Forward, findings)?;
        let what = node.get("forward")?;
        let request = if what.is_mapping() {
            Some(what.read::<Request>(findings)?)
        } else {
            None
        };
        let url = if request.is_some() { what.get("url")? } else { what };
        let url = target::compile(url, workshop, findings);
        let beside = fields.headers.and_then(|_| node.get("headers"));
        let inside = what.get("headers");
        if let (Some(_), Some(inside)) = (beside, inside) {
            findings.push(Finding::error(
                inside.key_origin(),
                "duplicate-key",
                "`headers` stands both beside `forward` and in it",
            ));
        }
        let headers = match beside.or(inside) {
            Some(node) => read_headers(node, workshop, findings),
            None => Vec::new(),
        };
        if let Some(url) = &url {
            warn_of_secrets(url, beside.or(inside), &headers, findings);
        }
        let method = request.as_ref().and_then(|request| request.method.as_deref());
        let method = method.map_or(Some(Method::POST), |name| {
            read_method(name, what.get("method").unwrap_or(what), findings)
        });
        let body = request
            .and_then(|request| request.body)
            .and_then(|_| what.get("body"));
        let body = body.map(|node| {
            let content_type = headers.iter().find(|(name, _)| name == CONTENT_TYPE);
            let content_type = content_type.and_then(|(_, value)| value.literal());
            warn_of_values(node, content_type, findings);
            workshop
                .templates
                .read(node, Scope::Action, workshop.keyring, findings)
        });
        let sign = node.given("sign").map(|sign| read_sign(sign, workshop, findings));
        let route = read_route(node, url.as_ref(), workshop, findings);
        let rate = node
            .given("rate")
            .map(|rate| Rate::compile(rate, "rate", findings));
        let timeout = settings::limit(node, "timeout", fields.timeout, DEFAULT_TIMEOUT, findings);
        let forward = Self {
            method: method?,
            url: url?,
            headers,
            body: match body {
                Some(body) => Some(body?),
                None => None,
            },
            sign: sign.flatten().map(Box::new),
            route: Box::new(route?),
            rate: rate.flatten(),
            timeout,
        };
        (findings.errors() == before).then_some(forward)
    }
}

/// Says that a secret in a header would go wherever an event wants it.
fn warn_of_secrets(
    url: &Template,
    node: Option<Node<'_>>,
    headers: &[(HeaderName, Template)],
    findings: &mut Findings,
) {
    let is_secret = |(_, value): &(HeaderName, Template)| value.source().contains("secret(");
    if let Some(node) = node
        && target::is_of_the_event(url.source())
        && headers.iter().any(is_secret)
    {
        findings.push(node.warning("secret", "a secret goes to a host that the event names"));
    }
}

/// The way to the target.
fn read_route(
    node: Node<'_>,
    url: Option<&Template>,
    workshop: &Workshop<'_>,
    findings: &mut Findings,
) -> Option<Route> {
    let guarded = url.is_some_and(|url| target::is_of_the_event(url.source()));
    let tls = node.given("tls").map(|tls| {
        if url.is_some_and(|url| url.source().starts_with("http:")) {
            let message = "`tls` is about `https`, and the URL is none";
            findings.push(Finding::error(tls.key_origin(), "tls", message));
        }
        Tls::compile(tls, workshop, findings)
    });
    let proxy = Proxy::compile(node, workshop, findings);
    if guarded && proxy.as_ref().is_some_and(|proxy| !proxy.is_none()) {
        let message =
            "the host comes from the event, and through a proxy nobody sees whether its address is public";
        let place = node.given("proxy").unwrap_or(node);
        findings.push(place.error("proxy", message).hint("write `proxy: none`"));
    }
    Some(Route {
        tls: match tls {
            Some(tls) => Some(tls?),
            None => None,
        },
        proxy: proxy?,
        guarded,
    })
}

/// The scheme by which what goes out is signed.
fn read_sign(node: Node<'_>, workshop: &Workshop<'_>, findings: &mut Findings) -> Option<Verification> {
    let surroundings = Surroundings {
        keyring: workshop.keyring,
        // What is signed is the target's URL, which the action names.
        public_url: Some(""),
        max_body: u64::MAX,
        decompress_unverified: false,
    };
    let scheme = Verification::compile(node, &surroundings, findings)?;
    if scheme.is_none() {
        let finding = node.error("sign", "`none` signs nothing");
        findings.push(finding.hint("leave `sign` out"));
        return None;
    }
    if scheme.observes() {
        findings.push(node.error("sign", "`mode` is about what arrives, and this goes out"));
        return None;
    }
    if !scheme.can_sign() {
        let name = scheme.scheme();
        let (message, hint) = if name == "jwt" {
            (
                "`jwt` signs with a shared secret, and not with the keys that it verifies by".to_owned(),
                "`algorithms: [HS256]` and a `secret`",
            )
        } else {
            (
                format!("`{name}` verifies with a public key, and signs with a private one"),
                "give it `private_key: file:/path`",
            )
        };
        findings.push(node.error("sign", message).hint(hint));
        return None;
    }
    Some(scheme)
}

/// The method, if a request can have it.
fn read_method(name: &str, node: Node<'_>, findings: &mut Findings) -> Option<Method> {
    match Method::from_bytes(name.to_ascii_uppercase().as_bytes()) {
        Ok(method) if method != Method::CONNECT && method != Method::TRACE => Some(method),
        _ => {
            let finding = node.error("wrong-value", format!("`{name}` is not a method to forward with"));
            findings.push(finding.hint("POST, PUT, PATCH, DELETE or GET"));
            None
        }
    }
}

/// The mapping of headers.
fn read_headers(
    node: Node<'_>,
    workshop: &Workshop<'_>,
    findings: &mut Findings,
) -> Vec<(HeaderName, Template)> {
    if !node.is_mapping() {
        findings.push(node.error("wrong-value", "`headers` is a mapping of names to texts"));
    }
    let mut headers: Vec<(HeaderName, Template)> = Vec::new();
    for (name, value) in node.entries() {
        let fault = match HeaderName::from_bytes(name.as_bytes()) {
            Err(_) => Some(format!("`{name}` is not the name of a header")),
            Ok(known) if request::is_of_the_connection(&known) || known == http::header::CONTENT_LENGTH => {
                Some(format!("`{name}` is for the connection to say, not for a rule"))
            }
            Ok(known) if headers.iter().any(|(other, _)| *other == known) => {
                Some(format!("`{name}` is written twice"))
            }
            Ok(_) => None,
        };
        if let Some(fault) = fault {
            findings.push(Finding::error(value.key_origin(), "header", fault));
        }
        let template = workshop
            .templates
            .read(value, Scope::Action, workshop.keyring, findings);
        if let Some(text) = template.as_ref().and_then(Template::literal)
            && HeaderValue::from_str(text).is_err()
        {
            findings.push(value.error("header", "a header is one line of text"));
        }
        if let (Ok(name), Some(template)) = (HeaderName::from_bytes(name.as_bytes()), template) {
            headers.push((name, template));
        }
    }
    headers
}
