//! The decision about an arrival: for each rule, why it did or did not match, as decided then.

use std::fmt;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The decision about one arrival.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Decision {
    /// Generation of the rules that decided, counted from the start of the daemon.
    pub generation: u64,
    /// The first [`Decision::DIGEST`] hex digits of the SHA-256 of the rules file that decided.
    pub rules_sha256: Arc<str>,
    /// Decisions of the rules: first those that match, then the nearest. At most
    /// [`Decision::RULES`].
    pub rules: Vec<RuleDecision>,
    /// Number of rules of the endpoint that are not listed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unlisted: usize,
    /// Verifications of the endpoint that succeeded. Empty for an arrival that became no event,
    /// whose record has its proofs, and for a fired event.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub verified: Vec<VerifiedBy>,
}

/// A verification that succeeded: its scheme, and the secret that matched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VerifiedBy {
    /// The scheme, as the rules file names it.
    pub scheme: Arc<str>,
    /// Source of the secret, as the rules file names it. `None` if the scheme has no secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<Arc<str>>,
}

impl fmt::Display for VerifiedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.secret {
            Some(secret) => write!(f, "`{}` with `{secret}`", self.scheme),
            None => write!(f, "`{}`", self.scheme),
        }
    }
}

/// The decision of one rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RuleDecision {
    pub rule: Arc<str>,
    pub matched: bool,
    /// The reason why the rule does not match: the condition that failed with the value found, or
    /// the reason why the rule does not trust the request. Empty if it matches.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// The alternative of `any` that accepts the request: its scheme and secret. `None` for a rule
    /// with a single verification.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified_by: Option<Arc<str>>,
}

impl Decision {
    /// Maximum rules listed.
    pub const RULES: usize = 32;
    /// Maximum bytes of a reason.
    pub const REASON: usize = 1024;
    /// Number of hex digits of the digest.
    pub const DIGEST: usize = 16;

    /// Names the alternatives by which the rules accept the arrival, each once. Empty if none of
    /// them has alternatives.
    pub fn verified_by(&self) -> String {
        let mut names: Vec<&str> = Vec::new();
        for by in self.rules.iter().filter_map(|rule| rule.verified_by.as_deref()) {
            if !names.contains(&by) {
                names.push(by);
            }
        }
        names.join(", ")
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}
