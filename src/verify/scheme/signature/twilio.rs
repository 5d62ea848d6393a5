//! Content that Twilio signs: the URL followed by the fields of a form, or the URL alone.
//!
//! In the second case, `bodySHA256` in the URL's query holds the digest of the body.
//! Source: twilio-python, `request_validator.py`;
//! <https://www.twilio.com/docs/usage/webhooks/webhooks-security>.

use std::collections::BTreeSet;

use http::HeaderMap;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::form::is_form;
use crate::verify::parts::mac::{Encoding, Length};
use crate::verify::parts::source::only_query;
use crate::verify::refusal::Refusal;

/// Query parameter that holds the digest of the body.
pub const BODY_DIGEST: &str = "bodySHA256";

/// Maximum fields of a form. Twilio sends a few dozen. The fields are sorted before the request is
/// verified.
const MAX_FIELDS: usize = 1000;

/// Joins the fields of a form, sorted by name and value and without repetitions. Empty for other
/// bodies.
pub fn fields(headers: &HeaderMap, body: &[u8]) -> Result<Vec<u8>, Refusal> {
    if !is_form(headers)? {
        return Ok(Vec::new());
    }
    let mut fields: BTreeSet<_> = BTreeSet::new();
    for (count, field) in form_urlencoded::parse(body).enumerate() {
        if count == MAX_FIELDS {
            return Err(Refusal::UnreadableBody {
                needed: format!("a form of at most {MAX_FIELDS} fields"),
                too_large: false,
            });
        }
        fields.insert(field);
    }
    let mut joined = Vec::with_capacity(body.len());
    for (name, value) in &fields {
        joined.extend_from_slice(name.as_bytes());
        joined.extend_from_slice(value.as_bytes());
    }
    Ok(joined)
}

/// Checks the body against the digest in the signed URL.
///
/// The fields of a form are signed themselves. Without fields and without a body, the digest may be
/// missing.
pub fn check_body(query: &str, body: &[u8], fields: &[u8]) -> Result<(), Refusal> {
    if !fields.is_empty() {
        return Ok(());
    }
    let place = || format!("`{BODY_DIGEST}` of the query");
    let repeated = || Refusal::RepeatedSignature { place: place() };
    let missing = || Refusal::MissingSignature { place: place() };
    let text = match only_query(query, BODY_DIGEST, repeated)? {
        None if body.is_empty() => return Ok(()),
        text => text.ok_or_else(missing)?,
    };
    let claimed = Encoding::Hex
        .decode(text.as_bytes(), Length::Exactly(32))
        .map_err(|fault| Refusal::MalformedSignature {
            place: place(),
            fault,
        })?;
    if Sha256::digest(body).as_slice().ct_eq(&claimed).into() {
        Ok(())
    } else {
        Err(Refusal::BadSignature { place: place() })
    }
}

/// Digest as Twilio writes it into the query.
pub fn digest(body: &[u8]) -> String {
    Encoding::Hex.encode(&Sha256::digest(body))
}
