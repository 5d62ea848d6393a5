//! Compilation of `forward`: every key with its value, and all diagnostics about them.
//!
//! The URL is left to `target.rs`, and running a forward to `perform.rs`.

use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue, Method};
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::act::forward::original::{ForwardMethod, ORIGINAL};
use crate::act::forward::pacer::Rate;
use crate::act::forward::status::StatusMeanings;
use crate::act::forward::{Forward, request, target};
use crate::act::settings::ActionKind;
use crate::act::{CompileContext, settings};
use crate::base::diagnostic::{Diagnostic, Diagnostics};
use crate::base::units::HumanDuration;
use crate::base::yaml::Node;
use crate::client::{Proxy, Route, TlsSettings};
use crate::template::{Scope, Template, warn_of_values};
use crate::verify::{SchemeContext, Verification};

/// Default timeout of a request, from the connection to the end of the response.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(15);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ForwardFields {
    #[serde(rename = "forward")]
    _forward: IgnoredAny,
    #[serde(rename = "id")]
    _id: Option<IgnoredAny>,
    #[serde(rename = "headers")]
    _headers: Option<IgnoredAny>,
    #[serde(rename = "sign")]
    _sign: Option<IgnoredAny>,
    #[serde(rename = "tls")]
    _tls: Option<IgnoredAny>,
    #[serde(rename = "proxy")]
    _proxy: Option<IgnoredAny>,
    #[serde(rename = "rate")]
    _rate: Option<IgnoredAny>,
    #[serde(rename = "status")]
    _status: Option<IgnoredAny>,
    #[serde(rename = "retry")]
    _retry: Option<IgnoredAny>,
    timeout: Option<HumanDuration>,
}

/// Keys of the mapping under `forward`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RequestFields {
    #[serde(rename = "url")]
    _url: IgnoredAny,
    method: Option<String>,
    path: Option<String>,
    query: Option<String>,
    #[serde(rename = "headers")]
    _headers: Option<IgnoredAny>,
    body: Option<IgnoredAny>,
}

impl Forward {
    /// Compiles `forward` with its fields.
    pub fn compile(
        node: Node<'_>,
        context: &CompileContext<'_>,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        let before = diagnostics.errors();
        let fields: ForwardFields = settings::read(node, ActionKind::Forward, diagnostics)?;
        let what = node.get("forward")?;
        let request = if what.is_mapping() {
            Some(what.read::<RequestFields>(diagnostics)?)
        } else {
            None
        };
        let url = if request.is_some() { what.get("url")? } else { what };
        let url = target::compile(url, context, diagnostics);
        let headers_node = headers_node(node, what, diagnostics);
        let headers = match headers_node {
            Some(node) => read_headers(node, context, diagnostics),
            None => Vec::new(),
        };
        if let Some(url) = &url {
            warn_of_secrets(url, headers_node, &headers, diagnostics);
        }
        let method = request.as_ref().and_then(|request| request.method.as_deref());
        let method = method.map_or(Some(ForwardMethod::Fixed(Method::POST)), |name| {
            read_method(name, what.get("method").unwrap_or(what), diagnostics)
        });
        let original = |key: &'static str, given: fn(&RequestFields) -> Option<&String>| {
            let given = request.as_ref().and_then(given)?;
            (given != ORIGINAL).then_some(key)
        };
        let path = original("path", |request| request.path.as_ref());
        let query = original("query", |request| request.query.as_ref());
        for key in [path, query].into_iter().flatten() {
            let place = what.get(key).unwrap_or(what);
            let diagnostic = place.error("wrong-value", format!("`{key}` is `{ORIGINAL}`, or left out"));
            diagnostics.push(diagnostic.hint("any other one is part of `url`"));
        }
        let original_path = request.as_ref().is_some_and(|request| request.path.is_some());
        let original_query = request.as_ref().is_some_and(|request| request.query.is_some());
        let body = request
            .and_then(|request| request.body)
            .and_then(|_| what.get("body"));
        let body = body.map(|node| read_body(node, &headers, context, diagnostics));
        let sign = node
            .given("sign")
            .map(|sign| read_sign(sign, context, diagnostics));
        let route = read_route(node, url.as_ref(), context, diagnostics);
        let rate = node
            .given("rate")
            .map(|rate| Rate::compile(rate, "rate", diagnostics));
        let status = node
            .given("status")
            .map(|status| StatusMeanings::compile(status, diagnostics));
        let timeout = context.timeout.unwrap_or(DEFAULT_TIMEOUT);
        let timeout = settings::limit(node, "timeout", fields.timeout, timeout, diagnostics);
        let forward = Self {
            method: method?,
            url: url?,
            original_path,
            original_query,
            status: status.unwrap_or_default(),
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
        (diagnostics.errors() == before).then_some(forward)
    }
}

/// Finds the headers, which stand beside `forward` or in it.
fn headers_node<'d>(node: Node<'d>, what: Node<'d>, diagnostics: &mut Diagnostics) -> Option<Node<'d>> {
    let (beside, inside) = (node.given("headers"), what.get("headers"));
    if let (Some(_), Some(inside)) = (beside, inside) {
        diagnostics.push(Diagnostic::error(
            inside.key_origin(),
            "duplicate-key",
            "`headers` stands both beside `forward` and in it",
        ));
    }
    beside.or(inside)
}

