//! The mistakes that verifiers have made, each tried on every sender to which it applies.
//!
//! They are numbered as a list of thirty has them. Those of a whole daemon (bounds, replays, handshakes, logs) are tried in `tests/it`.

mod contents;
mod secrets;
mod timestamps;
mod values;

use http::{HeaderName, HeaderValue};

use super::{SUITABLE, doubtful, header, sent, verification, working};
use crate::event::Received;
use crate::verify::Verification;
use crate::verify::scheme::presets::{PRESETS, PlaceRow, SchemePreset, SignatureRow};

/// A sender whose signature stands in a header.
struct Sender {
    name: &'static str,
    row: &'static SignatureRow,
    header: HeaderName,
    verification: Verification,
}

impl Sender {
    /// A genuine request of now.
    fn request(&self) -> Received {
        sent(&self.verification, SUITABLE)
    }

    /// What becomes of a request whose signature header is this instead.
    fn outcome_with(&self, value: &[u8]) -> &'static str {
        let mut request = self.request();
        request
            .headers
            .insert(&self.header, HeaderValue::from_bytes(value).unwrap());
        judged(&self.verification, &request)
    }

    /// The signature alone, without what stands before it.
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

    /// The header of its timestamp.
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

/// All of them.
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

/// A signature of a text by the secret `secret-a`, made by the plain scheme.
fn plain(encoding: &str, algorithm: &str, content: &[u8]) -> String {
    let verify = format!("{{hmac: {{secret: env:A, encoding: {encoding}, algorithm: {algorithm}}}}}");
    header(&sent(&verification(&verify), content), "x-signature").to_owned()
}
