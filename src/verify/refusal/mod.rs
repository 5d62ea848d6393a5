//! Reasons for which a request is not trusted.
//!
//! Each [`Refusal`] tells an operator what to correct. These texts go to the log, so they never
//! contain a secret, an expected signature or the value of a header that carries one. The sender
//! sees only a status.

mod words;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;

use crate::base::clock::Timestamp;

/// Maximum bytes of the reason of one alternative.
const MAX_REASON: usize = 256;

/// Reason for which a request is not trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The client's address is not in `allow`.
    AddressNotAllowed {
        /// Client address, if known.
        client: Option<IpAddr>,
    },
    MissingCertificate,
    /// The client's certificate was valid at the TLS handshake and has expired since.
    ExpiredCertificate {
        /// End of its validity.
        at: Timestamp,
        /// Time of the check.
        now: Timestamp,
    },
    /// The client's certificate is valid, but matches none of those configured.
    ForeignCertificate {
        /// Subject and names of the certificate.
        certificate: String,
    },
    /// A header that the scheme needs is missing.
    MissingHeader {
        header: HeaderName,
    },
    /// A header occurs in more than one line, so its value is ambiguous.
    RepeatedHeader {
        header: HeaderName,
    },
    /// The signature is missing at the location that the scheme defines.
    MissingSignature {
        /// Location that was searched.
        place: String,
    },
    /// The signature occurs more than once, so its value is ambiguous.
    RepeatedSignature {
        /// Location that was searched.
        place: String,
    },
    /// The value at the signature's location is not in the format of this scheme.
    MalformedSignature {
        /// Location of the signature.
        place: String,
        /// Description of the error. The message puts it after the location.
        fault: String,
    },
    /// The signature was made with another secret, or over other bytes.
    BadSignature {
        /// Location of the signature.
        place: String,
    },
    /// The signature is valid under a secret whose `not_after` has passed.
    ExpiredSecret {
        /// Source of the secret, as the rules file names it.
        secret: Arc<str>,
        /// End of the secret's validity.
        not_after: Timestamp,
    },
    /// The signature is valid, but its `expires` has passed.
    ExpiredSignature {
        /// Value of `expires`.
        at: Timestamp,
        /// Time of the check.
        now: Timestamp,
    },
    /// The signed digest is not that of the body.
    BadDigest {
        header: HeaderName,
        /// Description of the error. The message puts it after the header.
        fault: String,
    },
    /// The timestamp is missing at the location that the scheme defines.
    MissingTimestamp {
        /// Location that was searched.
        place: String,
    },
    /// The timestamp is not in the format that its unit requires.
    MalformedTimestamp {
        /// Location of the timestamp.
        place: String,
        /// Expected format.
        expected: &'static str,
        /// Value found, as far as it may be logged.
        found: String,
    },
    /// The id is missing at the location that the scheme defines.
    MissingId {
        /// Location that was searched.
        place: String,
    },
    /// The id is present but not usable.
    MalformedId {
        /// Location of the id.
        place: String,
        /// Description of the error. The message puts it after "the id".
        fault: String,
    },
    /// The scheme cannot parse the body. The request is not verified.
    UnreadableBody {
        /// Expected format.
        needed: String,
        /// True if the body exceeds the size limit.
        too_large: bool,
    },
    /// The request is genuine, but its body cannot be parsed.
    Unreadable {
        /// Expected format.
        needed: String,
        /// True if the body exceeds the size limit.
        too_large: bool,
    },
    /// The token is missing at the location that the scheme defines.
    MissingToken {
        /// Location that was searched.
        place: String,
    },
    /// The token occurs more than once, so its value is ambiguous.
    RepeatedToken {
        /// Location that was searched.
        place: String,
    },
    /// The token differs from the secret.
    BadToken {
        /// Location of the token.
        place: String,
    },
    /// The signed token is not in the required format, or lacks the configured prefix.
    MalformedToken {
        /// Location of the token.
        place: String,
        /// Description of the error. The message puts it after "the token in …".
        fault: String,
    },
    /// The token was signed by an algorithm, or with a key, that the rules file does not allow.
    ForeignToken {
        /// Location of the token.
        place: String,
        /// Algorithm or key of the token. The message puts it after "the token in …".
        fault: String,
    },
    /// None of the configured keys can have made the token's signature.
    ForgedToken {
        /// Location of the token.
        place: String,
    },
    /// The token is genuine, but its `exp` has passed.
    ExpiredToken {
        /// Value of `exp`.
        at: Timestamp,
        /// Time of the check.
        now: Timestamp,
    },
    /// The token is genuine, but its `nbf` lies in the future.
    PrematureToken {
        /// Value of `nbf`.
        at: Timestamp,
        /// Time of the check.
        now: Timestamp,
    },
    /// The token is genuine, but one of its claims differs from the rules file.
    BadClaim {
        claim: String,
        /// Description of the error. The message puts it after "the claim".
        fault: String,
    },
    /// The `Authorization` header is not in the format of its scheme.
    MalformedCredentials {
        /// Expected format.
        expected: &'static str,
    },
    BadCredentials,
    /// The sender's secret is set by its handshake, which has not taken place yet.
    NothingLearnt {
        handshake: Arc<str>,
        /// File in which the secret will be stored.
        file: String,
    },
    /// The body has the form of a token that a handshake signs for any client.
    ForgeableBody {
        /// Handshake that discloses the signature.
        handshake: Arc<str>,
    },
    /// A handshake request is malformed.
    MalformedHandshake {
        handshake: Arc<str>,
        /// Description of the error.
        fault: String,
    },
    /// A handshake is not answered.
    RefusedHandshake {
        handshake: Arc<str>,
        /// Reason, and what would help.
        why: String,
    },
    /// None of the alternatives of `any` accepts the request.
    NoAlternative {
        /// Scheme and refusal of each alternative, in order.
        refusals: Vec<(Arc<str>, Self)>,
    },
    /// A recorded arrival was verified by another scheme, or with a secret from another source.
    VerifiedOtherwise,
    /// The request is genuine, but its timestamp lies outside the replay window.
    Stale {
        /// Timestamp of the request.
        at: Timestamp,
        /// Time of the check.
        now: Timestamp,
        /// Maximum distance between the two.
        window: Duration,
    },
}

