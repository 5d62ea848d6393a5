//! Dedup keys that are forgotten when a delivery fails, so that the identical request is accepted
//! again.

use uuid::Uuid;

use super::failure::Failure;
use super::link::Link;
use crate::event::EventId;

/// Keys are locked before groups and rows of the queue, as new events do.
const LOCK: &str = "SELECT 1 FROM unnest($1::uuid[], $2::text[]) AS s(event, rule) \
     JOIN dedup_keys k ON k.event = s.event AND k.rule = s.rule ORDER BY k.key, k.rule FOR UPDATE OF k";

const FORGET: &str = "DELETE FROM dedup_keys k USING unnest($1::uuid[], $2::text[]) AS s(event, rule) \
     WHERE k.event = s.event AND k.rule = s.rule";

pub(super) const STATEMENTS: &[&str] = &[LOCK, FORGET];

/// Events with rules whose dedup keys are forgotten.
#[derive(Debug, Default)]
pub(super) struct Forgetting {
    events: Vec<Uuid>,
    rules: Vec<String>,
}

impl Forgetting {
    pub fn add(&mut self, event: EventId, rule: &str) {
        self.events.push(event.into());
        self.rules.push(rule.to_owned());
    }

    /// Locks the keys.
    pub async fn lock(&self, link: &Link) -> Result<(), Failure> {
        if self.events.is_empty() {
            return Ok(());
        }
        link.query(LOCK, &[&self.events, &self.rules]).await.map(drop)
    }

    /// Forgets the keys. Returns their number.
    pub async fn forget(&self, link: &Link) -> Result<u64, Failure> {
        if self.events.is_empty() {
            return Ok(0);
        }
        link.execute(FORGET, &[&self.events, &self.rules]).await
    }
}
