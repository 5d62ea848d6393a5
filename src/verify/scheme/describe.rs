//! Description of a scheme for users: the verified content, and its location.

use std::time::Duration;

use super::signature::kind::Kind;
use super::signature::public_key::{PublicAlgorithm, RsaHash};
use super::signature::settings::SignatureSettings;
use crate::base::diagnostic::Diagnostics;
use crate::base::yaml::Node;
use crate::verify::parts::mac::{Encoding, HashAlgorithm};
use crate::verify::parts::settings::Settings;

/// Description of one scheme.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// Setting that holds the signing secret: `secret`, `password` or `private_key`.
    pub secret: &'static str,
    /// Signed content and algorithm.
    pub proof: String,
    /// Location of the proof.
    pub place: String,
    /// Replay window. `None` if no timestamp is signed.
    pub window: Option<Duration>,
    /// Note for users of the family. May be empty.
    pub note: &'static str,
}

/// Describes the settings of a scheme of this family.
pub fn describe(family: &str, settings: &Settings<'_>) -> Description {
    if let Some(kind) = Kind::named(family)
        && let Some(read) = SignatureSettings::read(kind, settings, &mut Diagnostics::new())
    {
        return signature(&read, settings);
    }
    let plain = |secret, proof: &str, place: &str, note| Description {
        secret,
        proof: proof.to_owned(),
        place: place.to_owned(),
        window: None,
        note,
    };
    let or = |place: String, otherwise: &str| {
        if place.is_empty() {
            otherwise.to_owned()
        } else {
            place
        }
    };
    let authorization = "`Authorization`";
    match family {
        "token" => {
            let place = or(written(settings), "any header, name in the query or JSONPath");
            plain("secret", "the secret itself", &place, "")
        }
        "basic" => plain("password", "user and password (RFC 7617)", authorization, ""),
        "bearer" => plain("secret", "the secret itself (RFC 6750)", authorization, ""),
        "jwt" => {
            let algorithms = settings.texts("algorithms", &mut Diagnostics::new()).join(", ");
            let proof = match algorithms.as_str() {
                "" => "a signed token (RFC 7519), with or without a digest of the body".to_owned(),
                algorithms => format!("a signed token ({algorithms}) with the SHA-256 of the body"),
            };
            let anywhere = "`Authorization`, any other header or name in the query";
            plain("secret", &proof, &or(written(settings), anywhere), "")
        }
        "http_message_signatures" => Description {
            window: Some(Duration::from_mins(5)),
            ..plain(
                "secret",
                "method, URL and digest of the body (RFC 9421)",
                "`Signature` and `Signature-Input`",
                "needs `server.public_url`, unless `components` says otherwise",
            )
        },
        "adyen" => plain(
            "secret",
            "eight fields of each item: HMAC-SHA256, base64",
            "`$.notificationItems[*].NotificationRequestItem.additionalData.hmacSignature`",
            "signs eight fields of each item, not the rest of the body",
        ),
        "client_cert" => plain(
            "secret",
            "a certificate: its subject, a name or its fingerprint",
            "the TLS handshake",
            "needs `server.tls.client_ca`",
        ),
        _ => plain("secret", "nothing: anyone is let in", "", ""),
    }
}

fn signature(read: &SignatureSettings, settings: &Settings<'_>) -> Description {
    let kind = match (read.kind, read.algorithm) {
        (Kind::Hmac, HashAlgorithm::Sha1) => "HMAC-SHA1",
        (Kind::Hmac, HashAlgorithm::Sha256) => "HMAC-SHA256",
        (Kind::Hmac, HashAlgorithm::Sha384) => "HMAC-SHA384",
        (Kind::Hmac, HashAlgorithm::Sha512) => "HMAC-SHA512",
        (Kind::Public(PublicAlgorithm::Ed25519), _) => "Ed25519",
        (Kind::Public(PublicAlgorithm::P256), _) => "ECDSA P-256",
        (Kind::Public(PublicAlgorithm::Rsa(hash, _)), _) => match hash {
            RsaHash::Sha1 => "RSA-SHA1",
            RsaHash::Sha256 => "RSA-SHA256",
            RsaHash::Sha512 => "RSA-SHA512",
        },
    };
    let encoding = match read.encoding {
        Encoding::Hex => "hex",
        Encoding::Base64 => "base64",
        Encoding::Base64Url => "base64url",
    };
    let content = match read.content.as_str() {
        "twilio" => "the URL, and the fields of a form or a digest of the body".to_owned(),
        content => format!("`{content}`"),
    };
    let prefix = match read.prefix.as_str() {
        "" => String::new(),
        prefix => format!(", after `{prefix}`"),
    };
    let place = match written(settings) {
        place if place.is_empty() => "`X-Signature`".to_owned(),
        place => place,
    };
    Description {
        secret: match read.kind {
            Kind::Hmac => "secret",
            Kind::Public(_) => "private_key",
        },
        proof: format!("{content}: {kind}, {encoding}"),
        place: format!("{place}{prefix}"),
        window: read.timestamp.as_ref().map(|_| read.window),
        note: "every setting can be given",
    }
}

/// Location of the proof as the settings write it. Empty if they do not.
fn written(settings: &Settings<'_>) -> String {
    let keys = ["header", "query", "json"];
    let layer = settings.nearest(&keys);
    let node = layer.and_then(|layer| keys.iter().find_map(|key| layer.node.given(key)));
    let items = node.map(|node| node.one_or_many()).unwrap_or_default();
    let names = items.iter().filter_map(Node::as_str);
    names
        .map(|name| format!("`{name}`"))
        .collect::<Vec<_>>()
        .join(" or ")
}
