//! Judgement of a new rules file by the arrivals that are kept: for `hookyard plan`, and before a
//! reload.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::admin::{MAX_PLAN, PlanAnswer, PlanRequest, Planner};
use crate::base::clock::{Clock, Timestamp};
use crate::base::diagnostic::{Diagnostic, Diagnostics};
use crate::config::{self, Gate};
use crate::daemon::shared::Shared;
use crate::plan::{Plan, Range, described};
use crate::rules::{Change, RuleSet};
use crate::store::Records;

/// Arrivals by which a reload is judged.
pub const RELOAD_JUDGED: usize = 1000;
/// Maximum time for the judgement of a reload.
pub const RELOAD_JUDGED_FOR: Duration = Duration::from_secs(10);
/// Maximum time for a judgement that the operator asks for.
pub const PLAN_LIMIT: Duration = Duration::from_secs(6);

/// Code of a file that is not put in force because of `refuse_if`.
const CODE: &str = "refuse-if";

/// Builds the service that judges the file at `path` against the rules in force.
pub(super) fn planner(path: &Path, shared: &Shared) -> Planner {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let (live, records, clock) = (
        Arc::clone(&shared.live),
        Records::at(&shared.place),
        shared.clock.clone(),
    );
    Planner::new(
        || MAX_PLAN,
        move |request, _user| {
            let (path, records, clock) = (path.clone(), records.clone(), clock.clone());
            let current = live.current();
            Box::pin(async move {
                let judging =
                    tokio::task::spawn_blocking(move || answer(&path, &records, &clock, &current, &request));
                let judged = judging.await.map_err(|error| error.to_string()).flatten();
                judged.unwrap_or_else(|why| PlanAnswer {
                    failed: Some(why),
                    ..PlanAnswer::default()
                })
            })
        },
    )
}

fn answer(
    path: &Path,
    records: &Records,
    clock: &Clock,
    current: &RuleSet,
    request: &PlanRequest,
) -> Result<PlanAnswer, String> {
    let shown = path.display().to_string();
    let loaded = config::load(path, config::environment());
    let loaded =
        loaded.map_err(|diagnostics| format!("{shown} does not load\n{}", diagnostics.render(false)))?;
    let range = Range {
        since: request.since.map(Timestamp::from_millis),
        last: request.last,
    };
    let in_force = format!("the rules in force (generation {})", current.generation);
    let plan = judged(
        records,
        clock,
        (current, in_force),
        (&loaded.rules, shown),
        range,
        PLAN_LIMIT,
    )?;
    Ok(PlanAnswer {
        failed: None,
        text: plan.text(),
        json: plan.json(),
        differs: plan.differs(),
    })
}

fn judged(
    records: &Records,
    clock: &Clock,
    old: (&RuleSet, String),
    new: (&RuleSet, String),
    range: Range,
    limit: Duration,
) -> Result<Plan, String> {
    let history = records.history().map_err(|error| error.to_string())?;
    let end = clock.now().plus(limit);
    let plan = Plan::new(old, new, &history, range, || clock.now() < end);
    plan.map_err(|error| error.to_string())
}

/// Builds the gate of reloads: a file that makes a change of `reload.refuse_if` is not put in force.
pub(super) fn gate(shared: &Shared) -> Gate {
    let (records, clock) = (Records::at(&shared.place), shared.clock.clone());
    Box::new(move |current, new| {
        let refused = current.reload.refused_changes(&new.reload);
        let mut diagnostics = Diagnostics::new();
        if refused.is_empty() {
            return diagnostics;
        }
        let range = Range {
            since: None,
            last: RELOAD_JUDGED,
        };
        let (old, named) = ((current, String::new()), (new, String::new()));
        match judged(&records, &clock, old, named, range, RELOAD_JUDGED_FOR) {
            Ok(plan) => diagnostics.extend(refusals(&plan, refused)),
            Err(error) => {
                let message = format!("the change of the rules cannot be judged: {error}");
                diagnostics.push(Diagnostic::unplaced(CODE, message));
            }
        }
        diagnostics
    })
}

/// Describes each change that is refused.
fn refusals(plan: &Plan, refused: &[Change]) -> Vec<Diagnostic> {
    let changes = plan.changes().filter(|(_, change, ..)| refused.contains(change));
    let refusals = changes.map(|(rule, change, arrivals, reasons)| {
        let (reason, first) = reasons.iter().next().map_or_else(
            || (String::new(), String::new()),
            |(reason, changed)| {
                let first = changed.sample.ids.first().map(ToString::to_string);
                (reason.clone(), first.unwrap_or_default())
            },
        );
        let what = described(change, arrivals);
        let message = format!("the rule `{rule}` {what}, such as {first} ({reason})");
        let hint =
            "`hookyard plan` shows all changes; `reload: {refuse_if: []}` in the new file puts them in force";
        Diagnostic::unplaced(CODE, message).hint(hint)
    });
    refusals.collect()
}
