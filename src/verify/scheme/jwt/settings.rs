//! From YAML and a row of data to a compiled [`Jwt`].
//!
//! What is written replaces what the row has, field by field. Everything that is wrong is found at once, each fault at
//! its own place; what the settings leave unprotected is a warning.

use http::HeaderName;
use http::header::AUTHORIZATION;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::algorithm::JwtAlgorithm;
use super::claims::Demands;
use super::{IdPlace, Jwt, TokenPlace};
use crate::base::diagnostic::Diagnostics;
use crate::base::secret::Keyring;
use crate::base::yaml::Node;
use crate::verify::scheme::presets::JwtRow;
use crate::verify::scheme::source::Location;
use crate::verify::scheme::{SchemeContext, settings};

/// How many values a list of issuers or of audiences may have.
const MAX_NAMES: usize = 16;

/// The fields of `jwt`, and of the presets of that kind.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "most are read from the node, item by item")]
struct JwtShape {
    /// The algorithms that are let in, whatever a token says.
    algorithms: Option<IgnoredAny>,
    /// For `HS…`, where the shared secret is read from; several while one replaces the other.
    secret: Option<IgnoredAny>,
    /// For all others, where the public key is read from, in PEM; several while one replaces the other.
    public_key: Option<IgnoredAny>,
    /// For all others, where a set of JWKs is read from; a token says by `kid` which of them it was signed with.
    jwks: Option<IgnoredAny>,
    /// The header in which the token stands.
    header: Option<IgnoredAny>,
    /// What stands before it in the header.
    prefix: Option<String>,
    /// The name in the query under which it stands.
    query: Option<String>,
    /// Who must have issued it; any of several.
    issuer: Option<IgnoredAny>,
    /// For whom it must be; any of several.
    audience: Option<IgnoredAny>,
    /// Claims that must be there with exactly these values.
    claims: Option<IgnoredAny>,
    /// The claim that holds the hex SHA-256 of the body; `none` where the sender has none.
    body_hash: Option<String>,
    /// The claim that says when it was sent; `none` to go by none.
    timestamp: Option<String>,
    /// Where an id stands by which events are recognised.
    id: Option<IgnoredAny>,
    /// The handshake that is answered; none by default.
    handshake: Option<IgnoredAny>,
    /// What the sender of a handshake must know.
    verify_token: Option<IgnoredAny>,
    /// The file in which the secret is kept that comes with a handshake.
    learn: Option<IgnoredAny>,
}

/// The shape of `id:`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JwtIdShape {
    claim: Option<String>,
    header: Option<IgnoredAny>,
    json: Option<String>,
}

