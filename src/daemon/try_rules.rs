//! Rules that the operator tries on one request: an edited copy of the rules file, compiled without
//! anything of this machine, beside the rules in force. Nothing runs and nothing is written.
//!
//! Secrets are masked in the copy, and pretended when it is compiled. What the rule in force would do
//! is therefore rendered by the masked file, if that is the one in force.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::admin::{MAX_TRY, TryAnswer, TryRequest, Tryer};
use crate::base::clock::Clock;
use crate::base::live::Live;
use crate::config::{self, RulesCopy};
use crate::daemon::shared::Shared;
use crate::daemon::tried_decisions::{Trial, decisions};
use crate::daemon::tried_request;
use crate::event::{ArrivalOutcome, Received};
use crate::history::{StoredArrival, as_test, headers, raw_text, stored, test_of};
use crate::pipeline::KeptArrival;
use crate::plan::read_kept;
use crate::rules::RuleSet;
use crate::store::Records;

/// Maximum size of a rules file that is tried, in bytes.
pub const MAX_TRIED_FILE: usize = 1 << 20;
/// Maximum size of a request that is tried, in bytes.
pub const MAX_TRIED_REQUEST: usize = 1 << 20;
/// Maximum time for which a trial waits for the one before it.
pub const TRY_WAIT: Duration = Duration::from_secs(3);
/// Maximum bytes of a body that the answer shows.
const BODY_SHOWN: usize = 64 << 10;

/// What every trial needs.
#[derive(Clone)]
struct Bench {
    path: PathBuf,
    live: Arc<Live<RuleSet>>,
    records: Records,
    clock: Clock,
}

/// Builds the service that tries rules.
pub(super) fn tryer(path: &Path, shared: &Shared) -> Tryer {
    let bench = Bench {
        path: std::path::absolute(path).unwrap_or_else(|_| path.to_owned()),
        live: Arc::clone(&shared.live),
        records: Records::at(&shared.place),
        clock: shared.clock.clone(),
    };
    // One at a time: a copy may be large.
    let turns = Arc::new(Semaphore::new(1));
    Tryer::new(
        || MAX_TRY,
        move |request, _who| {
            let (bench, turns) = (bench.clone(), Arc::clone(&turns));
            Box::pin(async move {
                let Ok(Ok(turn)) = timeout(TRY_WAIT, turns.acquire_owned()).await else {
                    return failed("other rules are being tried; try again in a moment".to_owned());
                };
                let trying = tokio::task::spawn_blocking(move || {
                    // Held until the trial has ended, also if the client has disconnected.
                    let _turn = turn;
                    bench.answer(&request)
                });
                trying.await.unwrap_or_else(|error| failed(error.to_string()))
            })
        },
    )
}

fn failed(why: String) -> TryAnswer {
    TryAnswer {
        failed: Some(why),
        ..TryAnswer::default()
    }
}

/// A request that is tried.
struct Tried {
    kept: KeptArrival,
    /// The arrival that is stored. `None`: the request was pasted.
    stored: Option<StoredArrival>,
}

impl Bench {
    fn answer(&self, request: &TryRequest) -> TryAnswer {
        let copy = match RulesCopy::read(&self.path) {
            Ok(copy) => copy,
            Err(why) => return failed(why),
        };
        let mut answer = TryAnswer {
            arrival: request.arrival.clone(),
            rules: request.rules.clone().unwrap_or_else(|| copy.text.clone()),
            request: request.request.clone().unwrap_or_default(),
            ..TryAnswer::default()
        };
        if let Err(why) = self.decide(&copy, request, &mut answer) {
            answer.failed = Some(copy.without_secrets(&why));
        }
        answer
    }

