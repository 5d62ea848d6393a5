//! Known mistakes of verifiers, each tested on every sender to which it applies.
//!
//! The numbers are those of a list of thirty mistakes. `tests/it` tests the mistakes of a whole
//! daemon: limits, replays, handshakes and logs.

mod contents;
mod secrets;
mod timestamps;
mod values;

use http::{HeaderName, HeaderValue};

use super::{SUITABLE, doubtful, header, sent, verification, working};
use crate::base::yaml::Node;
use crate::event::Received;
use crate::verify::Verification;
use crate::verify::parts::mac::Encoding;
use crate::verify::parts::settings::Settings;

/// Sender with its signature in a header.
struct Sender {
    name: &'static str,
    /// Text before a signature.
    prefix: String,
    separator: String,
    encoding: Encoding,
    is_stamped: bool,
    timestamp_header: Option<HeaderName>,
    header: HeaderName,
    verification: Verification,
}

impl Sender {
    /// Genuine request, sent now.
    fn request(&self) -> Received {
        sent(&self.verification, SUITABLE)
    }

    /// Outcome of a request with this signature header.
    fn outcome_with(&self, value: &[u8]) -> &'static str {
        let mut request = self.request();
        request
            .headers
            .insert(&self.header, HeaderValue::from_bytes(value).unwrap());
        judged(&self.verification, &request)
    }

    /// Returns the text before the signature, and the signature alone.
    fn signature(&self) -> (String, String) {
        let request = self.request();
        let whole = header(&request, self.header.as_str()).to_owned();
        let at = whole.rfind(&self.prefix).unwrap() + self.prefix.len();
        if self.prefix.is_empty() {
            return (String::new(), whole);
        }
        let (before, signature) = whole.split_at(at);
        (before.to_owned(), signature.to_owned())
    }
}

fn judged(verification: &Verification, request: &Received) -> &'static str {
    match verification.prove(request) {
        Ok(proof) => match proof.freshness(verification.default_window(), request.at) {
            Ok(()) => "held",
            Err(refusal) => refusal.reason(),
        },
        Err(refusal) => refusal.reason(),
    }
}

/// All senders with a signature in a header.
fn senders() -> impl Iterator<Item = Sender> {
    crate::verify::presets::names().filter_map(|name| {
        let schemes = crate::verify::Definitions::default();
        let (_, definition) = crate::verify::presets::named(name)?;
        let (family, settings) = schemes.resolve(name, Settings::bare(definition))?;
        if !["hmac", "ed25519", "ecdsa_p256"].contains(&family) {
            return None;
        }
        let first = |node: Node<'_>| node.one_or_many().first()?.as_str()?.parse().ok();
        let header = first(settings.given("header")?)?;
        let text = |key: &str| settings.given(key).and_then(|node| node.as_str());
        Some(Sender {
            name,
            prefix: text("prefix").unwrap_or_default().to_owned(),
            separator: text("separator").unwrap_or_default().to_owned(),
            encoding: match text("encoding") {
                None if family != "ecdsa_p256" => Encoding::Hex,
                _ => Encoding::Base64,
            },
            is_stamped: settings.given("timestamp").is_some(),
            timestamp_header: settings
                .given("timestamp")
                .and_then(|timestamp| first(timestamp.get("header")?)),
            header,
            verification: doubtful(&working(name)),
        })
    })
}

/// Signature of a text under the secret `secret-a`, made by `hmac` with defaults.
fn plain(encoding: &str, algorithm: &str, content: &[u8]) -> String {
    let verify = format!("{{hmac: {{secret: env:A, encoding: {encoding}, algorithm: {algorithm}}}}}");
    header(&sent(&verification(&verify), content), "x-signature").to_owned()
}
