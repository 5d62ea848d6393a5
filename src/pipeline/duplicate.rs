//! Answers to events that were accepted before.

use crate::pipeline::answer::Answer;
use crate::pipeline::authorization::Match;
use crate::pipeline::ingest::Ingest;
use crate::pipeline::new_delivery::owners;
use crate::pipeline::response::ResponseBuilder;
use crate::report;
use crate::rules::{Endpoint, OnDuplicate};
use crate::store::Enqueued;

impl Ingest {
    /// Answers an event that was accepted before.
    pub(super) async fn duplicate(
        &self,
        endpoint: &Endpoint,
        reply: &ResponseBuilder<'_>,
        matched: &[Match<'_>],
        enqueued: &[Enqueued],
    ) -> Answer {
        for (one, enqueued) in owners(matched).zip(enqueued) {
            if let Enqueued::Duplicate { of } = enqueued
                && one.rule.is_awaited()
            {
                // The sender retries while the first delivery is in progress. Success would promise
                // too much: if that delivery fails, the sender would not retry.
                let deliveries = self.store.deliveries(*of).await.unwrap_or_default();
                if deliveries
                    .iter()
                    .any(|known| known.rule == one.rule.name && known.state.is_pending())
                {
                    return reply.still_pending(*of);
                }
            }
        }
        let word = if enqueued
            .iter()
            .any(|enqueued| matches!(enqueued, Enqueued::Altered { .. }))
        {
            "altered"
        } else {
            "duplicate"
        };
        // If a sender signs the content alone, a second event with equal content is lost. The
        // answer does not say so, but the log does.
        let known = owners(matched).zip(enqueued);
        let mut alone = known.filter(|(one, enqueued)| {
            matches!(enqueued, Enqueued::Duplicate { .. }) && one.proof.is_content_alone()
        });
        if let Some((one, _)) = alone.next() {
            let verification = endpoint.verifications.get(one.verification);
            let scheme = verification.map_or("", |verification| &**verification.scheme());
            report::repeated(&reply.event.received, &one.rule.name, scheme);
        }
        // Answer with the id of the accepted event, since that is the one to look up.
        let first = enqueued.iter().find_map(|enqueued| match enqueued {
            Enqueued::Duplicate { of } | Enqueued::Altered { of, .. } => Some(*of),
            _ => None,
        });
        let mut rules = matched.iter().map(|one| one.rule.on_duplicate);
        let reject = rules.any(|on_duplicate| on_duplicate == OnDuplicate::Reject);
        reply.duplicate(word, first, reject)
    }
}
