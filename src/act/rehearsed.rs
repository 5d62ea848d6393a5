//! Attempts that are only pretended: what a real one would do, and the judgement on a stated outcome.
//!
//! The values are those of a real attempt. Nothing runs, and nothing of this machine is looked up.

use std::time::Duration;

use crate::act::append::LIMIT;
use crate::act::outcome::{CapturedStream, Outcome, Output, Verdict};
use crate::act::rendered::{RenderedAction, StatedOutcome};
use crate::act::{Action, ActionContext};
use crate::base::clock::Timestamp;
use crate::base::units::HumanDuration;

impl StatedOutcome {
    /// The first stated part that actions of this kind do not have.
    pub fn foreign_to(&self, action: &Action) -> Option<&'static str> {
        let of_commands = [
            ("exit", self.exit.is_some()),
            ("stdout", self.stdout.is_some()),
            ("stderr", self.stderr.is_some()),
        ];
        let of_forwards = [
            ("status", self.status.is_some()),
            ("body", self.body.is_some()),
            ("retry_after", self.retry_after.is_some()),
        ];
        let foreign: Vec<(&str, bool)> = match action {
            Action::Run(_) => of_forwards.to_vec(),
            Action::Forward(_) => of_commands.to_vec(),
            Action::Append(_) => [of_commands, of_forwards].concat(),
        };
        let mut stated = foreign.into_iter().filter(|(_, is_stated)| *is_stated);
        stated.next().map(|(name, _)| name)
    }
}

impl Action {
    /// Fills in all values as an attempt does. The error is the reason why the attempt would fail.
    pub fn render(&self, context: &ActionContext<'_>, now: Timestamp) -> Result<RenderedAction, String> {
        match self {
            Self::Run(run) => run.rendered(context).map(RenderedAction::Run),
            Self::Forward(forward) => forward.rendered(context, now),
            Self::Append(append) => append.rendered(context),
        }
    }

    /// The time limit of an attempt.
    pub fn time_limit(&self) -> Duration {
        match self {
            Self::Run(run) => run.time_limit(),
            Self::Forward(forward) => forward.time_limit(),
            Self::Append(_) => LIMIT,
        }
    }

    /// The outcome of an attempt that ends as stated, judged as a real one.
    pub fn conclude(&self, stated: &StatedOutcome, rendered: &RenderedAction, now: Timestamp) -> Outcome {
        let mut output = Output::default();
        let texts = [
            (&stated.stdout, &mut output.stdout),
            (&stated.stderr, &mut output.stderr),
        ];
        for (text, stream) in texts {
            stream.push(text.as_deref().unwrap_or_default().as_bytes());
        }
        if let Some(body) = &stated.body {
            let mut response = CapturedStream::default();
            response.push(body.as_bytes());
            output.stdout = response;
        }
        let limit = self.time_limit();
        let (verdict, detail) = if stated.takes >= limit {
            let detail = format!("timed out after {}", HumanDuration(limit));
            (Verdict::FAILED, detail)
        } else if let Some(error) = &stated.error {
            (Verdict::FAILED, error.clone())
        } else {
            match (self, rendered) {
                (Self::Run(run), _) => run.verdict_on(stated.exit.unwrap_or(0)),
                (Self::Forward(forward), _) => {
                    forward.verdict_on(stated.status.unwrap_or(200), stated.retry_after, now)
                }
                (Self::Append(_), RenderedAction::Append { line, .. }) => {
                    (Verdict::Done, format!("{} bytes appended", line.len() + 1))
                }
                (Self::Append(_), _) => (Verdict::Done, String::new()),
            }
        };
        Outcome {
            verdict,
            detail,
            target: None,
            output,
            duration: stated.takes.min(limit),
        }
    }
}
