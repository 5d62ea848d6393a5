//! Why a request is not trusted.
//!
//! Each [`Refusal`] says what an operator needs to put it right, and never a secret, an expected signature or the
//! value of a header that carries one: these words go to the log. A stranger learns a status alone.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;

use crate::base::clock::Timestamp;

/// Why a request is not trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It comes from where nothing is taken from.
    AddressNotAllowed {
        /// The client's address, if it is known.
        client: Option<IpAddr>,
    },
    /// The client has presented no certificate.
    MissingCertificate,
    /// The client's certificate was good at the handshake, and its time is over.
    ExpiredCertificate {
        /// Until when it was good.
        at: Timestamp,
        /// When it was looked at.
        now: Timestamp,
    },
    /// The client's certificate holds, and is not one of those that are asked for.
    ForeignCertificate {
        /// Whose it is.
        certificate: String,
    },
    /// A header that the scheme needs is not there.
    MissingHeader {
        /// The header.
        header: HeaderName,
    },
    /// A header came in more than one line, and nobody can tell which was meant.
    RepeatedHeader {
        /// The header.
        header: HeaderName,
    },
    /// The signature is not where the scheme has it.
    MissingSignature {
        /// Where it was looked for.
        place: String,
    },
    /// The signature stands more than once, and nobody can tell which was meant.
    RepeatedSignature {
        /// Where it was looked for.
        place: String,
    },
    /// Where the signature stands there is not what this scheme puts there.
    MalformedSignature {
        /// Where it stands.
        place: String,
        /// What is wrong with it, to follow the place.
        fault: String,
    },
    /// The signature was made with another secret, or over other bytes.
    BadSignature {
        /// Where it stands.
        place: String,
    },
    /// It is genuine by a secret that does not count any more.
    ExpiredSecret {
        /// The source of the secret, as the rules file names it.
        secret: Arc<str>,
        /// Until when it counted.
        not_after: Timestamp,
    },
    /// The timestamp is not where the scheme has it.
    MissingTimestamp {
        /// Where it was looked for.
        place: String,
    },
    /// The timestamp is there and is not written as its unit demands.
    MalformedTimestamp {
        /// Where it stands.
        place: String,
        /// What it should have been.
        expected: &'static str,
        /// What it was, as far as that may be told.
        found: String,
    },
    /// The id is not where the scheme has it.
    MissingId {
        /// Where it was looked for.
        place: String,
    },
    /// The id is there and cannot serve as one.
    MalformedId {
        /// Where it stands.
        place: String,
        /// What is wrong with it, to follow "the id".
        fault: String,
    },
    /// The body cannot be read as the scheme needs it.
    UnreadableBody {
        /// What it should have been.
        needed: String,
        /// Whether it is too large for that.
        too_large: bool,
    },
    /// It is genuine, and what stands in its body cannot be read.
    Unreadable {
        /// What the body should have been.
        needed: String,
        /// Whether it is too large for that.
        too_large: bool,
    },
    /// The token is not where the scheme has it.
    MissingToken {
        /// Where it was looked for.
        place: String,
    },
    /// The token stands more than once, and nobody can tell which was meant.
    RepeatedToken {
        /// Where it was looked for.
        place: String,
    },
    /// The token is not the secret.
    BadToken {
        /// Where it stands.
        place: String,
    },
    /// The signed token is not written as one, or not where it should begin.
    MalformedToken {
        /// Where it stands.
        place: String,
        /// What is wrong with it, to follow "the token in …".
        fault: String,
    },
    /// The token was signed by an algorithm, or with a key, that the rules file does not let in.
    ForeignToken {
        /// Where it stands.
        place: String,
        /// What it was signed by, to follow "the token in …".
        fault: String,
    },
    /// The token's signature is none that our keys can have made.
    ForgedToken {
        /// Where it stands.
        place: String,
    },
    /// The token is genuine, and its `exp` is past.
    ExpiredToken {
        /// Until when it was good.
        at: Timestamp,
        /// When it was looked at.
        now: Timestamp,
    },
    /// The token is genuine, and its `nbf` has not come.
    PrematureToken {
        /// From when on it is good.
        at: Timestamp,
        /// When it was looked at.
        now: Timestamp,
    },
    /// The token is genuine, and claims something else than the rules file demands.
    BadClaim {
        /// The claim.
        claim: String,
        /// What is wrong with it, to follow "the claim".
        fault: String,
    },
    /// The `Authorization` header is not what its scheme demands.
    MalformedCredentials {
        /// What it should have been.
        expected: &'static str,
    },
    /// The user or the password is wrong.
    BadCredentials,
    /// The sender's secret comes with its handshake, and has not come yet.
    NothingLearnt {
        /// The handshake.
        handshake: &'static str,
        /// Where the secret will be kept.
        file: String,
    },
    /// The signature holds for a text whose signature is told to whoever asks.
    ForgeableBody {
        /// The handshake that tells it.
        handshake: &'static str,
    },
    /// A handshake that is not written as it should be.
    MalformedHandshake {
        /// The handshake.
        handshake: &'static str,
        /// What is wrong with it.
        fault: String,
    },
    /// A handshake that is not answered.
    RefusedHandshake {
        /// The handshake.
        handshake: &'static str,
        /// Why, and what would help.
        why: String,
    },
    /// Genuine, but its timestamp lies outside the replay window.
    Stale {
        /// When it says that it was sent.
        at: Timestamp,
        /// When it was looked at.
        now: Timestamp,
        /// How far the two may be apart.
        window: Duration,
    },
}

