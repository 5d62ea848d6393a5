//! Check of a server before it holds a store: its settings, and the safety of its events.

use std::fmt;

use super::failure::Failure;
use super::link::Link;
use super::promises::{Promises, is_replicated};
use super::target::{Durability, Target};
use super::{PostgresStore, schema};
use crate::store::StoreError;

const STANDBY_NAMES: &str = "SELECT current_setting('synchronous_standby_names')";

/// Refuses to go on unless commits wait for a standby, where they must. The setting may change at
/// any time, so each batch of new events asks.
pub(super) async fn require_standby(link: &Link, durability: Durability) -> Result<(), Failure> {
    match missing_standby(link, durability).await? {
        None => Ok(()),
        Some(detail) => Err(Failure::Failed(StoreError::Forbidden { detail })),
    }
}

/// Reason why new events are refused. None if they are not.
pub(super) async fn missing_standby(link: &Link, durability: Durability) -> Result<Option<String>, Failure> {
    if durability != Durability::Replicated || is_replicated(&standby_names(link).await?) {
        return Ok(None);
    }
    Ok(Some(NOT_REPLICATED.to_owned()))
}

async fn standby_names(link: &Link) -> Result<String, Failure> {
    let rows = link.query(STANDBY_NAMES, &[]).await?;
    Ok(rows.first().map(|row| row.get(0)).unwrap_or_default())
}

const NOT_REPLICATED: &str = "`store.durability` is `replicated`, and `synchronous_standby_names` is empty on the server: \
     a new event would be on one disk only";

/// A standby, as the server lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standby {
    pub name: String,
    /// `sync`, `quorum`, `potential` or `async`. None if the role may not see it.
    pub state: Option<String>,
}

/// The answer of a server to the question whether it can hold a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerReport {
    /// Version of the server.
    pub version: String,
    /// Host and port that answered.
    pub host: String,
    /// True if new events wait for a standby.
    pub is_replicated: bool,
    pub standbys: Vec<Standby>,
    /// Version of the tables. None if there are none yet.
    pub schema: Option<i32>,
    /// Notices for the operator.
    pub warnings: Vec<String>,
    /// Reason why new events are refused.
    pub refusal: Option<String>,
}

impl fmt::Display for ServerReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgreSQL {} at {}", self.version, self.host)?;
        if self.is_replicated {
            f.write_str(", with a synchronous standby")?;
        }
        Ok(())
    }
}

/// Connects, and asks whether the server can hold the store. Nothing is changed on the server. An
/// error that [may pass](StoreError::may_pass) says that the server was not reached.
pub async fn connect_check(target: &Target) -> Result<ServerReport, StoreError> {
    let link = Link::connect(target, "check").await.map_err(at_start)?;
    report(&link, target).await.map_err(at_start)
}

/// A privilege that is missing at the start is a fault of the setup.
pub(super) fn at_start(failure: Failure) -> StoreError {
    match failure.into_error() {
        StoreError::Forbidden { detail } => StoreError::Refused { detail },
        other => other,
    }
}

impl PostgresStore {
    /// Asks the server what it promises at present.
    pub async fn server_report(&self) -> Result<ServerReport, StoreError> {
        let target = std::sync::Arc::clone(&self.node.target);
        self.requests
            .ask(move |link| {
                let target = std::sync::Arc::clone(&target);
                Box::pin(async move { report(link, &target).await })
            })
            .await
    }
}

const STANDBYS: &str = "SELECT coalesce(application_name, ''), sync_state FROM pg_stat_replication \
     ORDER BY 1 LIMIT 32";

async fn report(link: &Link, target: &Target) -> Result<ServerReport, Failure> {
    let schema = schema::version(link, target).await?;
    let rows = link.query(STANDBYS, &[]).await?;
    let standbys: Vec<_> = rows
        .iter()
        .map(|row| Standby {
            name: row.get(0),
            state: row.get(1),
        })
        .collect();
    let promises = link
        .promises()
        .clone()
        .with_standby_names(standby_names(link).await?);
    let is_replicated = promises.is_replicated();
    let refused = target.durability == Durability::Replicated && !is_replicated;
    Ok(ServerReport {
        warnings: warnings(&promises, &standbys, target),
        version: promises.version().to_owned(),
        host: link.host().to_owned(),
        is_replicated,
        standbys,
        schema,
        refusal: refused.then(|| NOT_REPLICATED.to_owned()),
    })
}

/// Notices for the operator about a server that is not refused.
fn warnings(promises: &Promises, standbys: &[Standby], target: &Target) -> Vec<String> {
    let mut warnings = Vec::new();
    if target.durability != Durability::Trusted && !promises.is_replicated() && !standbys.is_empty() {
        warnings.push(format!(
            "the server has {} and waits for none of them: a failover may lose events that were answered; set \
             `synchronous_standby_names`, and `store.durability: replicated`",
            match standbys.len() {
                1 => "a standby".to_owned(),
                count => format!("{count} standbys"),
            },
        ));
    }
    if promises.is_replicated() && promises.is_local_by_default() {
        warnings.push(format!(
            "`synchronous_commit` is `{}` on the server: hookyard uses `on`, other programs do not",
            promises.synchronous_commit()
        ));
    }
    if target.server.is_unverified() {
        warnings.push(
            "`sslmode=require` encrypts the connection and does not verify the server: use `verify-full`"
                .to_owned(),
        );
    }
    warnings
}
