//! The store at start-up: opened, checked against the rules file, and asked for interrupted
//! attempts.
//!
//! A store belongs to the rules file that used it last. With another rules file, deliveries for
//! rules that it lacks would become dead letters, so the daemon does not start. If the former rules
//! file is gone, it was moved or renamed, and the store goes with it.

use std::path::Path;
use std::sync::Arc;

use tracing::warn;

use crate::report::{self, Metrics};
use crate::rules::RuleSet;
use crate::store::sqlite::SqliteStore;
use crate::store::{Interrupted, Place, Store, StoreError};

/// Maximum rules that the refusal names.
const NAMED: usize = 5;

/// Opens the store of the rules file at `path`.
pub(super) async fn open(
    place: &Place,
    path: &Path,
    rules: &RuleSet,
    metrics: &Metrics,
) -> Result<Arc<dyn Store>, String> {
    let failed = |error: StoreError| {
        let hint = match error {
            StoreError::InUse { .. } => {
                "; two daemons need two stores: set `store: {path: …}` in one of the rules files"
            }
            _ => "",
        };
        format!("cannot open the store: {error}{hint}")
    };
    let Place::File(store_path) = place else {
        return Err(format!("cannot open the store: `{place}` is no file"));
    };
    let store = SqliteStore::open(store_path, rules.store.settings).map_err(failed)?;
    belongs_to(&store, store_path, path, rules)
        .await
        .map_err(failed)??;
    say_what_was_interrupted(metrics, store.interrupted().await.map_err(failed)?, rules);
    Ok(Arc::new(store))
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
