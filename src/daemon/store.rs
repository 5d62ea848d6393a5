//! The store at start-up. A file is opened, checked against the rules file, and asked for interrupted
//! attempts. A server is asked until it answers.
//!
//! A file belongs to the rules file that used it last. With another rules file, deliveries for
//! rules that it lacks would become dead letters, so the daemon does not start. If the former rules
//! file is gone, it was moved or renamed, and the store goes with it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use crate::base::live::Live;
use crate::report::{self, Metrics};
use crate::rules::RuleSet;
use crate::store::postgres::{PostgresStore, Target};
use crate::store::sqlite::SqliteStore;
use crate::store::{Interrupted, Store, StoreError};

/// Maximum rules that the refusal names.
const NAMED: usize = 5;

/// First pause before a server is asked again. Each time doubles it.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Maximum pause before a server is asked again.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// Interval between two lines of the log about a server that is not reached.
const TELL_EVERY: Duration = Duration::from_mins(1);

/// An open store.
pub(super) struct Opened {
    pub store: Arc<dyn Store>,
    /// The same store, if it is on a server.
    pub server: Option<Arc<PostgresStore>>,
}

/// Opens a store on a server, and waits until the server is reached. `waits_for` says why it is not.
/// The error is one that lasts: a wrong password, no such database, tables of a later hookyard.
pub(super) async fn reach(
    target: &Target,
    rules: &RuleSet,
    metrics: &Metrics,
    waits_for: &Live<String>,
) -> Result<Opened, String> {
    let (mut pause, mut told_at) = (FIRST_PAUSE, None::<Instant>);
    loop {
        let error = match PostgresStore::open(target.clone(), rules.store.settings).await {
            Ok(store) => {
                let server = Arc::new(store);
                say_what_was_interrupted(metrics, server.interrupted(), rules);
                info!(store = %target, "the store is open");
                return Ok(Opened {
                    store: Arc::clone(&server) as Arc<dyn Store>,
                    server: Some(server),
                });
            }
            Err(error) => error,
        };
        if !error.may_pass() {
            return Err(format!("cannot open the store `{target}`: {error}"));
        }
        if told_at.is_none_or(|at| at.elapsed() >= TELL_EVERY) {
            warn!(store = %target, %error, "the store is not reached: events are answered 503 until it is");
            told_at = Some(Instant::now());
        }
        drop(waits_for.replace(format!("the store `{target}` is not reached: {error}")));
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Opens the file at `store_path` for the rules file at `path`.
pub(super) async fn open_file(
    store_path: &Path,
    path: &Path,
    rules: &RuleSet,
    metrics: &Metrics,
) -> Result<Opened, String> {
    let failed = |error: StoreError| {
        let hint = match error {
            StoreError::InUse { .. } => {
                "; two daemons need two stores: set `store: {path: …}` in one of the rules files"
            }
            _ => "",
        };
        format!("cannot open the store: {error}{hint}")
    };
    let store = SqliteStore::open(store_path, rules.store.settings).map_err(failed)?;
    belongs_to(&store, store_path, path, rules)
        .await
        .map_err(failed)??;
    say_what_was_interrupted(metrics, store.interrupted().await.map_err(failed)?, rules);
    Ok(Opened {
        store: Arc::new(store),
        server: None,
    })
}

/// Checks that the store belongs to the rules file. The inner error is a refusal.
async fn belongs_to(
    store: &SqliteStore,
    store_path: &Path,
    path: &Path,
    rules: &RuleSet,
) -> Result<Result<(), String>, StoreError> {
    // A symlink is not resolved, since it may point to another release each time.
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    if let Some(before) = store.rules_file().await? {
        if same(&before, &path) {
            return Ok(Ok(()));
        }
        let pending = store.pending_by_rule().await?;
        let lacking: Vec<_> = pending
            .into_iter()
            .filter(|(rule, _)| rules.rule(rule).is_none())
            .collect();
        if !lacking.is_empty() && before.exists() {
            return Ok(Err(refusal(store_path, &before, &path, &lacking)));
        }
        warn!(
            store = %store_path.display(),
            before = %before.display(),
            now = %path.display(),
            "the store was used with another rules file before"
        );
    }
    store.set_rules_file(&path).await?;
    Ok(Ok(()))
}

/// True if two paths lead to the same file.
fn same(before: &Path, now: &Path) -> bool {
    let canonical = |path: &Path| path.canonicalize().ok();
    before == now || canonical(before).is_some_and(|before| canonical(now) == Some(before))
}

/// Explains why the store is not used with the rules file `now`.
fn refusal(store: &Path, before: &Path, now: &Path, lacking: &[(String, u64)]) -> String {
    let shown = |path: &Path| path.display().to_string();
    let count: u64 = lacking.iter().map(|(_, count)| count).sum();
    let (deliveries, wait) = if count == 1 {
        ("delivery", "waits")
    } else {
        ("deliveries", "wait")
    };
    let mut names: Vec<&str> = lacking
        .iter()
        .take(NAMED)
        .map(|(rule, _)| rule.as_str())
        .collect();
    if lacking.len() > NAMED {
        names.push("…");
    }
    format!(
        "the store `{}` belongs to the rules file `{}`: {count} {deliveries} {wait} in it for rules that `{}` does not have \
         ({}); give `{}` a store of its own by `store: {{path: …}}`; if it takes the place of the other file, remove that one \
         first",
        shown(store),
        shown(before),
        shown(now),
        names.join(", "),
        shown(now),
    )
}

/// Reports the attempts that the previous daemon did not finish.
fn say_what_was_interrupted(metrics: &Metrics, interrupted: Vec<Interrupted>, rules: &RuleSet) {
    let named = |interrupted: Interrupted| {
        let rule = rules.rule(&interrupted.rule);
        let step = rule.and_then(|(_, rule)| rule.step(interrupted.for_failure, interrupted.action));
        let action = step.map_or("unknown", |(action, _)| action.name());
        (interrupted, action)
    };
    report::interrupted(metrics, &interrupted.into_iter().map(named).collect::<Vec<_>>());
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn a_refusal_names_both_files_and_what_would_be_lost() {
        let paths = ["/s.db", "/a.yaml", "/b.yaml"].map(PathBuf::from);
        let [store, before, now] = &paths;
        let lacking = [("deploy".to_owned(), 1)];
        assert_eq!(
            refusal(store, before, now, &lacking),
            "the store `/s.db` belongs to the rules file `/a.yaml`: 1 delivery waits in it for rules that `/b.yaml` does not \
             have (deploy); give `/b.yaml` a store of its own by `store: {path: …}`; if it takes the place of the other file, \
             remove that one first"
        );
        let many: Vec<_> = (0..7).map(|n| (format!("r{n}"), 2)).collect();
        let said = refusal(store, before, now, &many);
        assert!(said.contains("14 deliveries wait"), "{said}");
        assert!(said.contains("(r0, r1, r2, r3, r4, …)"), "{said}");
    }
}