impl Refusal {
    /// A stable name in kebab case, for logs, metrics and machines.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::AddressNotAllowed { .. } => "address-not-allowed",
            Self::MissingCertificate => "missing-certificate",
            Self::ExpiredCertificate { .. } => "expired-certificate",
            Self::ForeignCertificate { .. } => "foreign-certificate",
            Self::MissingHeader { .. } => "missing-header",
            Self::RepeatedHeader { .. } => "repeated-header",
            Self::MissingSignature { .. } => "missing-signature",
            Self::RepeatedSignature { .. } => "repeated-signature",
            Self::ExpiredSecret { .. } => "expired-secret",
            Self::MalformedSignature { .. } => "malformed-signature",
            Self::BadSignature { .. } => "bad-signature",
            Self::MissingTimestamp { .. } => "missing-timestamp",
            Self::MalformedTimestamp { .. } => "malformed-timestamp",
            Self::MissingId { .. } => "missing-id",
            Self::MalformedId { .. } => "malformed-id",
            Self::UnreadableBody { .. } | Self::Unreadable { .. } => "unreadable-body",
            Self::MissingToken { .. } => "missing-token",
            Self::RepeatedToken { .. } => "repeated-token",
            Self::BadToken { .. } => "bad-token",
            Self::MalformedToken { .. } => "malformed-token",
            Self::ForeignToken { .. } => "foreign-token",
            Self::ForgedToken { .. } => "forged-token",
            Self::ExpiredToken { .. } => "expired-token",
            Self::PrematureToken { .. } => "premature-token",
            Self::BadClaim { .. } => "bad-claim",
            Self::MalformedCredentials { .. } => "malformed-credentials",
            Self::BadCredentials => "bad-credentials",
            Self::NothingLearnt { .. } => "nothing-learnt",
            Self::ForgeableBody { .. } => "forgeable-body",
            Self::MalformedHandshake { .. } => "malformed-handshake",
            Self::RefusedHandshake { .. } => "refused-handshake",
            Self::Stale { .. } => "stale",
        }
    }

    /// Whether it is genuine, and only too old or too early.
    pub fn is_stale(&self) -> bool {
        matches!(self, Self::Stale { .. })
    }

    /// The handshake that it is about, if it is about one: its body may hold a secret, and is never logged.
    pub fn handshake(&self) -> Option<&'static str> {
        match self {
            Self::MalformedHandshake { handshake, .. } | Self::RefusedHandshake { handshake, .. } => {
                Some(handshake)
            }
            _ => None,
        }
    }

    /// Whether it is nothing that a sender could have meant.
    pub fn is_malformed(&self) -> bool {
        matches!(self, Self::MalformedHandshake { .. })
    }
}

impl Refusal {
    /// Whether it is genuine and cannot be read, and if so, whether because it is too large.
    pub fn is_unreadable(&self) -> Option<bool> {
        match self {
            Self::Unreadable { too_large, .. } => Some(*too_large),
            _ => None,
        }
    }

    /// The same of a request that is known to be genuine.
    pub(super) fn genuinely(self) -> Self {
        match self {
            Self::UnreadableBody { needed, too_large } => Self::Unreadable { needed, too_large },
            other => other,
        }
    }
}

