//! A connection for calls that are made one after the other: reads, and small writes that may be
//! repeated.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use tokio::time::Instant;

use super::failure::Failure;
use super::link::Link;
use super::target::Target;
use crate::store::StoreError;

/// The future of an answer on a connection.
pub(super) type Asking<'l, T> = Pin<Box<dyn Future<Output = Result<T, Failure>> + Send + 'l>>;

/// One connection, which is opened when it is needed and opened again after an error.
pub(super) struct Session {
    target: Arc<Target>,
    role: &'static str,
    link: tokio::sync::Mutex<Option<Link>>,
}

impl Session {
    pub fn new(target: &Arc<Target>, role: &'static str) -> Self {
        Self {
            target: Arc::clone(target),
            role,
            link: tokio::sync::Mutex::new(None),
        }
    }

    /// Asks until there is an answer, for at most the patience of the target. A question that writes
    /// may be carried out twice.
    pub async fn ask<T>(
        &self,
        mut question: impl for<'l> FnMut(&'l Link) -> Asking<'l, T> + Send,
    ) -> Result<T, StoreError> {
        let until = Instant::now() + self.target.patience;
        let mut held = self.link.lock().await;
        loop {
            let answer = match held.take().filter(|link| !link.is_closed()) {
                Some(link) => Ok(link),
                None => Link::connect(&self.target, self.role).await,
            };
            let failed = match answer {
                Ok(link) => match question(&link).await {
                    Ok(answer) => {
                        *held = Some(link);
                        return Ok(answer);
                    }
                    // The connection goes, and with it a transaction that was begun.
                    Err(failed) => failed,
                },
                Err(failed) => failed,
            };
            let error = match failed {
                Failure::Failed(error) => error,
                Failure::Conflict(detail) | Failure::Lost(detail) => StoreError::Unavailable { detail },
            };
            if Instant::now() >= until || !error.may_pass() {
                return Err(error);
            }
        }
    }
}
