//! `server.tls.acme`: the certificate authority, the names of the certificate, and the account.
//! Checks them offline; the authority is first contacted by `acme::Renewer`.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use data_encoding::BASE64URL_NOPAD;
use http::Uri;
use http::uri::Authority;
use serde::Deserialize;
use serde::de::IgnoredAny;
use sha2::{Digest, Sha256};

use crate::acme::{Acme, Eab, Issued, Settings};
use crate::base::diagnostic::Diagnostics;
use crate::base::secret::{Keyring, Secret};
use crate::base::yaml::Node;
use crate::tls::pem;

/// Default of `directory`: Let's Encrypt (<https://letsencrypt.org/docs/acme-protocol-updates/>).
const DEFAULT_DIRECTORY: &str = "https://acme-v02.api.letsencrypt.org/directory";
/// Maximum names in one certificate. Let's Encrypt has the same limit.
const MAX_DOMAINS: usize = 100;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "read from the node: its place is needed")]
struct AcmeFields {
    domains: Option<IgnoredAny>,
    agree_tos: Option<bool>,
    contact: Option<IgnoredAny>,
    directory: Option<String>,
    ca: Option<IgnoredAny>,
    eab: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "read from the node: its place is needed")]
struct EabFields {
    kid: Option<String>,
    key: Option<IgnoredAny>,
}

/// Compiles `acme`. Collects all errors before it gives up.
pub fn compile(node: Node<'_>, keyring: &Keyring, diagnostics: &mut Diagnostics) -> Option<Acme> {
    if !node.is_mapping() {
        let diagnostic = node.error("acme", "`acme` is a mapping");
        diagnostics.push(diagnostic.hint("write `acme: {domains: [hooks.example.org], agree_tos: true}`"));
        return None;
    }
    let fields: AcmeFields = node.read(diagnostics)?;
    let before = diagnostics.errors();
    let mut digest = Sha256::new();
    let domains = domains(node, diagnostics);
    if fields.agree_tos != Some(true) {
        let location = node.get("agree_tos").unwrap_or(node);
        let diagnostic = location.error(
            "acme",
            "the authority issues nothing unless its terms are agreed to",
        );
        diagnostics.push(diagnostic.hint("read them, and write `agree_tos: true`"));
    }
    let contact = contact(node, diagnostics);
    let directory = fields.directory.unwrap_or_else(|| DEFAULT_DIRECTORY.to_owned());
    if !is_directory(&directory) {
        let node = node.get("directory").unwrap_or(node);
        diagnostics.push(node.error("acme", "a directory is an `https` URL"));
    }
    let roots = node.given("ca").and_then(|ca| {
        let file = pem::file(ca, false, keyring, diagnostics)?;
        digest.update(Sha256::digest(file.expose()));
        pem::roots(ca, &file, diagnostics).map(Arc::new)
    });
    let eab = node
        .given("eab")
        .and_then(|eab| binding(eab, keyring, diagnostics));
    if diagnostics.errors() > before {
        return None;
    }
    for text in domains.iter().chain(&contact).chain([&directory]) {
        digest.update(Sha256::digest(text));
    }
    if let Some(eab) = &eab {
        digest.update(Sha256::digest(&eab.kid));
        digest.update(Sha256::digest(eab.key.expose()));
    }
    Some(Acme {
        settings: Arc::new(Settings {
            directory,
            domains,
            contact,
            roots,
            eab,
            digest: digest.finalize().into(),
        }),
        issued: Arc::new(Issued::default()),
    })
}

/// Compiles `contact`: one mail address or a list.
fn contact(node: Node<'_>, diagnostics: &mut Diagnostics) -> Vec<String> {
    let Some(list) = node.given("contact") else {
        return Vec::new();
    };
    let mut contact = Vec::new();
    for item in list.one_or_many() {
        match item.as_str().and_then(address) {
            Some(address) => contact.push(address),
            None => {
                diagnostics.push(item.error("acme", "a contact is an address of mail, `ops@example.org`"));
            }
        }
    }
    contact
}

/// True if a text is an `https` URL without credentials and without a fragment.
fn is_directory(text: &str) -> bool {
    let Ok(uri) = text.parse::<Uri>() else {
        return false;
    };
    let is_plain = |authority: &Authority| !authority.as_str().contains('@');
    uri.scheme_str() == Some("https") && uri.authority().is_some_and(is_plain) && !text.contains('#')
}

