//! Compiler from YAML and a preset row to a [`Jwt`].
//!
//! Each setting in the rules file overrides that of the row. All errors are reported at once, each
//! at its own line. Settings that leave something unprotected cause a warning.

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

/// Maximum values in a list of issuers or audiences.
const MAX_NAMES: usize = 16;

/// Settings of `jwt`, and of the presets of that kind.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "most are read from the node, item by item")]
struct JwtShape {
    /// Accepted algorithms. The token cannot extend them.
    algorithms: Option<IgnoredAny>,
    /// Source of the shared secret, for `HS…`. May be a list during rotation.
    secret: Option<IgnoredAny>,
    /// Source of the public key in PEM, for all other algorithms. May be a list during rotation.
    public_key: Option<IgnoredAny>,
    /// Source of a JWK set, for all other algorithms. A token selects a key by `kid`.
    jwks: Option<IgnoredAny>,
    /// Header that holds the token.
    header: Option<IgnoredAny>,
    /// Text before the token in the header.
    prefix: Option<String>,
    /// Query parameter that holds the token.
    query: Option<String>,
    /// Required issuer. Of a list, one must match.
    issuer: Option<IgnoredAny>,
    /// Required audience. Of a list, one must match.
    audience: Option<IgnoredAny>,
    /// Claims that must have exactly these values.
    claims: Option<IgnoredAny>,
    /// Claim that holds the hex SHA-256 of the body. `none` if there is none.
    body_hash: Option<String>,
    /// Claim that holds the time of sending. `none` to ignore it.
    timestamp: Option<String>,
    /// Location of the id that identifies an event.
    id: Option<IgnoredAny>,
    /// Handshake to answer. Default: none.
    handshake: Option<IgnoredAny>,
    /// Token that the sender of a handshake must present.
    verify_token: Option<IgnoredAny>,
    /// File that stores the secret received in a handshake.
    learn: Option<IgnoredAny>,
}

/// Shape of `id:`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JwtIdShape {
    claim: Option<String>,
    header: Option<IgnoredAny>,
    json: Option<String>,
}

/// Compiles the value of `jwt:` (without a row), or of a preset of that kind. Reports all errors.
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
    // If the body is not signed, the token is reused until its `exp`.
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

/// Reads the name of a single header.
fn one_header(node: Node<'_>, diagnostics: &mut Diagnostics) -> Option<HeaderName> {
    if node.value().is_sequence() {
        diagnostics.push(node.error("wrong-value", "wrong type: one header is taken here"));
        return None;
    }
    settings::header_names(node, diagnostics)?.into_iter().next()
}

/// Reads the location of one id.
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

/// State of the compilation.
pub(super) struct JwtCompiler<'d> {
    /// Mapping of the scheme, or the secret in its place.
    pub node: Node<'d>,
    /// Reader of secrets and keys.
    pub keyring: &'d Keyring,
}

impl<'d> JwtCompiler<'d> {
    /// Node for a diagnostic about `key`: the setting, or the scheme if the setting is absent.
    pub fn at(&self, key: &str) -> Node<'d> {
        self.node.get(key).unwrap_or(self.node)
    }

    /// Location of the token.
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

    /// Reads one or several texts under `key`. `None` if absent.
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

    /// Reads the claims that must have these values.
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

    /// Reads the locations of ids.
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

    /// Warns about parts that are left unprotected.
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
            let message = "any token that was signed with these keys is let in, whatever it was made for";
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
