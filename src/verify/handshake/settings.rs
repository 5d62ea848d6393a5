//! Compiler from YAML to a [`Handshake`]: the settings `handshake`, `verify_token` and `learn` of a
//! scheme.
//!
//! Only this file reads them. The schemes merely permit them in their mappings.

use super::row::HandshakePreset;
use super::rows::HANDSHAKES;
use super::{EnrollSettings, Handshake};
use crate::base::diagnostic::Diagnostics;
use crate::base::secret::{Keyring, Secret};
use crate::base::yaml::{Node, unknown};
use crate::verify::scheme::signature::keys::ConfiguredKey;
use crate::verify::scheme::{Scheme, settings};

/// Compiles the handshake that the settings `node` name, or that of the sender, `by_default`.
///
/// Adds all errors to `diagnostics`, including conflicts with `scheme`.
pub fn compile(
    node: Node<'_>,
    by_default: Option<&str>,
    scheme: Option<&Scheme>,
    keyring: &Keyring,
    diagnostics: &mut Diagnostics,
) -> Option<Handshake> {
    let row = row(node, by_default, diagnostics);
    let takes_token = row.is_some_and(|row| row.verify_token.is_some());
    let verify_tokens = match node.given("verify_token") {
        Some(token) if takes_token => settings::secrets(token, "verify_token", 0, keyring, diagnostics)
            .into_iter()
            .map(|(_, held)| held)
            .collect(),
        Some(token) => {
            no_use(
                token,
                "verify_token",
                row,
                |row| row.verify_token.is_some(),
                diagnostics,
            );
            Vec::new()
        }
        None => Vec::new(),
    };
    let learning = node.given("learn").and_then(|learn| {
        if !row.is_some_and(HandshakePreset::learns) {
            no_use(learn, "learn", row, HandshakePreset::learns, diagnostics);
            return None;
        }
        learning(node, learn, scheme, keyring, diagnostics)
    });
    let row = row?;
    if let Some(scheme) = scheme {
        check(node, row, scheme, diagnostics);
    }
    Some(Handshake {
        row,
        verify_tokens,
        learning,
    })
}

/// Returns the secrets of a scheme with `learn` instead of `secret`. Empty until one is stored.
///
/// `None` if there is no `learn`. Errors of the file are reported by [`compile`].
pub fn learnt(node: Node<'_>, keyring: &Keyring) -> Option<Vec<ConfiguredKey<Secret>>> {
    let learn = node.given("learn")?;
    if node.given("secret").is_some() {
        return None;
    }
    let stored = learn.as_str().and_then(|file| keyring.learnt(file).ok());
    let held = stored.and_then(|(_, stored, _)| stored).map(|key| ConfiguredKey {
        key,
        source: "learn".into(),
        not_after: None,
    });
    Some(held.into_iter().collect())
}

/// Finds the row of the handshake.
fn row(
    node: Node<'_>,
    by_default: Option<&str>,
    diagnostics: &mut Diagnostics,
) -> Option<&'static HandshakePreset> {
    let named = |name: &str| HANDSHAKES.iter().find(|row| row.name == name);
    let Some(written) = node.given("handshake") else {
        return by_default.and_then(named);
    };
    match written.as_str() {
        None => {
            let message = "`handshake` is a name, or `none`";
            diagnostics.push(written.error("wrong-value", message));
            None
        }
        Some("none") => None,
        Some(name) => {
            let found = named(name);
            if found.is_none() {
                let known = HANDSHAKES.iter().map(|row| row.name).chain(["none"]);
                diagnostics.push(unknown(
                    written.origin(),
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

/// Reports a setting that the handshake does not use.
fn no_use(
    node: Node<'_>,
    key: &str,
    row: Option<&HandshakePreset>,
    asks: fn(&HandshakePreset) -> bool,
    diagnostics: &mut Diagnostics,
) {
    let message = match row {
        Some(row) => format!(
            "`{key}` is of no use: the handshake `{}` does not ask for it",
            row.name
        ),
        None => format!("`{key}` is of no use without a handshake"),
    };
    let asking: Vec<&str> = HANDSHAKES
        .iter()
        .filter(|row| asks(row))
        .map(|row| row.name)
        .collect();
    let diagnostic = node.error("handshake", message);
    diagnostics.push(diagnostic.hint(format!("it belongs to the handshake {}", asking.join(" or "))));
}

/// Reads the file that stores the secret.
fn learning(
    node: Node<'_>,
    learn: Node<'_>,
    scheme: Option<&Scheme>,
    keyring: &Keyring,
    diagnostics: &mut Diagnostics,
) -> Option<EnrollSettings> {
    if scheme.is_some_and(|scheme| !scheme.takes_any_secret()) {
        // A secret that cannot be decoded would prevent the rules from loading, and a stranger may
        // send any secret.
        let message = "`learn` needs a scheme that signs with a secret of any text, such as `hmac` with `secret_encoding: utf8`";
        diagnostics.push(learn.error("handshake", message));
        return None;
    }
    if node.given("secret").is_some() {
        let message = "`secret` and `learn` exclude each other: the secret that is learnt would be another";
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
    match keyring.learnt(written) {
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

/// Checks that the scheme has the key for the answers, and that the answers do not allow forged
/// events.
fn check(node: Node<'_>, row: &HandshakePreset, scheme: &Scheme, diagnostics: &mut Diagnostics) {
    let at = node.get("handshake").unwrap_or(node);
    let name = row.name;
    if row.tells_macs() && !scheme.is_keyed() {
        let message =
            format!("the handshake `{name}` is answered with an HMAC, and this scheme has no secret for one");
        diagnostics.push(at.error("handshake", message));
    } else if row.tells_macs_to_strangers() && !scheme.signs_body_alone() {
        let message = format!(
            "the handshake `{name}` tells strangers HMACs under the secret: with another content than `{{body}}` they could sign with them"
        );
        diagnostics.push(at.error("handshake", message));
    }
}
