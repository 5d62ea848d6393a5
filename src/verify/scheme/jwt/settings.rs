//! Compiler from YAML to a [`Jwt`].
//!
//! All errors are reported at once, each
//! at its own line. Settings that leave something unprotected cause a warning.

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
use crate::verify::context::SchemeContext;
use crate::verify::parts::places;
use crate::verify::parts::settings::{Settings, shape};
use crate::verify::parts::source::Location;

/// Maximum values in a list of issuers or audiences.
const MAX_NAMES: usize = 16;

shape! {
    /// Settings of `jwt`.
    JwtShape {
        /// Accepted algorithms. The token cannot extend them.
        algorithms: IgnoredAny,
        /// Source of the shared secret, for `HS…`. May be a list during rotation.
        secret: IgnoredAny,
        /// Source of the public key in PEM, for all other algorithms. May be a list during
        /// rotation.
        public_key: IgnoredAny,
        /// Source of a JWK set, for all other algorithms. A token selects a key by `kid`.
        jwks: IgnoredAny,
        /// Header that holds the token.
        header: IgnoredAny,
        /// Text before the token in the header.
        prefix: String,
        /// Query parameter that holds the token.
        query: String,
        /// Required issuer. Of a list, one must match.
        issuer: IgnoredAny,
        /// Required audience. Of a list, one must match.
        audience: IgnoredAny,
        /// Claims that must have exactly these values.
        claims: IgnoredAny,
        /// Claim that holds the hex SHA-256 of the body. `none` if there is none.
        body_hash: String,
        /// Claim that holds the time of sending. `none` to ignore it.
        timestamp: String,
        /// Location of the id that identifies an event.
        id: IgnoredAny,
    }
}

/// Shape of `id:`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JwtIdShape {
    claim: Option<String>,
    header: Option<IgnoredAny>,
    json: Option<String>,
}

/// Compiles the settings of `jwt`. Reports all errors.
pub fn compile(
    settings: &Settings<'_>,
    context: &SchemeContext<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<Jwt> {
    if let (Some(short), None) = (settings.short(), settings.given("algorithms")) {
        diagnostics.push(
            short
                .error("wrong-value", "`jwt` needs algorithms and keys")
                .hint("`{jwt: {algorithms: [ES256], jwks: file:/etc/hookyard/jwks.json}}`"),
        );
        return None;
    }
    let shapes = settings.read::<JwtShape>(diagnostics)?;
    let nearest = |text: fn(&JwtShape) -> Option<&String>| shapes.iter().find_map(text);
    let reading = JwtCompiler {
        settings,
        keyring: context.keyring,
    };
    let algorithms = reading.algorithms(diagnostics);
    let keys = reading.keys(&algorithms, diagnostics);
    let place = reading.place(nearest(|shape| shape.prefix.as_ref()), diagnostics);
    let written = |name: Option<&str>| name.filter(|name| *name != "none").map(str::to_owned);
    let body_hash = written(nearest(|shape| shape.body_hash.as_ref()).map(String::as_str));
    let timestamp = nearest(|shape| shape.timestamp.as_ref()).map(String::as_str);
    // If the body is not signed, the token is reused until its `exp`.
    let plain = body_hash.is_some().then_some("iat");
    let timestamp = written(timestamp.or(plain));
    for (key, said) in [("body_hash", &body_hash), ("timestamp", &timestamp)] {
        if said.as_ref().is_some_and(String::is_empty) {
            let message = format!("`{key}` is the name of a claim, or `none`");
            diagnostics.push(settings.at(key).error("wrong-value", message));
        }
    }
    let demands = Demands {
        issuers: reading.names("issuer", diagnostics),
        audiences: reading.names("audience", diagnostics),
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
        max_body: context.max_body,
    })
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
        (Some(text), Some(at), _) => Location::Json(places::path(at, &text, diagnostics)?),
        (_, _, Some(header)) => Location::Headers(places::header_names(header, diagnostics)?),
        _ => return None,
    };
    Some(IdPlace::Request(place))
}

/// State of the compilation.
pub(super) struct JwtCompiler<'d> {
    pub settings: &'d Settings<'d>,
    /// Reader of secrets and keys.
    pub keyring: &'d Keyring,
}

impl JwtCompiler<'_> {
    /// Location of the token. Without a setting it is `Authorization`.
    fn place(&self, prefix: Option<&String>, diagnostics: &mut Diagnostics) -> Option<TokenPlace> {
        let layer = self.settings.nearest(&["header", "query"]);
        let given = |key: &str| layer.and_then(|layer| layer.node.given(key));
        let header = given("header");
        if let Some(query) = given("query").and_then(|query| query.as_str()) {
            let prefixed = layer.is_some_and(|layer| layer.node.given("prefix").is_some());
            if header.is_some() || prefixed {
                let message = "a token stands in one place: `header`, with a `prefix`, or `query`";
                diagnostics.push(self.settings.at("query").error("ambiguous-place", message));
            }
            return Some(TokenPlace::Query(query.to_owned()));
        }
        let header = match header {
            Some(header) => places::one_header(header, diagnostics)?,
            None => AUTHORIZATION,
        };
        let plain = if header == AUTHORIZATION { "Bearer " } else { "" };
        let prefix = prefix.map_or(plain, String::as_str).to_owned();
        Some(TokenPlace::Header(header, prefix))
    }

    /// Reads one or several texts under `key`. Empty if absent.
    fn names(&self, key: &str, diagnostics: &mut Diagnostics) -> Vec<String> {
        let Some(node) = self.settings.given(key) else {
            return Vec::new();
        };
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
        names
    }

    /// Reads the claims that must have these values.
    fn claims(&self, diagnostics: &mut Diagnostics) -> Vec<(String, Value)> {
        let Some(node) = self.settings.given("claims") else {
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
        let Some(node) = self.settings.given("id") else {
            return Vec::new();
        };
        if node.as_str() == Some("none") {
            return Vec::new();
        }
        let items = node.one_or_many();
        if items.is_empty() || items.len() > places::MAX_IDS {
            let message = format!("{} ids: from 1 to {} are taken", items.len(), places::MAX_IDS);
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
        if demands.body_hash.is_none() && self.settings.given("body_hash").is_none() {
            let message = "the token does not cover the body: a genuine one lets any body in";
            diagnostics.push(self.settings.place().warning("unsigned-body", message).hint(
                "`body_hash: CLAIM` where a claim holds the body's SHA-256, `body_hash: none` where none does",
            ));
        }
        let public = algorithms.iter().any(|algorithm| !algorithm.takes_secret());
        if demands.body_hash.is_none() && public && demands.audiences.is_empty() && demands.claims.is_empty()
        {
            let message = "any token that was signed with these keys is let in, whatever it was made for";
            diagnostics.push(self.settings.place().warning("any-audience", message).hint(
                "`audience: URL`, and `claims: {email: …}` where others have tokens of the same issuer",
            ));
        }
        let unsigned = |id: &IdPlace| matches!(id, IdPlace::Request(Location::Headers(_)));
        if demands.body_hash.is_some() && ids.iter().any(unsigned) {
            let message = "the token does not cover the id: events are not recognised by it";
            diagnostics.push(
                self.settings
                    .at("id")
                    .warning("unsigned-id", message)
                    .hint("the token itself is remembered instead"),
            );
        }
    }
}
