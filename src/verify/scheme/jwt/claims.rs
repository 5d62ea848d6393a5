//! Checks of the claims of a genuine token (RFC 7519, section 4.1).
//!
//! Time is an argument: `exp` and `nbf` are compared with the arrival of the request. A refusal
//! names the configured value unless that discloses a secret. It never quotes the token.

use std::time::Duration;

use data_encoding::HEXLOWER_PERMISSIVE;
use serde_json::Value;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::token::UniqueMembers;
use crate::base::clock::Timestamp;
use crate::verify::parts::source::{self, Unit};
use crate::verify::refusal::Refusal;

/// Tolerance for `exp` and `nbf`, for clocks that differ.
pub const LEEWAY: Duration = Duration::from_mins(1);

/// Required claims.
#[derive(Debug, Default)]
pub struct Demands {
    /// Accepted values of `iss`. If empty, `iss` is not checked.
    pub issuers: Vec<String>,
    /// Accepted values of `aud`. If empty, `aud` is not checked.
    pub audiences: Vec<String>,
    /// Claims that must have exactly these values.
    pub claims: Vec<(String, Value)>,
    /// Claim that holds the hex SHA-256 of the body.
    pub body_hash: Option<String>,
}

impl Demands {
    /// Checks all claims.
    pub fn check(&self, claims: &UniqueMembers, body: &[u8], now: Timestamp) -> Result<(), Refusal> {
        timely(claims, now)?;
        if !self.issuers.is_empty() {
            let said = demanded(claims, "iss")?;
            let named = self.issuers.iter().any(|issuer| said == issuer.as_str());
            held(named, "iss", || format!("is not {}", one_of(&self.issuers)))?;
        }
        if !self.audiences.is_empty() {
            let said = demanded(claims, "aud")?;
            let known = |said: &Value| self.audiences.iter().any(|audience| said == audience.as_str());
            // `aud` is a text or a list of texts.
            let named = match said {
                Value::Array(audiences) => audiences.iter().any(known),
                said => known(said),
            };
            held(named, "aud", || {
                format!("does not name {}", one_of(&self.audiences))
            })?;
        }
        for (name, value) in &self.claims {
            let same = demanded(claims, name)? == value;
            held(same, name, || {
                "has not the value that `claims` demands".to_owned()
            })?;
        }
        match &self.body_hash {
            Some(name) => check_body(claims, name, body),
            None => Ok(()),
        }
    }
}

/// Checks `exp` and `nbf`.
fn timely(claims: &UniqueMembers, now: Timestamp) -> Result<(), Refusal> {
    let moment = |claim: &'static str| match claims.get(claim) {
        None => Ok(None),
        Some(value) => seconds(value).map(Some).ok_or_else(|| Refusal::BadClaim {
            claim: claim.to_owned(),
            fault: "is not a number of Unix seconds".to_owned(),
        }),
    };
    if let Some(at) = moment("exp")?
        && at.plus(LEEWAY) <= now
    {
        return Err(Refusal::ExpiredToken { at, now });
    }
    if let Some(at) = moment("nbf")?
        && now.plus(LEEWAY) < at
    {
        return Err(Refusal::PrematureToken { at, now });
    }
    Ok(())
}

/// Checks that the claim `name` is the SHA-256 of the body.
fn check_body(claims: &UniqueMembers, name: &str, body: &[u8]) -> Result<(), Refusal> {
    let text = demanded(claims, name)?.as_str().unwrap_or_default();
    let hash = HEXLOWER_PERMISSIVE
        .decode(text.as_bytes())
        .ok()
        .filter(|hash| hash.len() == 32);
    let hash = hash.ok_or_else(|| Refusal::BadClaim {
        claim: name.to_owned(),
        fault: "is not 64 hex digits".to_owned(),
    })?;
    let same = Sha256::digest(body).ct_eq(hash.as_slice()).into();
    held(same, name, || {
        "is not the SHA-256 of the body: other bytes than were signed".to_owned()
    })
}

/// Time of sending, according to the claim `name`.
pub fn sent_at(claims: &UniqueMembers, name: &str) -> Result<Timestamp, Refusal> {
    /// Later than any sender's clock. The value is probably in milliseconds.
    const TOO_LATE: i64 = 1_000_000_000_000;
    let place = || format!("the claim `{name}`");
    let value = claims
        .get(name)
        .ok_or_else(|| Refusal::MissingTimestamp { place: place() })?;
    seconds(value)
        .filter(|at| at.as_seconds() < TOO_LATE)
        .ok_or_else(|| Unit::S.refusal(place(), value.to_string().as_bytes()))
}

/// Id in the claim `name`.
pub fn id(claims: &UniqueMembers, name: &str) -> Result<Vec<u8>, Refusal> {
    let place = || format!("the claim `{name}`");
    let value = claims
        .get(name)
        .ok_or_else(|| Refusal::MissingId { place: place() })?;
    let id = source::text_of(value).filter(|id| !id.is_empty());
    id.ok_or_else(|| Refusal::MalformedId {
        place: place(),
        fault: "is neither text nor a whole number".to_owned(),
    })
}

/// Parses a `NumericDate` (RFC 7519, section 2): seconds, optionally with a fraction.
fn seconds(value: &Value) -> Option<Timestamp> {
    let number = value.as_number()?;
    let since = match number.as_u64() {
        Some(whole) => Duration::from_secs(whole),
        None => Duration::try_from_secs_f64(number.as_f64()?).ok()?,
    };
    Some(Timestamp::EPOCH.plus(since))
}

/// Value of a required claim.
fn demanded<'c>(claims: &'c UniqueMembers, name: &str) -> Result<&'c Value, Refusal> {
    claims.get(name).ok_or_else(|| Refusal::BadClaim {
        claim: name.to_owned(),
        fault: "is missing".to_owned(),
    })
}

/// Returns a refusal unless `holds`. `fault` describes the error. The message puts it after "the
/// claim".
fn held(holds: bool, claim: &str, fault: impl FnOnce() -> String) -> Result<(), Refusal> {
    if holds {
        return Ok(());
    }
    Err(Refusal::BadClaim {
        claim: claim.to_owned(),
        fault: fault(),
    })
}

/// Formats the names for a message.
fn one_of(names: &[String]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    quoted.join(" or ")
}
