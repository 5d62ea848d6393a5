//! Pretended attempts: each action is rendered and recorded, and ends as the test states.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::outcomes::OutcomeScript;
use super::read::Place;
use crate::act::{Action, ActionContext, Outcome, PretendedFuture, RenderedAction, Verdict};
use crate::base::clock::Clock;
use crate::base::live::Live;
use crate::rules::RuleSet;

/// A pretended attempt at an action.
#[derive(Clone, Debug)]
pub(super) struct Attempt {
    pub delivery: String,
    /// Index of the action.
    pub action: usize,
    /// The action with all values, or the reason why it fails.
    pub rendered: Result<RenderedAction, String>,
}

/// All attempts of a test, and what cannot be pretended.
#[derive(Debug, Default)]
pub(super) struct AttemptLog {
    pub attempts: Vec<Attempt>,
    /// Outcomes that do not fit the action, with the reason.
    pub misfits: Vec<(Place, String)>,
}

/// Shared state of pretended attempts.
pub(super) struct Stage {
    pub log: Arc<Mutex<AttemptLog>>,
    pub script: Arc<OutcomeScript>,
    pub rules: Arc<Live<RuleSet>>,
    pub clock: Clock,
}

impl Stage {
    /// Begins an attempt.
    pub fn perform(
        &self,
        action: &Action,
        context: &ActionContext<'_>,
        stop: CancellationToken,
    ) -> PretendedFuture {
        let now = self.clock.now();
        let for_failure = context.failure.is_some();
        let rendered = action.render(context, now);
        self.log.lock().attempts.push(Attempt {
            delivery: context.delivery.clone(),
            action: self.index(action, context.rule, for_failure),
            rendered: rendered.clone(),
        });
        let rendered = match rendered {
            Ok(rendered) => rendered,
            Err(why) => return Box::pin(async { Outcome::new(Verdict::Dead, why, Duration::ZERO) }),
        };
        let stated = self
            .script
            .next(context.event.received.id, context.rule, for_failure);
        if let Some((stated, place)) = &stated
            && let Some(key) = stated.foreign_to(action)
        {
            let why = format!(
                "`{key}` is no outcome of `{}`, which is the action here",
                action.name()
            );
            self.log.lock().misfits.push((place.clone(), why));
        }
        let stated = stated.map(|(stated, _)| stated).unwrap_or_default();
        let outcome = action.conclude(&stated, &rendered, now);
        let clock = self.clock.clone();
        Box::pin(async move {
            if outcome.duration.is_zero() {
                return outcome;
            }
            tokio::select! {
                () = stop.cancelled() => Outcome::new(Verdict::Stopped, "stopped", Duration::ZERO),
                () = clock.sleep(outcome.duration) => outcome,
            }
        })
    }

    /// The position of an action in its rule.
    fn index(&self, action: &Action, rule: &str, for_failure: bool) -> usize {
        let rules = self.rules.current();
        let Some((_, rule)) = rules.rule(rule) else {
            return 0;
        };
        let is_this = |index: &usize| {
            let step = rule.step(for_failure, *index);
            step.is_some_and(|(known, _)| std::ptr::eq(known, action))
        };
        (0..rule.steps(for_failure)).find(is_this).unwrap_or_default()
    }
}