/// Compiles `domains`; no name twice.
fn domains(node: Node<'_>, diagnostics: &mut Diagnostics) -> BTreeSet<String> {
    let Some(list) = node.given("domains") else {
        diagnostics.extend(node.missing("domains"));
        return BTreeSet::new();
    };
    let items = list.one_or_many();
    if items.is_empty() || items.len() > MAX_DOMAINS {
        diagnostics.push(list.error("acme", format!("a certificate is for 1 to {MAX_DOMAINS} names")));
    }
    let mut domains = BTreeSet::new();
    for item in items {
        match item.as_str().ok_or("a name is text").and_then(domain) {
            Ok(domain) => {
                if !domains.insert(domain) {
                    diagnostics.push(item.warning("acme", "this name stands there twice"));
                }
            }
            Err(message) => diagnostics.push(item.error("acme", message)),
        }
    }
    domains
}

/// Normalizes a host name as a certificate holds it: lower case, ASCII (RFC 8555 §7.1.4).
fn domain(text: &str) -> Result<String, &'static str> {
    if text.contains('*') {
        return Err("a wildcard cannot be proved by tls-alpn-01: name each host");
    }
    if text.parse::<IpAddr>().is_ok() {
        return Err("a name, not an address");
    }
    if !text.is_ascii() {
        return Err("a name in ASCII: `xn--…` for others");
    }
    let is_label = |label: &str| {
        let bytes = label.as_bytes();
        let plain = bytes
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-');
        plain && (1..=63).contains(&bytes.len()) && !label.starts_with('-') && !label.ends_with('-')
    };
    // The last label of a name is never a number (RFC 3696 §2).
    let is_number = |label: &str| label.bytes().all(|byte| byte.is_ascii_digit());
    let is_name = text.rsplit_once('.').is_some_and(|(_, last)| !is_number(last));
    if text.len() <= 253 && is_name && text.split('.').all(is_label) {
        Ok(text.to_ascii_lowercase())
    } else {
        Err("it is no name of a host, like `hooks.example.org`")
    }
}

/// Turns a mail address into a `mailto:` URL (RFC 6068). `None` if it is not a plain address.
fn address(text: &str) -> Option<String> {
    let text = text.strip_prefix("mailto:").unwrap_or(text);
    let (name, host) = text.split_once('@')?;
    let is_plain = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_graphic());
    let plain = is_plain(name) && is_plain(host) && !host.contains('@') && !text.contains([',', '?', '%']);
    plain.then(|| format!("mailto:{text}"))
}

/// Compiles `eab`, the external account binding (RFC 8555 §7.3.4).
fn binding(node: Node<'_>, keyring: &Keyring, diagnostics: &mut Diagnostics) -> Option<Eab> {
    if !node.is_mapping() {
        let diagnostic = node.error("acme", "`eab` is a mapping");
        diagnostics
            .push(diagnostic.hint("write `eab: {kid: …, key: env:EAB_KEY}`, both as the authority says"));
        return None;
    }
    let fields: EabFields = node.read(diagnostics)?;
    for key in ["kid", "key"] {
        diagnostics.extend(node.missing(key));
    }
    let location = node.given("key")?;
    let text = keyring.read(location, diagnostics)?;
    // Some authorities show the key with padding.
    let text = text.expose().trim_ascii();
    let end = text
        .iter()
        .rposition(|byte| *byte != b'=')
        .map_or(0, |last| last + 1);
    let key = text.get(..end).and_then(|text| BASE64URL_NOPAD.decode(text).ok());
    let Some(key) = key.filter(|key| !key.is_empty()) else {
        diagnostics.push(location.error("acme", "the key is not base64url"));
        return None;
    };
    Some(Eab {
        kid: fields.kid?,
        key: Secret::new(key),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_is_a_name_that_a_certificate_can_hold() {
        assert_eq!(domain("Hooks.Example.ORG").as_deref(), Ok("hooks.example.org"));
        for wrong in [
            "*.example.org",
            "192.0.2.7",
            "::1",
            "localhost",
            "1.2.3",
            "999.1.1.1",
            "example.org.",
            "a..b",
            "-a.b",
            "a_b.c",
            "bücher.example",
            "example.org:443",
            "https://example.org",
            "",
        ] {
            assert!(domain(wrong).is_err(), "{wrong}");
        }
        let long = format!("{}.org", "a".repeat(64));
        assert!(domain(&long).is_err());
    }

    #[test]
    fn a_contact_is_a_mail_address() {
        for good in ["ops@example.org", "mailto:ops@example.org"] {
            assert_eq!(address(good).as_deref(), Some("mailto:ops@example.org"));
        }
        for wrong in ["ops", "@x", "a@", "a b@c", "a@b@c", "a@b?bcc=c", "a@b,c@d"] {
            assert_eq!(address(wrong), None, "{wrong}");
        }
    }
}