/// Compiles the value of `jwt:` (no row), or of a preset of that kind. Reports everything that is wrong with it.
pub fn compile(
    node: Node<'_>,
    row: Option<&JwtRow>,
    scheme_context: &SchemeContext<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<Jwt> {
    if row.is_none() && !node.is_mapping() {
        diagnostics.push(
            node.error("wrong-value", "`jwt` needs algorithms and keys")
                .hint("`{jwt: {algorithms: [ES256], jwks: file:/etc/hookyard/jwks.json}}`"),
        );
        return None;
    }
    let shape: JwtShape = if node.is_mapping() {
        node.read(diagnostics)?
    } else {
        JwtShape::default()
    };
    let reading = JwtCompiler {
        node,
        keyring: scheme_context.keyring,
    };
    let algorithms = reading.algorithms(row, diagnostics);
    let keys = reading.keys(&algorithms, diagnostics);
    let place = reading.place(row, &shape, diagnostics);
    let written = |name: Option<&str>| name.filter(|name| *name != "none").map(str::to_owned);
    let body_hash = written(shape.body_hash.as_deref().or(row.map(|row| row.body_hash)));
    // Where the body is not signed the token is a pass that is shown again and again, and its `exp` says for how long.
    let plain = (body_hash.is_some() && row.is_none()).then_some("iat");
    let timestamp = written(shape.timestamp.as_deref().or(plain));
    for (key, said) in [("body_hash", &body_hash), ("timestamp", &timestamp)] {
        if said.as_ref().is_some_and(String::is_empty) {
            let message = format!("`{key}` is the name of a claim, or `none`");
            diagnostics.push(reading.at(key).error("wrong-value", message));
        }
    }
    let issuers = reading.names("issuer", diagnostics);
    let demands = Demands {
        issuers: issuers
            .or_else(|| Some(vec![row?.issuer.to_owned()]))
            .unwrap_or_default(),
        audiences: reading.names("audience", diagnostics).unwrap_or_default(),
        claims: reading.claims(diagnostics),
        body_hash,
    };
    let ids = reading.ids(diagnostics);
    reading.judge(&demands, &ids, &algorithms, diagnostics);
    (!keys.is_empty() && !algorithms.is_empty()).then_some(Jwt {
        algorithms,
        keys,
        place: place?,
        demands,
        timestamp,
        ids,
        max_body: scheme_context.max_body,
    })
}

/// The one header that a field names.
fn one_header(node: Node<'_>, diagnostics: &mut Diagnostics) -> Option<HeaderName> {
    if node.value().is_sequence() {
        diagnostics.push(node.error("wrong-value", "wrong type: one header is taken here"));
        return None;
    }
    settings::header_names(node, diagnostics)?.into_iter().next()
}

/// Where one id stands.
fn id(node: Node<'_>, diagnostics: &mut Diagnostics) -> Option<IdPlace> {
    if !node.is_mapping() {
        let message = "`id` says where it stands: `id: {claim: jti}`, or `none`";
        diagnostics.push(node.error("wrong-value", message));
        return None;
    }
    let shape: JwtIdShape = node.read(diagnostics)?;
    let given = [
        shape.claim.is_some(),
        shape.header.is_some(),
        shape.json.is_some(),
    ];
    if given.iter().filter(|given| **given).count() != 1 {
        let message = "`id` stands in one place: `claim`, `header` or `json`";
        diagnostics.push(node.error("ambiguous-place", message));
        return None;
    }
    if let Some(claim) = shape.claim {
        return Some(IdPlace::Claim(claim));
    }
    let place = match (shape.json, node.given("json"), node.given("header")) {
        (Some(text), Some(at), _) => Location::Json(settings::path(at, &text, diagnostics)?),
        (_, _, Some(header)) => Location::Headers(settings::header_names(header, diagnostics)?),
        _ => return None,
    };
    Some(IdPlace::Request(place))
}

/// The settings that are being read.
pub(super) struct JwtCompiler<'d> {
    /// The scheme's mapping, or the secret that stands for it.
    pub node: Node<'d>,
    /// Reads secrets and keys.
    pub keyring: &'d Keyring,
}

