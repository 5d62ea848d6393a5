//! Compiler from YAML to a [`HandshakeDefinition`]: the mapping under `handshake`.

use http::{HeaderName, Method, StatusCode};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::definition::{HandshakeAnswer, HandshakeDefinition, HandshakeForm, Is, Mark, TextLocation};
use crate::base::diagnostic::Diagnostics;
use crate::base::yaml::Node;
use crate::verify::parts::mac::Encoding;
use crate::verify::parts::places;

/// Maximum requests of a handshake. Each is compared with every request.
const MAX_REQUESTS: usize = 8;
/// Keys of a request that say how it is answered.
const ANSWERS: [&str; 5] = ["echo", "status", "mac", "allow", "learn"];

/// Shape of `handshake:`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "`requests` is read from the node, with the position")]
struct HandshakeShape {
    /// True if the sender signs the handshake like an event.
    signed: Option<bool>,
    /// Query parameter that must equal `verify_token` of the scheme.
    verify_token: Option<String>,
    /// Value of `WWW-Authenticate`, if a refusal must be 401.
    unauthorized: Option<Unauthorized>,
    /// Requests of the handshake, with their answers.
    requests: Option<IgnoredAny>,
}

/// Values of `unauthorized`.
#[derive(Clone, Copy, Deserialize)]
enum Unauthorized {
    Signature,
}

/// Shape of one request of a handshake.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "the others are read from the node, with their position")]
struct RequestShape {
    /// Method [default: POST].
    method: Option<HandshakeMethod>,
    /// Query parameter that marks the request.
    query: Option<String>,
    /// Header that marks the request.
    header: Option<IgnoredAny>,
    /// `JSONPath` of the value in the body that marks the request.
    json: Option<IgnoredAny>,
    /// Value of that parameter, header or path.
    equals: Option<IgnoredAny>,
    /// `JSONPath` that the body must not have.
    without: Option<IgnoredAny>,
    /// Location of the text to send back.
    echo: Option<IgnoredAny>,
    /// Status of a fixed answer.
    status: Option<u16>,
    /// JSON body of a fixed answer.
    body: Option<String>,
    /// Location of the token whose HMAC is the answer.
    mac: Option<IgnoredAny>,
    /// Headers in which the sender asks for permission to send.
    allow: Option<IgnoredAny>,
    /// Location of the secret that the sender tells.
    learn: Option<IgnoredAny>,
}

/// Methods of a handshake.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum HandshakeMethod {
    Get,
    Head,
    Options,
    Post,
    Put,
}

/// Shape of `echo` and `learn`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "read from the node, with the position")]
struct TextShape {
    query: Option<IgnoredAny>,
    header: Option<IgnoredAny>,
    json: Option<IgnoredAny>,
}

/// Shape of `mac`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "the others are read from the node, with their position")]
struct MacShape {
    query: Option<IgnoredAny>,
    header: Option<IgnoredAny>,
    json: Option<IgnoredAny>,
    /// Member of the answer that repeats the token.
    repeat: Option<String>,
    /// Member of the answer that holds the MAC.
    name: String,
    /// Text before the MAC.
    prefix: Option<String>,
    encoding: Option<Encoding>,
}

/// Shape of `allow`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "read from the node, with the position")]
struct AllowShape {
    origin: IgnoredAny,
    rate: IgnoredAny,
}

