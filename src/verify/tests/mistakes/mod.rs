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
use crate::event::Received;
use crate::verify::Verification;
use crate::verify::scheme::presets::{PRESETS, PlaceRow, SchemePreset, SignatureRow};

/// Sender with its signature in a header.
struct Sender {
    name: &'static str,
    row: &'static SignatureRow,
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
        let at = whole.rfind(self.row.prefix).unwrap() + self.row.prefix.len();
        if self.row.prefix.is_empty() {
            return (String::new(), whole);
        }
        let (before, signature) = whole.split_at(at);
        (before.to_owned(), signature.to_owned())
    }

    /// Header of the timestamp.
    fn timestamp_header(&self) -> Option<HeaderName> {
        match &self.row.timestamp.as_ref()?.place {
            PlaceRow::Header(names) => names.first()?.parse().ok(),
            _ => None,
        }
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
    PRESETS.iter().filter_map(|preset| {
        let SchemePreset::Signature(row) = &preset.scheme else {
            return None;
        };
        let PlaceRow::Header(names) = &row.signature else {
            return None;
        };
        Some(Sender {
            name: preset.name,
            row,
            header: names.first()?.parse().ok()?,
            verification: doubtful(&working(preset.name)),
        })
    })
}

/// Signature of a text under the secret `secret-a`, made by `hmac` with defaults.
fn plain(encoding: &str, algorithm: &str, content: &[u8]) -> String {
    let verify = format!("{{hmac: {{secret: env:A, encoding: {encoding}, algorithm: {algorithm}}}}}");
    header(&sent(&verification(&verify), content), "x-signature").to_owned()
}