    fn decide(&self, copy: &RulesCopy, request: &TryRequest, answer: &mut TryAnswer) -> Result<(), String> {
        let live = self.live.current();
        if answer.rules.len() > MAX_TRIED_FILE {
            return Err(format!(
                "the rules have more than {MAX_TRIED_FILE} bytes, the bound of a trial"
            ));
        }
        let tried = self.tried(request, &live)?;
        // A pasted request stays as it was written.
        if let Some(tried) = tried.as_ref().filter(|tried| tried.stored.is_some()) {
            answer.request = copy.without_secrets(&shown(&tried.kept.received));
        }
        let compile = |text: &str| config::load_copy(&self.path, text, &live.includes);
        let new = match request.rules.as_deref().map(compile) {
            Some(Err(diagnostics)) => {
                answer.diagnostics = Some(copy.without_secrets(&diagnostics));
                return Ok(());
            }
            Some(Ok(new)) => Some(new),
            None => None,
        };
        let Some(Tried { kept, stored }) = tried else {
            return match new {
                Some(_) => Err("choose an arrival, or paste a request".to_owned()),
                None => Ok(()),
            };
        };
        let is_in_force = copy.sha256.as_ref() == Some(&live.sha256);
        let basis = is_in_force.then(|| compile(&copy.text).ok()).flatten();
        let trial = Trial {
            live: &live,
            basis: basis.as_ref(),
            new: new.as_ref(),
            is_pasted: stored.is_none(),
        };
        let received = Arc::clone(&kept.received);
        let (all, left_out) = decisions(&trial, kept, copy);
        let matched = all.iter().filter(|one| one.after.matched == Some(true));
        let matched: Vec<&str> = matched.map(|one| one.rule.as_str()).collect();
        let is_event = |stored: &StoredArrival| {
            let outcome = stored.outcome;
            matches!(outcome, ArrivalOutcome::Accepted | ArrivalOutcome::Ignored)
        };
        answer.as_test = match &stored {
            Some(stored) if matched.is_empty() && !is_event(stored) => as_test(stored).ok(),
            Some(stored) => stored.whole.is_ok().then(|| test_of(&stored.received, &matched)),
            None => Some(test_of(&received, &matched)),
        };
        answer.as_test = answer.as_test.take().map(|test| copy.without_secrets(&test));
        answer.decisions = all;
        answer.left_out = left_out;
        Ok(())
    }

    /// Reads the request that is tried. `None` if none is chosen.
    fn tried(&self, request: &TryRequest, live: &RuleSet) -> Result<Option<Tried>, String> {
        if let Some(text) = request.request.as_ref().filter(|_| request.arrival.is_none()) {
            if text.len() > MAX_TRIED_REQUEST {
                return Err(format!("the request has more than {MAX_TRIED_REQUEST} bytes"));
            }
            let received = tried_request::parse(text, live, self.clock.now());
            let received = received.map_err(|error| format!("the request, {error}"))?;
            let kept = KeptArrival {
                received: Arc::new(received),
                proofs: Vec::new(),
                is_whole: true,
            };
            return Ok(Some(Tried { kept, stored: None }));
        }
        let Some(id) = &request.arrival else {
            return Ok(None);
        };
        let parsed = id.parse();
        let parsed = parsed.map_err(|error| format!("`{id}` is no id of an arrival: {error}"))?;
        let history = self
            .records
            .history()
            .map_err(|error| format!("the store: {error}"))?;
        let missing = || format!("there is no arrival `{id}`");
        let stored = stored(&history, parsed).map_err(|error| format!("the store: {error}"))?;
        let stored = stored.ok_or_else(missing)?;
        let kept = read_kept(&history, parsed, stored.outcome);
        let kept = kept
            .map_err(|error| format!("the store: {error}"))?
            .ok_or_else(missing)?;
        Ok(Some(Tried {
            kept: kept.arrival,
            stored: Some(stored),
        }))
    }
}

/// A request as text, without credentials.
fn shown(received: &Received) -> String {
    let query = if received.query.is_empty() { "" } else { "?" };
    let mut text = format!("{} {}{query}{}\n", received.method, received.path, received.query);
    for (name, value) in headers(received) {
        let value = value.as_text().unwrap_or("(no text)").to_owned();
        text.extend([name, ": ", &value, "\n"]);
    }
    let body = raw_text(&received.body, BODY_SHOWN);
    text.push('\n');
    text.push_str(&body.text);
    if body.cut {
        text.push_str("\n…");
    }
    text
}
