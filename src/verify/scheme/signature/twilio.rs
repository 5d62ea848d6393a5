//! What Twilio signs: the URL and behind it the fields of a form, or the URL alone, in whose query `bodySHA256` then
//! holds the digest of the body.
//!
//! Source: twilio-python, `request_validator.py`; <https://www.twilio.com/docs/usage/webhooks/webhooks-security>.

use std::collections::{BTreeMap, BTreeSet};

use http::HeaderMap;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::form::is_form;
use super::mac::{Encoding, Length};
use crate::verify::Refusal;
use crate::verify::scheme::source::only_query;

/// The name in the query under which the digest of the body stands.
pub const BODY_DIGEST: &str = "bodySHA256";

/// The fields of a form: sorted by name and by value, name and value one behind the other, what repeats once.
pub fn feed_fields(headers: &HeaderMap, body: &[u8], take: &mut impl FnMut(&[u8])) -> Result<(), Refusal> {
    if !is_form(headers)? {
        return Ok(());
    }
    let mut fields: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for (name, value) in form_urlencoded::parse(body) {
        fields.entry(name).or_default().insert(value);
    }
    for (name, values) in &fields {
        for value in values {
            take(name.as_bytes());
            take(value.as_bytes());
        }
    }
    Ok(())
}

/// Whether the body is the one that the signed URL speaks of. A form is signed field by field; no body needs no digest.
pub fn check_body(headers: &HeaderMap, query: &str, body: &[u8]) -> Result<(), Refusal> {
    if body.is_empty() || is_form(headers)? {
        return Ok(());
    }
    let place = || format!("`{BODY_DIGEST}` of the query");
    let repeated = || Refusal::RepeatedSignature { place: place() };
    let missing = || Refusal::MissingSignature { place: place() };
    let text = only_query(query, BODY_DIGEST, repeated)?.ok_or_else(missing)?;
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

/// The digest as Twilio writes it into the query.
pub fn digest(body: &[u8]) -> String {
    Encoding::Hex.encode(&Sha256::digest(body))
}
