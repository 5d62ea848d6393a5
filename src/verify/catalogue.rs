//! Catalogue of the schemes: senders, signed content and locations.
//!
//! [`catalogue`] is generated from the rows that verify, so documents cannot contradict the code.
//! `hookyard check --list-schemes` prints it as a table, and the table in the documents is that
//! output.

use std::time::Duration;

use crate::verify::scheme::presets::{
    EventAt, KeyKind, PLAIN, PLAIN_ED25519, PLAIN_P256, PRESETS, PlaceRow, Preset, SchemePreset, SignatureRow,
};
use crate::verify::scheme::signature::keys::Curve;
use crate::verify::scheme::signature::mac::{Encoding, HashAlgorithm};

/// Description of one scheme.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemeEntry {
    /// Name in the rules file.
    pub name: &'static str,
    /// Product or service that sends this way.
    pub sender: &'static str,
    /// Setting that holds the signing secret: `secret`, `password` or `private_key`.
    pub secret: &'static str,
    /// Signed content and algorithm.
    pub proof: String,
    /// Location of the proof.
    pub place: String,
    /// Location of the event name. Empty if there is none.
    pub event: String,
    /// Replay window. `None` if no timestamp is signed.
    pub window: Option<Duration>,
    /// Note for users. May be empty.
    pub note: &'static str,
}

/// All schemes: the presets sorted by name, then the generic schemes.
pub fn catalogue() -> Vec<SchemeEntry> {
    let mut entries: Vec<SchemeEntry> = PRESETS.iter().map(of_preset).collect();
    entries.sort_by_key(|entry| entry.name);
    entries.extend([
        of_signature("hmac", &PLAIN, "any sender: every field can be set"),
        of_signature("ed25519", &PLAIN_ED25519, "likewise"),
        of_signature("ecdsa_p256", &PLAIN_P256, "likewise"),
        generic(
            "token",
            "secret",
            "the secret itself",
            "any header, name in the query or JSONPath",
        ),
        generic(
            "basic",
            "password",
            "user and password (RFC 7617)",
            "`Authorization`",
        ),
        generic(
            "bearer",
            "secret",
            "the secret itself (RFC 6750)",
            "`Authorization`",
        ),
        generic(
            "jwt",
            "secret",
            "a signed token (RFC 7519), with or without a digest of the body",
            "`Authorization`, any other header or name in the query",
        ),
        SchemeEntry {
            note: "needs `server.tls.client_ca`",
            ..generic(
                "client_cert",
                "secret",
                "a certificate: its subject, a name or its fingerprint",
                "the TLS handshake",
            )
        },
        generic("none", "secret", "nothing: anybody is let in", ""),
    ]);
    entries
}

/// Formats the catalogue as a Markdown table, which is also readable in a terminal.
pub fn table() -> String {
    let heads = [
        "name",
        "sender",
        "what is verified",
        "where it stands",
        "event name",
        "fresh",
        "note",
    ];
    let mut rows = vec![heads.map(str::to_owned)];
    rows.extend(catalogue().into_iter().map(|entry| {
        let fresh = entry
            .window
            .map(|window| humantime::format_duration(window).to_string());
        [
            format!("`{}`", entry.name),
            entry.sender.to_owned(),
            entry.proof,
            entry.place,
            entry.event,
            fresh.unwrap_or_default(),
            entry.note.to_owned(),
        ]
    }));
    let mut widths = [0; 7];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: &[String; 7]| {
        let padded = cells
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!(" {cell:width$} "));
        format!("|{}|", padded.collect::<Vec<_>>().join("|"))
    };
    let rule = widths.map(|width| "-".repeat(width));
    let mut lines: Vec<String> = rows.iter().map(line).collect();
    lines.insert(1, line(&rule));
    lines.join("\n")
}

fn generic(name: &'static str, secret: &'static str, proof: &str, place: &str) -> SchemeEntry {
    SchemeEntry {
        name,
        sender: "",
        secret,
        proof: proof.to_owned(),
        place: place.to_owned(),
        event: String::new(),
        window: None,
        note: "",
    }
}

