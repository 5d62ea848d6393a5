//! Rules that the operator lists, pauses and resumes through the admin socket.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::act::Action;
use crate::admin::{MAX_RULES_REQUEST, Paused, RuleOperator, RulesAnswer, RulesRequest, Who};
use crate::base::clock::Clock;
use crate::base::diagnostic::did_you_mean;
use crate::base::live::Live;
use crate::daemon::shared::{Shared, operator_name};
use crate::pipeline::Dispatcher;
use crate::rules::RuleSet;
use crate::status::PauseStatus;
use crate::store::{Pause, PauseSubject, Pauses, Store};

/// Maximum pauses at once.
pub const MAX_PAUSES: usize = 1000;

/// Interval between two looks at the pauses of a store that other nodes use, too.
const FOLLOWED_EVERY: Duration = Duration::from_secs(2);

/// Everything that the operation needs.
pub(super) struct Operator {
    clock: Clock,
    live: Arc<Live<RuleSet>>,
    pauses: Arc<Live<Pauses>>,
    store: Arc<dyn Store>,
    dispatcher: Arc<Dispatcher>,
    /// Held from the write to the store until the dispatcher knows of it.
    changing: tokio::sync::Mutex<()>,
}

/// Builds the operator of rules.
pub(super) fn operator(shared: &Shared, dispatcher: &Arc<Dispatcher>) -> Arc<Operator> {
    Arc::new(Operator {
        clock: shared.clock.clone(),
        live: Arc::clone(&shared.live),
        pauses: Arc::clone(&shared.pauses),
        store: Arc::clone(&shared.store),
        dispatcher: Arc::clone(dispatcher),
        changing: tokio::sync::Mutex::default(),
    })
}

/// Puts pauses that other nodes have set or ended in force, until `stop`.
pub(super) async fn follow(operator: Arc<Operator>, stop: CancellationToken) {
    while !stop.is_cancelled() {
        tokio::select! {
            () = tokio::time::sleep(FOLLOWED_EVERY) => operator.look().await,
            () = stop.cancelled() => {}
        }
    }
}

/// Builds the service that lists, pauses and resumes rules.
pub(super) fn service(operator: &Arc<Operator>) -> RuleOperator {
    let operator = Arc::clone(operator);
    RuleOperator::new(
        || MAX_RULES_REQUEST,
        move |request, who| {
            let operator = Arc::clone(&operator);
            Box::pin(async move {
                let answer = operator.answer(request, who).await;
                answer.unwrap_or_else(|why| RulesAnswer {
                    failed: Some(why),
                    ..RulesAnswer::default()
                })
            })
        },
    )
}

impl Operator {
    async fn answer(&self, request: RulesRequest, who: Who) -> Result<RulesAnswer, String> {
        match request {
            RulesRequest::Pause(paused) => self.pause(&paused, who).await,
            RulesRequest::Resume(paused) => self.resume(&paused, who).await,
        }
    }

    async fn pause(&self, named: &Paused, who: Who) -> Result<RulesAnswer, String> {
        let subject = known(&self.live.current(), named)?;
        let by: Arc<str> = operator_name(who).await.into();
        let _changing = self.changing.lock().await;
        let current = self.pauses.current();
        if current.of(&subject).is_none() && current.all.len() >= MAX_PAUSES {
            return Err(format!("{MAX_PAUSES} rules and targets are paused already"));
        }
        let pause = Pause {
            subject: subject.clone(),
            since: self.clock.now(),
            by: Arc::clone(&by),
        };
        let changed = self.store.pause(pause).await;
        let changed = changed.map_err(|error| format!("the store: {error}"))?;
        let pauses = self.adopt().await?;
        if changed {
            let (kind, name) = (subject.kind(), subject.name());
            info!(kind, name = &**name, by = &*by, "paused: its deliveries wait");
        }
        Ok(RulesAnswer {
            changed,
            pause: pauses.of(&subject).map(PauseStatus::of),
            ..RulesAnswer::default()
        })
    }

