//! Pauses of rules and targets.

use super::PostgresStore;
use super::failure::Failure;
use super::link::Link;
use super::row;
use crate::store::{Pause, PauseSubject, StoreError};

/// The row is that of an earlier pause if there is one. It is new if nothing has updated it.
const PAUSE: &str = "INSERT INTO pauses AS p (kind, name, since, paused_by) VALUES ($1, $2, $3, $4) \
     ON CONFLICT (kind, name) DO UPDATE SET since = p.since RETURNING p.xmax = 0, p.since, p.paused_by";

const RESUME: &str = "DELETE FROM pauses WHERE kind = $1 AND name = $2";

const LIST: &str =
    "SELECT kind, name, since, paused_by FROM pauses ORDER BY kind COLLATE \"C\", name COLLATE \"C\"";

impl PostgresStore {
    pub(super) async fn write_pause(&self, pause: Pause) -> Result<bool, StoreError> {
        self.write_small(move |link, again| {
            let Pause { subject, since, by } = pause.clone();
            Box::pin(async move {
                let (name, by): (&str, &str) = (subject.name(), &by);
                let rows = link
                    .query(PAUSE, &[&subject.kind(), &name, &since.as_millis(), &by])
                    .await?;
                let Some(written) = rows.first() else {
                    return Ok(false);
                };
                let is_own = row::time(written, 1)? == since && &*row::text(written, 2)? == by;
                Ok(written.try_get(0)? || (again && is_own))
            })
        })
        .await
    }

    pub(super) async fn end_pause(&self, subject: PauseSubject) -> Result<bool, StoreError> {
        self.write_small(move |link, again| {
            let subject = subject.clone();
            Box::pin(async move {
                let name: &str = subject.name();
                let deleted = link.execute(RESUME, &[&subject.kind(), &name]).await?;
                // An earlier try may have ended it.
                Ok(deleted > 0 || again)
            })
        })
        .await
    }

    pub(super) async fn read_pauses(&self) -> Result<Vec<Pause>, StoreError> {
        self.requests
            .ask(|link| Box::pin(async move { list(link).await }))
            .await
    }
}

pub(super) async fn list(link: &Link) -> Result<Vec<Pause>, Failure> {
    let rows = link.query(LIST, &[]).await?;
    let pauses = rows.iter().map(|read| {
        let (kind, name): (&str, &str) = (read.try_get(0)?, read.try_get(1)?);
        let (since, by) = (row::time(read, 2)?, row::text(read, 3)?);
        // The constraint of the table allows no other kind.
        let subject = PauseSubject::from_columns(kind, name);
        Ok(subject.map(|subject| Pause { subject, since, by }))
    });
    pauses.filter_map(Result::transpose).collect()
}