fn of_preset(preset: &Preset) -> SchemeEntry {
    let mut entry = match &preset.scheme {
        SchemePreset::Signature(row) => of_signature(preset.name, row, preset.note),
        SchemePreset::Token(row) => generic(preset.name, "secret", "the secret itself", &place(&row.place)),
        SchemePreset::Jwt(row) => generic(
            preset.name,
            "secret",
            &format!(
                "a signed token ({}) with the SHA-256 of the body",
                row.algorithms
                    .iter()
                    .map(|algorithm| algorithm.name())
                    .collect::<Vec<_>>()
                    .join(", ")
            ),
            &format!("`{}`", row.header),
        ),
        SchemePreset::Basic => generic(preset.name, "password", "user and password", "`Authorization`"),
        SchemePreset::Bearer => generic(
            preset.name,
            "secret",
            "the secret itself, as a bearer token",
            "`Authorization`",
        ),
        SchemePreset::Adyen => generic(
            preset.name,
            "secret",
            "eight fields of each item: HMAC-SHA256, base64",
            "`$.notificationItems[*].NotificationRequestItem.additionalData.hmacSignature`",
        ),
    };
    entry.sender = preset.sender;
    entry.note = preset.note;
    entry.event = preset.event.as_ref().map(event).unwrap_or_default();
    entry
}

fn event(at: &EventAt) -> String {
    match at {
        EventAt::Header(name) | EventAt::Payload(name) => format!("`{name}`"),
        EventAt::Either(places) => places.iter().map(event).collect::<Vec<_>>().join(" or "),
    }
}

fn of_signature(name: &'static str, row: &SignatureRow, note: &'static str) -> SchemeEntry {
    let kind = match row.kind {
        KeyKind::Hmac(HashAlgorithm::Sha1) => "HMAC-SHA1",
        KeyKind::Hmac(HashAlgorithm::Sha256) => "HMAC-SHA256",
        KeyKind::Hmac(HashAlgorithm::Sha384) => "HMAC-SHA384",
        KeyKind::Hmac(HashAlgorithm::Sha512) => "HMAC-SHA512",
        KeyKind::Public(Curve::Ed25519) => "Ed25519",
        KeyKind::Public(Curve::P256) => "ECDSA P-256",
    };
    let encoding = match row.encoding {
        Encoding::Hex => "hex",
        Encoding::Base64 => "base64",
    };
    let content = match row.content {
        "twilio" => "the URL, and the fields of a form or a digest of the body".to_owned(),
        content => format!("`{content}`"),
    };
    let prefix = if row.prefix.is_empty() {
        String::new()
    } else {
        format!(", after `{}`", row.prefix)
    };
    SchemeEntry {
        name,
        sender: "",
        secret: match row.kind {
            KeyKind::Hmac(_) => "secret",
            KeyKind::Public(_) => "private_key",
        },
        proof: format!("{content}: {kind}, {encoding}"),
        place: format!("{}{prefix}", place(&row.signature)),
        event: String::new(),
        window: row.timestamp.as_ref().map(|_| row.window),
        note,
    }
}

fn place(place: &PlaceRow) -> String {
    match place {
        PlaceRow::Header(names) => names
            .iter()
            .map(|name| format!("`{name}`"))
            .collect::<Vec<_>>()
            .join(" or "),
        PlaceRow::Item(text) | PlaceRow::Json(text) => format!("`{text}`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scheme_has_its_entry_and_the_table_is_one() {
        let entries = catalogue();
        for scheme in crate::verify::schemes() {
            assert!(entries.iter().any(|entry| entry.name == scheme), "{scheme}");
        }
        assert_eq!(entries.len(), crate::verify::schemes().count());
        let table = table();
        let lengths: Vec<usize> = table.lines().map(|line| line.chars().count()).collect();
        assert!(lengths.iter().all(|length| *length == lengths[0]));
        assert!(
            table.lines().all(|line| line.matches('|').count() == 8),
            "{table}"
        );
        let stripe = entries.iter().find(|entry| entry.name == "stripe").unwrap();
        assert_eq!(stripe.proof, "`{timestamp}.{body}`: HMAC-SHA256, hex");
        assert_eq!(stripe.place, "`Stripe-Signature`, after `v1=`");
        assert_eq!(stripe.window, Some(Duration::from_mins(5)));
    }
}