/// Compiles the mapping of a handshake that the scheme `name` defines. Reports all errors.
pub fn compile(name: &str, node: Node<'_>, diagnostics: &mut Diagnostics) -> Option<HandshakeDefinition> {
    let before = diagnostics.errors();
    let shape = node.read::<HandshakeShape>(diagnostics)?;
    let items = node.given("requests").map(|node| node.one_or_many());
    let items = items.unwrap_or_default();
    if items.is_empty() || items.len() > MAX_REQUESTS {
        let message = format!("{} requests: a handshake has 1 to {MAX_REQUESTS}", items.len());
        diagnostics.push(node.get("requests").unwrap_or(node).error("wrong-value", message));
    }
    let forms = items
        .into_iter()
        .filter_map(|item| Some((item, form(item, diagnostics)?)));
    let forms: Vec<(Node<'_>, HandshakeForm)> = forms.collect();
    let signed = shape.signed == Some(true);
    for (item, form) in &forms {
        let learns = matches!(form.reply, HandshakeAnswer::Learn(_));
        if form.reads_body() && !signed && !learns {
            // A stranger must not be able to make reading expensive.
            let message = "the body is not read before the sender is known: this handshake is not signed";
            let diagnostic = item.error("handshake", message);
            diagnostics.push(diagnostic.hint("`signed: true`, if the sender signs it like an event"));
        }
    }
    let unauthorized = shape.unauthorized.map(|Unauthorized::Signature| "Signature");
    (diagnostics.errors() == before).then(|| HandshakeDefinition {
        name: name.into(),
        signed,
        verify_token: shape.verify_token.filter(|name| !name.is_empty()),
        unauthorized,
        forms: forms.into_iter().map(|(_, form)| form).collect(),
    })
}

/// Reads one request and its answer.
fn form(node: Node<'_>, diagnostics: &mut Diagnostics) -> Option<HandshakeForm> {
    if !node.is_mapping() {
        let message = "a request is a mapping: `{method: GET, query: challenge, echo: {query: challenge}}`";
        diagnostics.push(node.error("wrong-value", message));
        return None;
    }
    let shape = node.read::<RequestShape>(diagnostics)?;
    let method = match shape.method.unwrap_or(HandshakeMethod::Post) {
        HandshakeMethod::Get => Method::GET,
        HandshakeMethod::Head => Method::HEAD,
        HandshakeMethod::Options => Method::OPTIONS,
        HandshakeMethod::Post => Method::POST,
        HandshakeMethod::Put => Method::PUT,
    };
    let mark = mark(node, diagnostics);
    if matches!(mark, Some(Mark::Method)) && (method == Method::POST || method == Method::PUT) {
        let message = format!("every {method} would be a handshake, and none an event");
        diagnostics.push(
            node.error("handshake", message)
                .hint("say what marks it: `header`, `query` or `json`"),
        );
    }
    let reply = answer(node, &shape, diagnostics);
    Some(HandshakeForm {
        method,
        mark: mark?,
        reply: reply?,
    })
}

/// Reads what distinguishes the request from an event.
fn mark(node: Node<'_>, diagnostics: &mut Diagnostics) -> Option<Mark> {
    let equals = node.given("equals");
    let text = |diagnostics: &mut Diagnostics| match equals {
        None => Some(None),
        Some(equals) => {
            let text = equals.as_str().filter(|text| !text.is_empty());
            if text.is_none() {
                diagnostics.push(equals.error("wrong-value", "`equals` is text here"));
            }
            text.map(|text| Some(text.to_owned()))
        }
    };
    let without = node.given("without");
    if let (Some(without), None) = (without, node.given("json")) {
        diagnostics.push(without.error("handshake", "`without` belongs to `json`"));
    }
    match (node.given("header"), node.given("query"), node.given("json")) {
        (None, None, None) => {
            if let Some(equals) = equals {
                let message = "`equals` belongs to `header`, `query` or `json`";
                diagnostics.push(equals.error("handshake", message));
            }
            Some(Mark::Method)
        }
        (Some(header), None, None) => {
            let name = places::one_header(header, diagnostics)?;
            Some(Mark::Header(name, text(diagnostics)?))
        }
        (None, Some(query), None) => {
            let name = query.as_str().filter(|name| !name.is_empty());
            if name.is_none() {
                diagnostics.push(query.error("wrong-value", "`query` is a name in the query"));
            }
            Some(Mark::Query(name?.to_owned(), text(diagnostics)?))
        }
        (None, None, Some(json)) => {
            let at = places::path(json, json.as_str().unwrap_or_default(), diagnostics);
            let without = match without {
                Some(node) => Some(places::path(
                    node,
                    node.as_str().unwrap_or_default(),
                    diagnostics,
                )?),
                None => None,
            };
            let is = match equals.and_then(|equals| equals.value().as_u64()) {
                Some(number) => Is::Number(number),
                None => text(diagnostics)?.map_or(Is::AnyText, Is::Text),
            };
            Some(Mark::Json { at: at?, is, without })
        }
        _ => {
            let message = "one thing marks a handshake: `header`, `query` or `json`";
            diagnostics.push(node.error("ambiguous-place", message));
            None
        }
    }
}

/// Reads the answer.
fn answer(node: Node<'_>, shape: &RequestShape, diagnostics: &mut Diagnostics) -> Option<HandshakeAnswer> {
    let given: Vec<(&str, Node<'_>)> = ANSWERS
        .into_iter()
        .filter_map(|key| Some((key, node.given(key)?)))
        .collect();
    let [(key, at)] = given.as_slice() else {
        let message = format!("a request has one answer: `{}`", ANSWERS.join("`, `"));
        diagnostics.push(node.error("handshake", message));
        return None;
    };
    if let (Some(body), true) = (node.given("body"), *key != "status") {
        diagnostics.push(body.error("handshake", "`body` belongs to `status`"));
    }
    match *key {
        "echo" => text(*at, diagnostics).map(HandshakeAnswer::Echo),
        "learn" => text(*at, diagnostics).map(HandshakeAnswer::Learn),
        "allow" => {
            at.read::<AllowShape>(diagnostics)?;
            let mut header = |key| -> Option<HeaderName> { places::one_header(at.given(key)?, diagnostics) };
            let (origin, rate) = (header("origin"), header("rate"));
            Some(HandshakeAnswer::Allow(origin?, rate?))
        }
        "mac" => {
            let shape = at.read::<MacShape>(diagnostics)?;
            Some(HandshakeAnswer::Mac {
                of: location(*at, diagnostics)?,
                repeated: shape.repeat,
                name: shape.name,
                prefix: shape.prefix.unwrap_or_default(),
                encoding: shape.encoding.unwrap_or(Encoding::Hex),
            })
        }
        _ => fixed(node, *at, shape, diagnostics),
    }
}

/// Reads a fixed answer: a status of success, and a JSON body.
fn fixed(
    node: Node<'_>,
    at: Node<'_>,
    shape: &RequestShape,
    diagnostics: &mut Diagnostics,
) -> Option<HandshakeAnswer> {
    let status = shape.status.and_then(|status| StatusCode::from_u16(status).ok());
    let status = status.filter(StatusCode::is_success);
    if status.is_none() {
        diagnostics.push(at.error("wrong-value", "`status` is from 200 to 299"));
    }
    let json = |body: &String| serde_json::from_str::<IgnoredAny>(body).is_ok();
    if let (Some(body), Some(place)) = (&shape.body, node.given("body"))
        && !json(body)
    {
        diagnostics.push(place.error("wrong-value", "`body` is JSON"));
    }
    Some(HandshakeAnswer::Fixed(status?, shape.body.clone()))
}

/// Reads the mapping with the location of a text.
fn text(node: Node<'_>, diagnostics: &mut Diagnostics) -> Option<TextLocation> {
    if !node.is_mapping() {
        let message =
            "it says where the text stands: `{json: $.challenge}`, `{query: NAME}` or `{header: NAME}`";
        diagnostics.push(node.error("wrong-value", message));
        return None;
    }
    node.read::<TextShape>(diagnostics)?;
    location(node, diagnostics)
}

/// Reads the location of a text.
fn location(node: Node<'_>, diagnostics: &mut Diagnostics) -> Option<TextLocation> {
    match (node.given("header"), node.given("query"), node.given("json")) {
        (Some(header), None, None) => places::one_header(header, diagnostics).map(TextLocation::Header),
        (None, Some(query), None) => {
            let name = query.as_str().filter(|name| !name.is_empty());
            if name.is_none() {
                diagnostics.push(query.error("wrong-value", "`query` is a name in the query"));
            }
            name.map(|name| TextLocation::Query(name.to_owned()))
        }
        (None, None, Some(json)) => {
            let text = json.as_str().unwrap_or_default();
            places::path(json, text, diagnostics).map(TextLocation::Json)
        }
        _ => {
            let message = "the text stands in one place: `header`, `query` or `json`";
            diagnostics.push(node.error("ambiguous-place", message));
            None
        }
    }
}
