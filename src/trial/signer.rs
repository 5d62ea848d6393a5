//! The scheme that signs a request of a test: one of its endpoint, or another.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::read;
use crate::base::diagnostic::{Diagnostics, Severity, Source};
use crate::base::secret::Keyring;
use crate::base::yaml::{Document, Node};
use crate::rules::{Endpoint, RuleSet};
use crate::verify::{Definitions, SchemeContext, Verification};

/// The scheme that signs a request.
#[derive(Clone, Debug)]
pub enum Signer {
    /// The endpoint's verification with this index.
    OfEndpoint(usize),
    Own(Arc<Verification>),
    None,
}

/// Compiler of signers, with the rules and secrets of the tests.
pub(super) struct Signers<'r> {
    /// `None` if the rules cannot be used.
    pub rules: Option<&'r RuleSet>,
    /// Texts of the rules.
    pub documents: &'r [Document],
    /// The secrets of the tests.
    pub keyring: &'r Keyring,
    pub definitions: Definitions<'r>,
}

impl<'r> Signers<'r> {
    pub(super) fn new(rules: Option<&'r RuleSet>, documents: &'r [Document], keyring: &'r Keyring) -> Self {
        let schemes = documents
            .iter()
            .filter_map(|document| document.root().given("schemes"));
        Self {
            rules,
            documents,
            keyring,
            definitions: Definitions::read(schemes, &mut Diagnostics::new()),
        }
    }

    /// The signer of a request. `None` after an error.
    pub(super) fn signer(
        &self,
        request: Node<'_>,
        endpoint: Option<&Endpoint>,
        diagnostics: &mut Diagnostics,
    ) -> Option<Signer> {
        let Some(node) = request.given("as") else {
            return Some(usual(endpoint));
        };
        let Some(rules) = self.rules else {
            return Some(Signer::None);
        };
        if node.is_mapping() {
            return self.with_settings(rules, node, endpoint, diagnostics);
        }
        let name = read::text(node, diagnostics)?;
        if name == "none" {
            return Some(Signer::None);
        }
        let verifications = endpoint
            .map(|endpoint| endpoint.verifications.as_slice())
            .unwrap_or_default();
        let mut named = verifications
            .iter()
            .enumerate()
            .filter(|(_, known)| **known.scheme() == *name);
        if let Some((index, _)) = named.find(|(_, known)| known.can_sign()) {
            return Some(Signer::OfEndpoint(index));
        }
        if !self.definitions.names().any(|known| known == name) {
            let known = self.definitions.names();
            diagnostics.push(crate::base::yaml::unknown(
                node.origin(),
                "unknown-scheme",
                "scheme",
                &name,
                known,
            ));
            return None;
        }
        if name == "client_cert" {
            let diagnostic = node.error("as", "a certificate signs no request");
            diagnostics.push(
                diagnostic.hint("write `certificate: {san: …}` beside `as`, and `as: none` for nothing more"),
            );
            return None;
        }
        let message = format!("the endpoint has no key that signs by `{name}`");
        let hint = format!("give the key: `as: {{{name}: {{{}: …}}}}`", secret_key(&name));
        diagnostics.push(node.error("as", message).hint(hint));
        None
    }

    /// Compiles a scheme with the settings of the endpoint and those that differ.
    fn with_settings(
        &self,
        rules: &RuleSet,
        node: Node<'_>,
        endpoint: Option<&Endpoint>,
        diagnostics: &mut Diagnostics,
    ) -> Option<Signer> {
        let entries = node.entries();
        let [(name, settings)] = entries.as_slice() else {
            let message = "`as` is one scheme with its settings: `{github: {secret: wrong}}`";
            diagnostics.push(node.error("as", message));
            return None;
        };
        let base = endpoint.and_then(|endpoint| self.settings_of(&endpoint.path, name));
        let mut all = base.map(|base| named_settings(name, base)).unwrap_or_default();
        all.extend(named_settings(name, read::json(*settings, diagnostics)?));
        let text = json!({ *name: all }).to_string();
        match self.compile(rules, text) {
            Ok(verification) => Some(Signer::Own(Arc::new(verification))),
            Err(message) => {
                diagnostics.push(node.error("as", message));
                None
            }
        }
    }

    fn compile(&self, rules: &RuleSet, text: String) -> Result<Verification, String> {
        let mut found = Diagnostics::new();
        let source = Source {
            path: Path::new("as").to_owned(),
            text,
        };
        let context = SchemeContext {
            keyring: self.keyring,
            schemes: &self.definitions,
            public_url: rules.server.public_url.as_deref(),
            max_body: u64::MAX,
            decompress_unverified: false,
            beside_others: false,
        };
        let document = Document::parse(source, &mut found);
        let compiled =
            document.and_then(|document| Verification::compile(document.root(), &context, &mut found));
        let errors = found.iter().filter(|one| one.severity == Severity::Error);
        let messages: Vec<&str> = errors.map(|one| one.message.as_str()).collect();
        match compiled {
            Some(verification) if messages.is_empty() && verification.can_sign() => Ok(verification),
            Some(_) if messages.is_empty() => {
                Err("this scheme cannot sign: it has no key for that".to_owned())
            }
            _ => Err(messages.join("; ")),
        }
    }

    /// The settings of a scheme as a rule or an endpoint writes them.
    fn settings_of(&self, path: &str, scheme: &str) -> Option<Value> {
        let roots = self.documents.iter().map(Document::root);
        let verifies = roots.flat_map(|root| {
            let rules = root.given("rules").map(|rules| rules.items()).unwrap_or_default();
            let rules = rules.into_iter().filter(|rule| {
                let endpoint = rule.get("endpoint").and_then(|node| node.as_str());
                endpoint == Some(path)
            });
            let endpoint = root.given("endpoints").and_then(|all| all.get(path));
            let both: Vec<Node<'_>> = rules
                .chain(endpoint)
                .filter_map(|node| node.given("verify"))
                .collect();
            both
        });
        let each = verifies.flat_map(|verify| match verify.get("any") {
            Some(any) => any.items(),
            None => vec![verify],
        });
        let mut settings = each.filter_map(|verify| verify.get(scheme));
        serde_json::to_value(settings.next()?.value()).ok()
    }
}

/// The first verification of the endpoint's rules that can sign.
fn usual(endpoint: Option<&Endpoint>) -> Signer {
    let Some(endpoint) = endpoint else {
        return Signer::None;
    };
    let enabled = endpoint.rules.iter().filter(|rule| rule.enabled);
    let indices = enabled
        .flat_map(|rule| &rule.alternatives)
        .map(|known| known.verification);
    let can_sign = |index: &usize| {
        let verification = endpoint.verifications.get(*index);
        verification.is_some_and(Verification::can_sign)
    };
    let mut indices = indices.filter(can_sign);
    indices.next().map_or(Signer::None, Signer::OfEndpoint)
}

/// The settings of a scheme: a single value is its secret.
fn named_settings(name: &str, value: Value) -> Map<String, Value> {
    match value {
        Value::Object(settings) => settings,
        secret => Map::from_iter([(secret_key(name).to_owned(), secret)]),
    }
}

fn secret_key(scheme: &str) -> &'static str {
    crate::verify::secret_key(scheme).unwrap_or("secret")
}
