//! The reasons in words, for the operator's log.

use std::fmt;
use std::time::Duration;

use super::{MAX_REASON, Refusal};
use crate::base::clock::Timestamp;
use crate::base::units::HumanDuration;

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AddressNotAllowed { client: Some(client) } => write!(f, "`allow` does not let {client} in"),
            Self::AddressNotAllowed { client: None } => {
                f.write_str("`allow` lets no client in whose address is not known")
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
            Self::ExpiredSignature { at, now } => {
                write!(f, "the signature expired at {at}, and it is {now}")
            }
            Self::BadDigest { header, fault } => write!(f, "the header `{header}` {fault}"),
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
                "the body could be a token, whose signature the handshake `{handshake}` tells to any client that asks"
            ),
            Self::MalformedHandshake { handshake, fault } => {
                write!(f, "the handshake `{handshake}`: {fault}")
            }
            Self::RefusedHandshake { handshake, why } => write!(f, "the handshake `{handshake}`: {why}"),
            Self::NoAlternative { refusals } => {
                f.write_str("no alternative accepts the request")?;
                for (index, (scheme, refusal)) in refusals.iter().enumerate() {
                    let mut text = refusal.to_string();
                    text.truncate(text.floor_char_boundary(MAX_REASON));
                    let separator = if index == 0 { ":" } else { ";" };
                    write!(f, "{separator} `{scheme}`: {text}")?;
                }
                Ok(())
            }
            Self::VerifiedOtherwise => f.write_str(
                "the arrival was verified by another scheme, or with a secret from another source",
            ),
            Self::Stale { at, now, window } => {
                let distance = HumanDuration(Duration::from_secs(at.distance(*now).as_secs()));
                let side = if at > now { "ahead of" } else { "behind" };
                let window = HumanDuration(*window);
                write!(
                    f,
                    "sent at {at}: {distance} {side} the clock, where {window} are allowed"
                )?;
                f.write_str(unit_mistaken(*at, *now))
            }
        }
    }
}

/// Returns a hint if `at` would be close to `now` when read in the other unit.
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
