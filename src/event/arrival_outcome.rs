//! Outcomes of arrivals: what became of a request on an endpoint, in one word.
//!
//! The word is the same in the store, in logs, in metrics and in the commands. It is also the value
//! of `X-Hookyard-Status`, except where that header tells the end of deliveries (`done`, `failed`,
//! `pending`) or a kind of refusal (`bad-request`, `method-not-allowed`, `not-found`).

use std::fmt;
use std::str::FromStr;

/// The outcome of a request on an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ArrivalOutcome {
    /// A rule accepted the event.
    Accepted,
    /// An operator ran a rule by hand.
    Fired,
    /// The event was accepted before.
    Duplicate,
    /// The event is verified, and no rule matches it.
    Ignored,
    /// The sender's handshake was answered.
    Handshake,
    /// The event is verified, and its body cannot be decoded.
    Unreadable,
    /// No rule trusts the request.
    Refused,
    /// The request is genuine, but outside the replay window.
    Stale,
    /// Signed content that arrived before, with another value of an unsigned header.
    Altered,
    /// The body is larger than `max_body`.
    TooLarge,
    /// The body did not arrive in time.
    TooSlow,
    /// A rate limit was exceeded.
    Limited,
    /// The event could not be stored, or the daemon had no capacity for it.
    Unavailable,
}

impl ArrivalOutcome {
    pub const ALL: [Self; 13] = [
        Self::Accepted,
        Self::Fired,
        Self::Duplicate,
        Self::Ignored,
        Self::Handshake,
        Self::Unreadable,
        Self::Refused,
        Self::Stale,
        Self::Altered,
        Self::TooLarge,
        Self::TooSlow,
        Self::Limited,
        Self::Unavailable,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Fired => "fired",
            Self::Duplicate => "duplicate",
            Self::Ignored => "ignored",
            Self::Handshake => "handshake",
            Self::Unreadable => "unreadable",
            Self::Refused => "refused",
            Self::Stale => "stale",
            Self::Altered => "altered",
            Self::TooLarge => "too-large",
            Self::TooSlow => "too-slow",
            Self::Limited => "limited",
            Self::Unavailable => "unavailable",
        }
    }

    /// The meaning in one sentence, for help texts.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Accepted => "A rule accepted the event",
            Self::Fired => "An operator ran a rule by hand",
            Self::Duplicate => "The event was accepted before",
            Self::Ignored => "The event is verified, and no rule matches it",
            Self::Handshake => "The handshake of the sender was answered",
            Self::Unreadable => "The event is verified, and its body cannot be decoded",
            Self::Refused => "No rule trusts the request",
            Self::Stale => "The request is genuine, but outside the replay window",
            Self::Altered => "Signed content that arrived before, with another unsigned header",
            Self::TooLarge => "The body is larger than `max_body`",
            Self::TooSlow => "The body did not arrive in time",
            Self::Limited => "A rate limit was exceeded",
            Self::Unavailable => "The event could not be stored",
        }
    }

    /// The outcome of a request that was turned away, by the word of its answer.
    pub fn of_answer(word: &str) -> Self {
        word.parse().unwrap_or(Self::Refused)
    }
}

impl fmt::Display for ArrivalOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for ArrivalOutcome {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|outcome| outcome.name() == name);
        found.ok_or_else(|| format!("`{name}` is no outcome of an arrival"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_of_an_answer_names_the_outcome() {
        for (word, expected) in [
            ("too-large", ArrivalOutcome::TooLarge),
            ("limited", ArrivalOutcome::Limited),
            ("unavailable", ArrivalOutcome::Unavailable),
            ("not-found", ArrivalOutcome::Refused),
            ("method-not-allowed", ArrivalOutcome::Refused),
        ] {
            assert_eq!(ArrivalOutcome::of_answer(word), expected, "{word}");
        }
        for outcome in ArrivalOutcome::ALL {
            assert_eq!(outcome.name().parse(), Ok(outcome));
        }
    }
}