    async fn resume(&self, named: &Paused, who: Who) -> Result<RulesAnswer, String> {
        let by: Arc<str> = operator_name(who).await.into();
        let _changing = self.changing.lock().await;
        let current = self.pauses.current();
        // What is paused can be resumed, even if the rules file no longer has it.
        let named_subject = subject(named)?;
        let subject = match current.of(&named_subject) {
            Some(_) => named_subject,
            None => known_or_paused(&self.live.current(), &current, named)?,
        };
        let changed = self.store.resume(subject.clone()).await;
        let changed = changed.map_err(|error| format!("the store: {error}"))?;
        self.adopt().await?;
        if changed {
            let (kind, name) = (subject.kind(), subject.name());
            info!(kind, name = &**name, by = &*by, "resumed");
        }
        Ok(RulesAnswer {
            changed,
            pause: current.of(&subject).map(PauseStatus::of),
            ..RulesAnswer::default()
        })
    }

    /// Puts the pauses of the store in force if they have changed. If they cannot be read, the next
    /// look finds them.
    async fn look(&self) {
        let _changing = self.changing.lock().await;
        let current = self.pauses.current();
        let Ok(all) = self.store.pauses().await else {
            return;
        };
        if all == current.all {
            return;
        }
        for new in all.iter().filter(|pause| current.of(&pause.subject).is_none()) {
            let (kind, name) = (new.subject.kind(), new.subject.name());
            info!(kind, name = &**name, by = &*new.by, "paused: its deliveries wait");
        }
        let next = Pauses::new(all);
        for gone in current
            .all
            .iter()
            .filter(|pause| next.of(&pause.subject).is_none())
        {
            let (kind, name) = (gone.subject.kind(), gone.subject.name());
            info!(kind, name = &**name, "resumed");
        }
        self.dispatcher.adopt_pauses(next);
    }

    /// Puts the pauses of the store in force.
    async fn adopt(&self) -> Result<Pauses, String> {
        let all = self.store.pauses().await;
        let pauses = Pauses::new(all.map_err(|error| format!("the store: {error}"))?);
        self.dispatcher.adopt_pauses(pauses.clone());
        Ok(pauses)
    }
}

/// The subject that is named, known or not. A target is put into the form in which it is compared.
fn subject(named: &Paused) -> Result<PauseSubject, String> {
    match named {
        Paused::Rule(name) => Ok(PauseSubject::Rule(name.as_str().into())),
        Paused::Target(url) => {
            let target = Action::target_of(url);
            let target = target.map_err(|why| format!("the target `{url}` {why}"))?;
            Ok(PauseSubject::Target(target.into()))
        }
    }
}

/// The subject that is named, if the rules in force have it.
fn known(rules: &RuleSet, named: &Paused) -> Result<PauseSubject, String> {
    known_or_paused(rules, &Pauses::default(), named)
}

/// The subject that is named, if the rules in force have it. The error suggests another one, also a
/// paused one.
fn known_or_paused(rules: &RuleSet, pauses: &Pauses, named: &Paused) -> Result<PauseSubject, String> {
    let subject = subject(named)?;
    let name = subject.name();
    let also = pauses.all.iter().map(|pause| &pause.subject);
    let also = also.filter(|other| other.kind() == subject.kind());
    let mut candidates: Vec<Arc<str>> = also.map(|other| Arc::clone(other.name())).collect();
    let mut is_any = false;
    match &subject {
        PauseSubject::Rule(_) => candidates.extend(rules.names.keys().cloned()),
        PauseSubject::Target(_) => {
            let actions = rules.all_rules().flat_map(|rule| {
                let on_failure = rule.on_failure.iter().map(|(action, _)| action);
                rule.actions.iter().chain(on_failure)
            });
            for target in actions.filter_map(Action::target) {
                match target {
                    Some(target) => candidates.push(target.into()),
                    // The event names the host.
                    None => is_any = true,
                }
            }
        }
    }
    if is_any || candidates.contains(name) {
        return Ok(subject);
    }
    let near = did_you_mean(name, candidates.iter().map(|other| &**other));
    let near = near.map_or_else(String::new, |near| format!(" (did you mean `{near}`?)"));
    Err(match subject {
        PauseSubject::Rule(_) => format!("the rules in force have no rule `{name}`{near}"),
        PauseSubject::Target(_) => format!("no rule in force forwards to `{name}`{near}"),
    })
}
