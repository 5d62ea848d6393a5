//! Endpoints and rules with `expect_every`.

use std::sync::Arc;

use super::PostgresStore;
use super::failure::Failure;
use super::link::Link;
use super::row;
use crate::base::clock::Timestamp;
use crate::store::{Expectation, ExpectationSubject, StoreError};

const FORGET: &str = "DELETE FROM expectations WHERE (kind, name) IN \
     (SELECT kind, name FROM unnest($1::text[], $2::text[]) AS gone (kind, name))";

const KEEP: &str = "INSERT INTO expectations (kind, name, since, last_arrival, noticed_at) \
     SELECT kind, name, since, last_arrival, noticed_at \
     FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[]) \
     AS kept (kind, name, since, last_arrival, noticed_at) ORDER BY kind, name \
     ON CONFLICT (kind, name) DO UPDATE SET since = excluded.since, last_arrival = excluded.last_arrival, \
     noticed_at = excluded.noticed_at";

const LIST: &str = "SELECT kind, name, since, last_arrival, noticed_at FROM expectations \
     ORDER BY kind COLLATE \"C\", name COLLATE \"C\"";

/// Changed expectations, and those that are gone.
struct Noted {
    kept: Vec<Expectation>,
    forgotten: Vec<ExpectationSubject>,
}

impl Noted {
    async fn write(&self, link: &Link) -> Result<(), Failure> {
        let (kinds, names) = subjects(self.forgotten.iter());
        link.run("BEGIN").await?;
        link.execute(FORGET, &[&kinds, &names]).await?;
        let (kinds, names) = subjects(self.kept.iter().map(|known| &known.subject));
        let since: Vec<i64> = self.kept.iter().map(|known| known.since.as_millis()).collect();
        let times = |time: fn(&Expectation) -> Option<Timestamp>| -> Vec<Option<i64>> {
            self.kept
                .iter()
                .map(|known| time(known).map(Timestamp::as_millis))
                .collect()
        };
        let last_arrival = times(|known| known.last_arrival);
        let noticed_at = times(|known| known.noticed_at);
        link.execute(KEEP, &[&kinds, &names, &since, &last_arrival, &noticed_at])
            .await?;
        link.run("COMMIT").await
    }
}

/// The columns `kind` and `name`.
fn subjects<'s>(subjects: impl Iterator<Item = &'s ExpectationSubject>) -> (Vec<&'static str>, Vec<&'s str>) {
    subjects
        .map(|subject| (subject.kind(), &**subject.name()))
        .unzip()
}

impl PostgresStore {
    pub(super) async fn write_expectations(
        &self,
        kept: Vec<Expectation>,
        forgotten: Vec<ExpectationSubject>,
    ) -> Result<(), StoreError> {
        let noted = Arc::new(Noted { kept, forgotten });
        self.write_small(move |link, _| {
            let noted = Arc::clone(&noted);
            Box::pin(async move { noted.write(link).await })
        })
        .await
    }

    pub(super) async fn read_expectations(&self) -> Result<Vec<Expectation>, StoreError> {
        self.requests
            .ask(|link| {
                Box::pin(async move {
                    let rows = link.query(LIST, &[]).await?;
                    let listed = rows.iter().map(|read| {
                        let (kind, name): (&str, &str) = (read.try_get(0)?, read.try_get(1)?);
                        let since = row::time(read, 2)?;
                        let last_arrival = read.try_get::<_, Option<i64>>(3)?;
                        let noticed_at = read.try_get::<_, Option<i64>>(4)?;
                        // The constraint of the table allows no other kind.
                        let subject = ExpectationSubject::from_columns(kind, name);
                        Ok(subject.map(|subject| Expectation {
                            subject,
                            since,
                            last_arrival: last_arrival.map(Timestamp::from_millis),
                            noticed_at: noticed_at.map(Timestamp::from_millis),
                        }))
                    });
                    listed.filter_map(Result::transpose).collect()
                })
            })
            .await
    }
}