/// Compiles the body.
fn read_body(
    node: Node<'_>,
    headers: &[(HeaderName, Template)],
    context: &CompileContext<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<Template> {
    let content_type = headers.iter().find(|(name, _)| name == CONTENT_TYPE);
    let content_type = content_type.and_then(|(_, value)| value.literal());
    warn_of_values(node, content_type, diagnostics);
    context
        .templates
        .read(node, Scope::Action, context.keyring, diagnostics)
}

/// Warns of a secret in a header that goes to a host named by the event.
fn warn_of_secrets(
    url: &Template,
    node: Option<Node<'_>>,
    headers: &[(HeaderName, Template)],
    diagnostics: &mut Diagnostics,
) {
    let is_secret = |(_, value): &(HeaderName, Template)| value.source().contains("secret(");
    if let Some(node) = node
        && target::is_of_the_event(url.source())
        && headers.iter().any(is_secret)
    {
        diagnostics.push(node.warning("secret", "a secret goes to a host that the event names"));
    }
}

/// Compiles the route to the target.
fn read_route(
    node: Node<'_>,
    url: Option<&Template>,
    context: &CompileContext<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<Route> {
    let public_only = url.is_some_and(|url| target::is_of_the_event(url.source()));
    // No connection is made when rules are tested.
    let tls = node.given("tls").filter(|_| !context.keyring.is_pretended());
    let tls = tls.map(|tls| {
        if url.is_some_and(|url| url.source().starts_with("http:")) {
            let message = "`tls` is about `https`, and the URL is none";
            diagnostics.push(Diagnostic::error(tls.key_origin(), "tls", message));
        }
        TlsSettings::compile(tls, context.keyring, diagnostics)
    });
    let proxy = Proxy::compile(node, context.keyring, diagnostics);
    if public_only && proxy.as_ref().is_some_and(|proxy| !proxy.is_none()) {
        let message = "the host comes from the event, and behind a proxy its address cannot be checked";
        let location = node.given("proxy").unwrap_or(node);
        diagnostics.push(location.error("proxy", message).hint("write `proxy: none`"));
    }
    Some(Route {
        tls: match tls {
            Some(tls) => Some(tls?),
            None => None,
        },
        proxy: proxy?,
        public_only,
    })
}

/// Compiles the scheme that signs outgoing requests.
fn read_sign(
    node: Node<'_>,
    context: &CompileContext<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<Verification> {
    let scheme_context = SchemeContext {
        keyring: context.keyring,
        schemes: context.schemes,
        // The signed URL is that of the target, which the action names.
        public_url: Some(""),
        max_body: u64::MAX,
        decompress_unverified: false,
        beside_others: false,
    };
    let scheme = Verification::compile(node, &scheme_context, diagnostics)?;
    if scheme.is_none() {
        let diagnostic = node.error("sign", "`none` signs nothing");
        diagnostics.push(diagnostic.hint("leave `sign` out"));
        return None;
    }
    if scheme.observes() {
        diagnostics.push(node.error("sign", "`mode` is about what arrives, and this goes out"));
        return None;
    }
    if !scheme.can_sign() {
        let name = scheme.scheme();
        let (message, hint) = if scheme.family() == "jwt" {
            (
                "`jwt` signs with a shared secret, and not with the keys that it verifies by".to_owned(),
                "`algorithms: [HS256]` and a `secret`",
            )
        } else if scheme.family() == "http_message_signatures" {
            (
                format!("`{name}` signs with a shared secret only"),
                "`algorithm: hmac-sha256` and a `secret`",
            )
        } else {
            (
                format!("`{name}` verifies with a public key, and signs with a private one"),
                "give it `private_key: file:/path`",
            )
        };
        diagnostics.push(node.error("sign", message).hint(hint));
        return None;
    }
    Some(scheme)
}

/// Parses the method. CONNECT and TRACE cannot be forwarded.
fn read_method(name: &str, node: Node<'_>, diagnostics: &mut Diagnostics) -> Option<ForwardMethod> {
    if name == ORIGINAL {
        return Some(ForwardMethod::Original);
    }
    match Method::from_bytes(name.to_ascii_uppercase().as_bytes()) {
        Ok(method) if method != Method::CONNECT && method != Method::TRACE => {
            Some(ForwardMethod::Fixed(method))
        }
        _ => {
            let diagnostic = node.error("wrong-value", format!("`{name}` is not a method to forward with"));
            diagnostics.push(diagnostic.hint("POST, PUT, PATCH, DELETE, GET or `original`"));
            None
        }
    }
}

/// Compiles the mapping of headers.
fn read_headers(
    node: Node<'_>,
    context: &CompileContext<'_>,
    diagnostics: &mut Diagnostics,
) -> Vec<(HeaderName, Template)> {
    if !node.is_mapping() {
        diagnostics.push(node.error("wrong-value", "`headers` is a mapping of names to texts"));
    }
    let mut headers: Vec<(HeaderName, Template)> = Vec::new();
    for (name, value) in node.entries() {
        let message = match HeaderName::from_bytes(name.as_bytes()) {
            Err(_) => Some(format!("`{name}` is not the name of a header")),
            Ok(known) if request::is_connection_header(&known) || known == http::header::CONTENT_LENGTH => {
                Some(format!("`{name}` is for the connection to say, not for a rule"))
            }
            Ok(known) if headers.iter().any(|(other, _)| *other == known) => {
                Some(format!("`{name}` is written twice"))
            }
            Ok(_) => None,
        };
        if let Some(message) = message {
            diagnostics.push(Diagnostic::error(value.key_origin(), "header", message));
        }
        let template = context
            .templates
            .read(value, Scope::Action, context.keyring, diagnostics);
        if let Some(text) = template.as_ref().and_then(Template::literal)
            && HeaderValue::from_str(text).is_err()
        {
            diagnostics.push(value.error("header", "a header is one line of text"));
        }
        if let (Ok(name), Some(template)) = (HeaderName::from_bytes(name.as_bytes()), template) {
            headers.push((name, template));
        }
    }
    headers
}