impl std::error::Error for Refusal {}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AddressNotAllowed { client: Some(client) } => write!(f, "`allow` does not let {client} in"),
            Self::AddressNotAllowed { client: None } => {
                f.write_str("`allow` lets nobody in whose address is not known")
            }
            Self::MissingCertificate => f.write_str("the client has presented no certificate"),
            Self::ExpiredCertificate { at, now } => {
                write!(
                    f,
                    "the certificate of the client expired at {at}, and it is {now}"
                )
            }
            Self::ForeignCertificate { certificate } => {
                write!(f, "the certificate of the client is not asked for: {certificate}")
            }
            Self::MissingHeader { header } => write!(f, "the header `{header}` is missing"),
            Self::RepeatedHeader { header } => write!(f, "the header `{header}` came in more than one line"),
            Self::MissingSignature { place } => write!(f, "there is no signature in {place}"),
            Self::RepeatedSignature { place } => write!(f, "the signature stands more than once in {place}"),
            Self::MalformedSignature { place, fault } => write!(f, "{place} {fault}"),
            Self::BadSignature { place } => write!(
                f,
                "the signature in {place} does not match: another secret, or other bytes than were signed"
            ),
            Self::ExpiredSecret { secret, not_after } => {
                write!(f, "the secret `{secret}` counted until {not_after} and no longer")
            }
            Self::MissingTimestamp { place } => write!(f, "there is no timestamp in {place}"),
            Self::MalformedTimestamp {
                place,
                expected,
                found,
            } => write!(f, "the timestamp in {place} is not {expected}: {found}"),
            Self::MissingId { place } => write!(f, "there is no id in {place}"),
            Self::MalformedId { place, fault } => write!(f, "the id in {place} {fault}"),
            Self::UnreadableBody { needed, .. } | Self::Unreadable { needed, .. } => {
                write!(f, "the body is not {needed}")
            }
            Self::MissingToken { place } => write!(f, "there is no token in {place}"),
            Self::RepeatedToken { place } => write!(f, "the token stands more than once in {place}"),
            Self::BadToken { place } => write!(f, "the token in {place} is wrong"),
            Self::MalformedToken { place, fault } | Self::ForeignToken { place, fault } => {
                write!(f, "the token in {place} {fault}")
            }
            Self::ForgedToken { place } => write!(
                f,
                "the signature of the token in {place} does not match: another key, or another token than was signed"
            ),
            Self::ExpiredToken { at, now } => write!(f, "the token expired at {at}, and it is {now}"),
            Self::PrematureToken { at, now } => write!(f, "the token is good from {at} on, and it is {now}"),
            Self::BadClaim { claim, fault } => write!(f, "the claim `{claim}` {fault}"),
            Self::MalformedCredentials { expected } => {
                write!(f, "the header `authorization` is not {expected}")
            }
            Self::BadCredentials => f.write_str("the user or the password is wrong"),
            Self::NothingLearnt { handshake, file } => write!(
                f,
                "the secret comes with the handshake `{handshake}`, and nothing is learnt yet: `{file}` is missing or empty"
            ),
            Self::ForgeableBody { handshake } => write!(
                f,
                "the body could be a token, whose signature the handshake `{handshake}` tells to whoever asks"
            ),
            Self::MalformedHandshake { handshake, fault } => {
                write!(f, "the handshake `{handshake}`: {fault}")
            }
            Self::RefusedHandshake { handshake, why } => write!(f, "the handshake `{handshake}`: {why}"),
            Self::Stale { at, now, window } => {
                let distance = humantime::format_duration(Duration::from_secs(at.distance(*now).as_secs()));
                let side = if at > now { "ahead of" } else { "behind" };
                let window = humantime::format_duration(*window);
                write!(
                    f,
                    "sent at {at}: {distance} {side} the clock, where {window} are allowed"
                )?;
                f.write_str(unit_mistaken(*at, *now))
            }
        }
    }
}

/// A hint where the moment would be near if it had been read in the other unit.
fn unit_mistaken(at: Timestamp, now: Timestamp) -> &'static str {
    const NEAR: Duration = Duration::from_hours(7 * 24);
    let as_milliseconds = Timestamp::from_millis(at.as_millis() / 1000);
    let as_seconds = Timestamp::from_seconds(at.as_millis());
    if as_milliseconds.distance(now) < NEAR {
        " (these look like milliseconds: `unit: ms`)"
    } else if as_seconds.distance(now) < NEAR {
        " (these look like seconds: `unit: s`)"
    } else {
        ""
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_refusal_says_how_far_and_which_unit_was_mistaken() {
        let now = Timestamp::from_seconds(1_614_265_330);
        let stale = |at| {
            Refusal::Stale {
                at,
                now,
                window: Duration::from_mins(5),
            }
            .to_string()
        };
        assert_eq!(
            stale(Timestamp::from_seconds(1_614_264_330)),
            "sent at 2021-02-25T14:45:30.000Z: 16m 40s behind the clock, where 5m are allowed"
        );
        assert!(stale(Timestamp::from_seconds(1_614_265_330_000)).contains("`unit: ms`"));
        assert!(stale(Timestamp::from_millis(1_614_265_330)).contains("`unit: s`"));
    }
}
