//! Compiler from YAML to a [`Handshake`]: the settings `handshake`, `verify_token` and `learn` of a
//! scheme.
//!
//! Only this file reads them. The schemes merely permit them in their mappings.

use super::definition::HandshakeDefinition;
use super::shape;
use super::{EnrollSettings, Handshake};
use crate::base::diagnostic::Diagnostics;
use crate::base::secret::{Keyring, Secret};
use crate::base::yaml::{Node, unknown};
use crate::verify::context::SchemeContext;
use crate::verify::definitions::Definitions;
use crate::verify::parts::keys::ConfiguredKey;
use crate::verify::parts::secrets;
use crate::verify::parts::settings::Settings;
use crate::verify::scheme::Scheme;

/// Compiles the handshake that the settings give or name.
///
/// Adds all errors to `diagnostics`, including conflicts with `scheme`.
pub fn compile(
    settings: &Settings<'_>,
    scheme: Option<&dyn Scheme>,
    context: &SchemeContext<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<Handshake> {
    let written = written(settings, context.schemes, diagnostics);
    let definition = match written {
        Some((name, node)) => Some(shape::compile(name, node, diagnostics)?),
        None => None,
    };
    let used = Used {
        settings,
        definition: definition.as_ref(),
        schemes: context.schemes,
    };
    let verify_tokens = used.verify_tokens(context.keyring, diagnostics);
    let learning = used.learning(scheme, context.keyring, diagnostics);
    let definition = definition?;
    if let Some(scheme) = scheme {
        check(settings, &definition, scheme, diagnostics);
    }
    Some(Handshake {
        definition,
        verify_tokens,
        learning,
    })
}

/// Finds the mapping of the handshake, and the scheme that defines it.
fn written<'d>(
    settings: &Settings<'d>,
    schemes: &'d Definitions<'d>,
    diagnostics: &mut Diagnostics,
) -> Option<(&'d str, Node<'d>)> {
    let layer = settings.nearest(&["handshake"])?;
    let node = layer.node.given("handshake")?;
    if node.is_mapping() {
        return Some((layer.name, node));
    }
    match node.as_str() {
        None => {
            let message = "`handshake` is a name, or `none`";
            diagnostics.push(node.error("wrong-value", message));
            None
        }
        Some("none") => None,
        Some(name) => {
            let found = schemes.handshake(name);
            if found.is_none() {
                let known = schemes.with_handshake().chain(["none"]);
                diagnostics.push(unknown(
                    node.origin(),
                    "unknown-handshake",
                    "handshake",
                    name,
                    known,
                ));
            }
            found
        }
    }
}

/// The handshake of a scheme, and the settings that belong to it.
struct Used<'u> {
    settings: &'u Settings<'u>,
    definition: Option<&'u HandshakeDefinition>,
    schemes: &'u Definitions<'u>,
}

impl Used<'_> {
    fn verify_tokens(&self, keyring: &Keyring, diagnostics: &mut Diagnostics) -> Vec<ConfiguredKey<Secret>> {
        let Some(token) = self.settings.given("verify_token") else {
            return Vec::new();
        };
        let asks = |definition: &HandshakeDefinition| definition.verify_token.is_some();
        if !self.definition.is_some_and(asks) {
            self.no_use(token, "verify_token", asks, diagnostics);
            return Vec::new();
        }
        let secrets = secrets::secrets_in(token, "verify_token", 0, keyring, diagnostics);
        secrets.into_iter().map(|(_, held)| held).collect()
    }

    /// Reports a setting that the handshake does not use.
    fn no_use(
        &self,
        node: Node<'_>,
        key: &str,
        asks: fn(&HandshakeDefinition) -> bool,
        diagnostics: &mut Diagnostics,
    ) {
        let message = match self.definition {
            Some(definition) => format!(
                "`{key}` is of no use: the handshake `{}` does not ask for it",
                definition.name
            ),
            None => format!("`{key}` is of no use without a handshake"),
        };
        let asking = self.schemes.with_handshake().filter(|name| {
            let layer = self.schemes.handshake(name);
            let definition = layer.and_then(|(_, node)| shape::compile(name, node, &mut Diagnostics::new()));
            definition.as_ref().is_some_and(asks)
        });
        let asking: Vec<&str> = asking.collect();
        let diagnostic = node.error("handshake", message);
        diagnostics.push(diagnostic.hint(format!("it belongs to the handshake {}", asking.join(" or "))));
    }

    /// Reads the file that stores the secret.
    fn learning(
        &self,
        scheme: Option<&dyn Scheme>,
        keyring: &Keyring,
        diagnostics: &mut Diagnostics,
    ) -> Option<EnrollSettings> {
        let learn = self.settings.given("learn")?;
        if !self.definition.is_some_and(HandshakeDefinition::learns) {
            self.no_use(learn, "learn", HandshakeDefinition::learns, diagnostics);
            return None;
        }
        if scheme.is_some_and(|scheme| !scheme.takes_any_secret()) {
            // A secret that cannot be decoded would prevent the rules from loading, and a stranger
            // may send any secret.
            let message = "`learn` needs a scheme that signs with a secret of any text, such as `hmac` with `secret_encoding: utf8`";
            diagnostics.push(learn.error("handshake", message));
            return None;
        }
        if self.settings.given("secret").is_some() {
            let message =
                "`secret` and `learn` exclude each other: the secret that is learnt would be another";
            diagnostics.push(learn.error("handshake", message));
            return None;
        }
        let Some(written) = learn.as_str().filter(|written| !written.is_empty()) else {
            diagnostics.push(learn.error("wrong-value", "`learn` is the path of a file"));
            return None;
        };
        if let Some((prefix @ ("env" | "file" | "credential"), _)) = written.split_once(':') {
            let message = format!("`learn` is the path of a file, without `{prefix}:`");
            diagnostics.push(learn.error("wrong-value", message));
            return None;
        }
        match keyring.at(learn).learnt(written) {
            Ok((file, learnt, warning)) => {
                if learnt.is_none() {
                    let folder = file.parent().unwrap_or(&file);
                    let message = if folder.is_dir() {
                        format!(
                            "nothing is learnt yet: until `{written}` is written, only the handshake is let in"
                        )
                    } else {
                        format!("the folder of `{written}` does not exist, and nothing can be learnt")
                    };
                    diagnostics.push(learn.warning("nothing-learnt", message));
                }
                diagnostics.extend(warning.map(|warning| learn.warning("secret", warning)));
                Some(EnrollSettings { file, learnt })
            }
            Err(message) => {
                diagnostics.push(learn.error("secret", message));
                None
            }
        }
    }
}

/// Checks that the scheme has the key for the answers, and that the answers do not allow forged
/// events.
fn check(
    settings: &Settings<'_>,
    definition: &HandshakeDefinition,
    scheme: &dyn Scheme,
    diagnostics: &mut Diagnostics,
) {
    let at = settings.at("handshake");
    let name = &definition.name;
    if definition.tells_macs() && scheme.mac_keys().is_none() {
        let message =
            format!("the handshake `{name}` is answered with an HMAC, and this scheme has no secret for one");
        diagnostics.push(at.error("handshake", message));
    } else if definition.tells_macs_to_strangers() && !scheme.signs_body_alone() {
        let message = format!(
            "the handshake `{name}` tells strangers HMACs under the secret: with another content than `{{body}}` they could sign with them"
        );
        diagnostics.push(at.error("handshake", message));
    }
}
