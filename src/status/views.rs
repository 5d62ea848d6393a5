//! The data of the operator's views, made by the [`StatusService`].

use std::collections::{BTreeMap, HashMap};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::base::clock::Timestamp;
use crate::report::metrics::Sample;
use crate::status::process::figures;
use crate::status::queue::{self, QueueFacts, QueueStatus};
use crate::status::rules::{self, RuleFacts, RuleStatus};
use crate::status::service::StatusService;
use crate::status::{DaySeries, PauseStatus, ProblemGroups, ProblemsStatus, Status};
use crate::store::{BacklogCounts, History, PauseSubject, Records, SecretUse, StoreError};

/// The daemon, and its figures of the last 24 hours.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SystemStatus {
    pub status: Status,
    pub day: DaySeries,
}

/// The parts of the rules view that are read from the store.
struct RulesRead {
    backlog: BTreeMap<String, BacklogCounts>,
    dead: HashMap<String, u64>,
    secrets: Vec<SecretUse>,
}

impl StatusService {
    /// Figures of the last 24 hours.
    pub fn day(&self) -> DaySeries {
        let now = self.clock.now();
        DaySeries::new(&self.metrics.day.slots(now), self.started, now)
    }

    /// The daemon, and its figures of the last 24 hours.
    pub async fn system(&self) -> SystemStatus {
        SystemStatus {
            status: self.status().await,
            day: self.day(),
        }
    }

    /// Adds a sample to the figures of the last 24 hours.
    pub async fn sample(&self) {
        let answer = self.ask_store().await.ok();
        let health = answer.as_ref().map(|answer| &answer.health);
        let sample = Sample {
            overdue: answer.as_ref().map(|answer| answer.overdue),
            resident: Some(figures().resident),
            store: health.map(|health| health.size),
            commits: health.map(|health| (health.commits, health.commit_time)),
        };
        self.metrics.day.sample(self.clock.now(), &sample);
    }

    /// The rules with their state. The error is the store's.
    pub async fn rules(&self) -> Result<Vec<RuleStatus>, String> {
        let now = self.clock.now();
        let read = self.read_rules(now).await?;
        Ok(self.with_rule_facts(now, &read, rules::statuses))
    }

    /// The state of one rule. `None` if there is none of that name. The error is the store's.
    pub async fn rule(&self, name: &str) -> Result<Option<RuleStatus>, String> {
        let now = self.clock.now();
        let read = self.read_rules(now).await?;
        Ok(self.with_rule_facts(now, &read, |facts| rules::status(facts, name)))
    }

    async fn read_rules(&self, now: Timestamp) -> Result<RulesRead, String> {
        let records = Records::at(&self.place);
        self.read_store(move |history| {
            Ok(RulesRead {
                backlog: history.backlog_counts(now)?,
                dead: history.dead_by_rule()?,
                secrets: records.secrets()?.unwrap_or_default(),
            })
        })
        .await
    }

    fn with_rule_facts<T>(
        &self,
        now: Timestamp,
        read: &RulesRead,
        make: impl FnOnce(&RuleFacts<'_>) -> T,
    ) -> T {
        make(&RuleFacts {
            rules: &self.live.current(),
            pauses: &self.pauses.current(),
            unavailable: &self.unavailable.current(),
            last_matches: &self.metrics.last_arrivals(),
            figures: self.metrics.day.rules(now).into_iter().collect(),
            backlog: &read.backlog,
            running: &queue::running_by_rule(&self.dispatcher.running()),
            dead: &read.dead,
            secrets: &read.secrets,
        })
    }

    /// Paused targets of forwards.
    pub fn paused_targets(&self) -> Vec<PauseStatus> {
        let pauses = self.pauses.current();
        let targets = pauses.all.iter();
        let targets = targets.filter(|pause| matches!(pause.subject, PauseSubject::Target(_)));
        targets.map(PauseStatus::of).collect()
    }

    /// The queue. The error is the store's.
    pub async fn queue(&self) -> Result<QueueStatus, String> {
        let overdue = self.ask_store().await?.overdue;
        let now = self.clock.now();
        // Before the snapshot of the store, in which a delivery that ends now has not ended.
        let running = self.dispatcher.running();
        let number = running.len();
        let backlog = self
            .read_store(move |history| history.backlog(now, number))
            .await?;
        Ok(queue::queue(&QueueFacts {
            now,
            overdue,
            rules: &self.live.current(),
            pauses: &self.pauses.current(),
            backlog,
            running,
            put_off: self.dispatcher.put_off(),
            targets: self.dispatcher.targets(),
        }))
    }

    /// Problems of the daemon and in its store.
    pub async fn problems_view(&self) -> ProblemsStatus {
        let groups = self.read_store(ProblemGroups::read).await;
        let mut status = self.status().await;
        let groups = groups.map_err(|why| {
            if !status.problems.contains(&why) {
                status.problems.push(why);
            }
        });
        ProblemsStatus::new(status, groups.ok())
    }

    /// Reads the store on a blocking thread.
    async fn read_store<T: Send + 'static>(
        &self,
        read: impl FnOnce(&History) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, String> {
        let records = Records::at(&self.place);
        let reading = tokio::task::spawn_blocking(move || read(&records.history()?));
        let read = reading.await.map_err(|error| error.to_string())?;
        read.map_err(|error| format!("the store: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use schemars::schema_for;

    use super::*;

    #[test]
    fn every_view_has_a_schema() {
        for schema in [
            schema_for!(SystemStatus),
            schema_for!(QueueStatus),
            schema_for!(ProblemsStatus),
            schema_for!(RuleStatus),
        ] {
            assert!(
                schema
                    .as_object()
                    .is_some_and(|schema| schema.contains_key("properties"))
            );
        }
    }
}
