//! Small writes on the connection for requests. They are repeated if their answer is lost.

use super::PostgresStore;
use super::link::Link;
use super::session::Asking;
use super::tally::{REQUESTS, Tally};
use crate::store::StoreError;

impl PostgresStore {
    /// Writes with `question` until there is an answer. `question` is told whether an earlier try may
    /// have been carried out.
    ///
    /// A repeated write may find its data and change nothing. Writing a row of `tally` makes the
    /// answer wait until the earlier try is safe, too.
    pub(super) async fn write_small<T: Send + 'static>(
        &self,
        mut question: impl for<'l> FnMut(&'l Link, bool) -> Asking<'l, T> + Send,
    ) -> Result<T, StoreError> {
        let mut was_asked = false;
        let row = (self.node.id(), REQUESTS);
        self.requests
            .ask(move |link| {
                let again = std::mem::replace(&mut was_asked, true);
                let asked = question(link, again);
                Box::pin(async move {
                    let answer = asked.await?;
                    if again {
                        Tally::default().add(link, row).await?;
                    }
                    Ok(answer)
                })
            })
            .await
    }
}
