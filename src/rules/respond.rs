//! The answers to verified events: `respond:` of an endpoint or a rule.

use std::time::Duration;

use http::{HeaderMap, StatusCode};

use crate::template::Template;

/// Answers that an endpoint or a rule states. An outcome without a stated answer has its default.
#[derive(Clone, Debug, Default)]
pub struct Respond {
    /// Answer of success. `None` if neither status, headers nor body are stated.
    pub success: Option<StatedAnswer>,
    pub ignored: Option<StatedAnswer>,
    pub duplicate: Option<StatedAnswer>,
    pub failed: Option<StatedAnswer>,
    pub late: Option<StatedAnswer>,
    pub unreadable: Option<StatedAnswer>,
    /// Maximum time for which the answer waits for the actions. `None`: the answer does not wait.
    /// A rule that does not state it has that of its endpoint.
    pub wait: Option<Duration>,
}

/// An answer as the rules file states it. It is given as a whole: its parts are never mixed with
/// those of another.
#[derive(Clone, Debug, Default)]
pub struct StatedAnswer {
    /// `None`: the default status of the outcome.
    pub status: Option<StatusCode>,
    /// Headers added to the answer.
    pub headers: HeaderMap,
    /// Template of the body. `None`: the outcome as JSON.
    pub body: Option<Template>,
}

/// Outcome of an event for which an answer can be stated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerKind {
    Success,
    /// No rule wants the event.
    Ignored,
    /// The event was taken before.
    Duplicate,
    /// An action failed while the sender waited.
    Failed,
    /// The wait ended before the actions.
    Late,
    /// The body of a verified request could not be decoded.
    Unreadable,
}

impl AnswerKind {
    /// The outcomes that have a key of their own.
    pub const KEYED: [Self; 5] = [
        Self::Ignored,
        Self::Duplicate,
        Self::Failed,
        Self::Late,
        Self::Unreadable,
    ];

    /// The answers to an event that a rule wants.
    pub const OF_A_RULE: [Self; 4] = [Self::Success, Self::Duplicate, Self::Failed, Self::Late];

    /// The key in `respond`. Success has none of its own.
    pub fn key(self) -> &'static str {
        match self {
            Self::Success => "status",
            Self::Ignored => "ignored",
            Self::Duplicate => "duplicate",
            Self::Failed => "failed",
            Self::Late => "late",
            Self::Unreadable => "unreadable",
        }
    }

    /// True if the answer is given before a rule is chosen.
    pub fn is_before_a_rule(self) -> bool {
        matches!(self, Self::Ignored | Self::Unreadable)
    }
}

impl Respond {
    /// Returns the answer that is stated for an outcome.
    pub fn of(&self, kind: AnswerKind) -> Option<&StatedAnswer> {
        match kind {
            AnswerKind::Success => self.success.as_ref(),
            AnswerKind::Ignored => self.ignored.as_ref(),
            AnswerKind::Duplicate => self.duplicate.as_ref(),
            AnswerKind::Failed => self.failed.as_ref(),
            AnswerKind::Late => self.late.as_ref(),
            AnswerKind::Unreadable => self.unreadable.as_ref(),
        }
    }

    /// States the answer for an outcome.
    pub fn set(&mut self, kind: AnswerKind, answer: StatedAnswer) {
        let place = match kind {
            AnswerKind::Success => &mut self.success,
            AnswerKind::Ignored => &mut self.ignored,
            AnswerKind::Duplicate => &mut self.duplicate,
            AnswerKind::Failed => &mut self.failed,
            AnswerKind::Late => &mut self.late,
            AnswerKind::Unreadable => &mut self.unreadable,
        };
        *place = Some(answer);
    }

    /// The templates of all answers.
    pub fn templates(&self) -> impl Iterator<Item = &Template> {
        let kinds = AnswerKind::KEYED.into_iter().chain([AnswerKind::Success]);
        kinds.filter_map(|kind| self.of(kind)?.body.as_ref())
    }
}