impl<'d> JwtCompiler<'d> {
    /// The place of a finding about `key`: the field's, or the scheme's if the field is not written.
    pub fn at(&self, key: &str) -> Node<'d> {
        self.node.get(key).unwrap_or(self.node)
    }

    /// Where the token stands.
    fn place(
        &self,
        row: Option<&JwtRow>,
        shape: &JwtShape,
        diagnostics: &mut Diagnostics,
    ) -> Option<TokenPlace> {
        let header = self.node.given("header");
        if let Some(query) = &shape.query {
            if header.is_some() || shape.prefix.is_some() {
                let message = "a token stands in one place: `header`, with a `prefix`, or `query`";
                diagnostics.push(self.at("query").error("ambiguous-place", message));
            }
            return Some(TokenPlace::Query(query.clone()));
        }
        let header = match (header, row) {
            (Some(header), _) => one_header(header, diagnostics)?,
            (None, Some(row)) => settings::row_names(&[row.header]).pop()?,
            (None, None) => AUTHORIZATION,
        };
        let plain = if header == AUTHORIZATION { "Bearer " } else { "" };
        let prefix = shape.prefix.as_deref().unwrap_or(plain).to_owned();
        Some(TokenPlace::Header(header, prefix))
    }

    /// The texts under `key`, one or several; nothing if it is not written.
    fn names(&self, key: &str, diagnostics: &mut Diagnostics) -> Option<Vec<String>> {
        let node = self.node.given(key)?;
        let items = node.one_or_many();
        if items.is_empty() || items.len() > MAX_NAMES {
            let message = format!("{} values: from 1 to {MAX_NAMES} are taken", items.len());
            diagnostics.push(node.error("wrong-value", message));
        }
        let mut names = Vec::with_capacity(items.len());
        for item in items {
            match item.as_str() {
                Some(name) if !name.is_empty() => names.push(name.to_owned()),
                _ => diagnostics.push(item.error("wrong-value", format!("`{key}` is text, and not empty"))),
            }
        }
        Some(names)
    }

    /// The claims that must be there with these values.
    fn claims(&self, diagnostics: &mut Diagnostics) -> Vec<(String, Value)> {
        let Some(node) = self.node.given("claims") else {
            return Vec::new();
        };
        let entries = node.entries();
        if entries.is_empty() {
            let message = "`claims` has a value for each claim: `claims: {email_verified: true}`";
            diagnostics.push(node.error("wrong-value", message));
        }
        let mut claims = Vec::with_capacity(entries.len());
        for (name, item) in entries {
            match item.value() {
                serde_yaml::Value::String(text) => claims.push((name.to_owned(), text.as_str().into())),
                serde_yaml::Value::Bool(said) => claims.push((name.to_owned(), (*said).into())),
                serde_yaml::Value::Number(number) if number.is_i64() || number.is_u64() => {
                    let whole = number
                        .as_u64()
                        .map(Value::from)
                        .or_else(|| number.as_i64().map(Value::from));
                    claims.extend(whole.map(|whole| (name.to_owned(), whole)));
                }
                _ => {
                    let message = format!("`{name}` is text, a whole number, true or false");
                    diagnostics.push(item.error("wrong-value", message));
                }
            }
        }
        claims
    }

    /// Where ids stand.
    fn ids(&self, diagnostics: &mut Diagnostics) -> Vec<IdPlace> {
        let Some(node) = self.node.given("id") else {
            return Vec::new();
        };
        if node.as_str() == Some("none") {
            return Vec::new();
        }
        let items = node.one_or_many();
        if items.is_empty() || items.len() > settings::MAX_IDS {
            let message = format!("{} ids: from 1 to {} are taken", items.len(), settings::MAX_IDS);
            diagnostics.push(node.error("wrong-value", message));
        }
        let ids = items.into_iter().filter_map(|item| id(item, diagnostics));
        ids.collect()
    }

    /// Says what is left unprotected.
    fn judge(
        &self,
        demands: &Demands,
        ids: &[IdPlace],
        algorithms: &[JwtAlgorithm],
        diagnostics: &mut Diagnostics,
    ) {
        if demands.body_hash.is_none() && self.node.given("body_hash").is_none() {
            let message = "the token does not cover the body: a genuine one lets any body in";
            diagnostics.push(self.node.warning("unsigned-body", message).hint(
                "`body_hash: CLAIM` where a claim holds the body's SHA-256, `body_hash: none` where none does",
            ));
        }
        let public = algorithms.iter().any(|algorithm| !algorithm.takes_secret());
        if demands.body_hash.is_none() && public && demands.audiences.is_empty() && demands.claims.is_empty()
        {
            let message =
                "whoever has any token that was signed with these keys is let in, whatever it was made for";
            diagnostics.push(self.node.warning("any-audience", message).hint(
                "`audience: URL`, and `claims: {email: …}` where others have tokens of the same issuer",
            ));
        }
        let unsigned = |id: &IdPlace| matches!(id, IdPlace::Request(Location::Headers(_)));
        if demands.body_hash.is_some() && ids.iter().any(unsigned) {
            let message = "the token does not cover the id: events are not recognised by it";
            diagnostics.push(
                self.at("id")
                    .warning("unsigned-id", message)
                    .hint("the token itself is remembered instead"),
            );
        }
    }
}