/// All words of [`Refusal::reason`].
pub const REASONS: [&str; 36] = [
    "address-not-allowed",
    "missing-certificate",
    "expired-certificate",
    "foreign-certificate",
    "missing-header",
    "repeated-header",
    "missing-signature",
    "repeated-signature",
    "expired-secret",
    "malformed-signature",
    "bad-signature",
    "expired-signature",
    "bad-digest",
    "missing-timestamp",
    "malformed-timestamp",
    "missing-id",
    "malformed-id",
    "unreadable-body",
    "missing-token",
    "repeated-token",
    "bad-token",
    "malformed-token",
    "foreign-token",
    "forged-token",
    "expired-token",
    "premature-token",
    "bad-claim",
    "malformed-credentials",
    "bad-credentials",
    "nothing-learnt",
    "forgeable-body",
    "malformed-handshake",
    "refused-handshake",
    "no-alternative",
    "verified-otherwise",
    "stale",
];

impl Refusal {
    /// Stable name in kebab case, for logs, metrics and programs.
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
            Self::ExpiredSignature { .. } => "expired-signature",
            Self::BadDigest { .. } => "bad-digest",
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
            // A genuine sender comes first, as with a single verification.
            Self::NoAlternative { refusals } => refusals
                .iter()
                .find(|(_, refusal)| refusal.is_genuine())
                .map_or("no-alternative", |(_, refusal)| refusal.reason()),
            Self::VerifiedOtherwise => "verified-otherwise",
            Self::Stale { .. } => "stale",
        }
    }

    /// Returns true if the request is genuine, but outside its replay window.
    pub fn is_stale(&self) -> bool {
        match self {
            Self::Stale { .. } | Self::ExpiredSignature { .. } => true,
            Self::NoAlternative { refusals } => refusals.iter().any(|(_, refusal)| refusal.is_stale()),
            _ => false,
        }
    }

    /// Returns true if the request is genuine, but stale or unreadable.
    fn is_genuine(&self) -> bool {
        self.is_stale() || self.is_unreadable().is_some()
    }

    /// Returns the handshake that failed, if any. Its body may hold a secret and is never logged.
    pub fn handshake(&self) -> Option<&str> {
        match self {
            Self::MalformedHandshake { handshake, .. } | Self::RefusedHandshake { handshake, .. } => {
                Some(handshake)
            }
            _ => None,
        }
    }

    /// Returns true if no sender can have intended the request.
    pub fn is_malformed(&self) -> bool {
        matches!(self, Self::MalformedHandshake { .. })
    }
}

impl Refusal {
    /// Returns `Some` if the request is genuine but cannot be parsed. The value is true if the body
    /// is too large.
    pub fn is_unreadable(&self) -> Option<bool> {
        match self {
            Self::Unreadable { too_large, .. } => Some(*too_large),
            Self::NoAlternative { refusals } => {
                refusals.iter().find_map(|(_, refusal)| refusal.is_unreadable())
            }
            _ => None,
        }
    }

    /// Turns a refusal that depends on the body into that of a genuine request.
    pub(super) fn genuinely(self) -> Self {
        match self {
            Self::UnreadableBody { needed, too_large } => Self::Unreadable { needed, too_large },
            other => other,
        }
    }
}

impl std::error::Error for Refusal {}
