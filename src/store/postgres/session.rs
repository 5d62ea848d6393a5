//! A connection for calls that are made one after the other: reads, and small writes that may be
//! repeated.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::time::{Instant, timeout_at};

use super::failure::Failure;
use super::link::Link;
use super::patience::Tries;
use super::target::Target;
use crate::store::StoreError;

/// The future of an answer on a connection.
pub(super) type Asking<'l, T> = Pin<Box<dyn Future<Output = Result<T, Failure>> + Send + 'l>>;

/// One connection, which is opened when it is needed and opened again after an error.
pub(super) struct Session {
    target: Arc<Target>,
    role: &'static str,
    link: tokio::sync::Mutex<Option<Link>>,
    is_closed: AtomicBool,
}

impl Session {
    pub fn new(target: &Arc<Target>, role: &'static str) -> Self {
        Self {
            target: Arc::clone(target),
            role,
            link: tokio::sync::Mutex::new(None),
            is_closed: AtomicBool::new(false),
        }
    }

    /// Asks until there is an answer, for at most the patience of the target. A question that writes
    /// may be carried out twice.
    ///
    /// If the caller drops the future, the connection goes, and with it a transaction that was begun.
    pub async fn ask<T>(
        &self,
        mut question: impl for<'l> FnMut(&'l Link) -> Asking<'l, T> + Send,
    ) -> Result<T, StoreError> {
        let mut tries = Tries::until(Instant::now() + self.target.patience);
        let mut held = timeout_at(tries.until, self.link.lock())
            .await
            .map_err(|_elapsed| self.no_answer())?;
        if self.is_closed() {
            return Err(StoreError::Closed);
        }
        tries.give_a_try();
        loop {
            let asked = self.try_once(&mut held, &mut question);
            let failure = match timeout_at(tries.until, asked).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(failure)) => failure,
                Err(_) => return Err(self.no_answer()),
            };
            if !tries.wait_after(&failure).await {
                return Err(failure.into_error());
            }
        }
    }

    /// Closes the connection, after the question that is being asked. Later questions are answered
    /// [`StoreError::Closed`].
    pub async fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
        drop(self.link.lock().await.take());
    }

    pub fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }

    async fn try_once<T>(
        &self,
        held: &mut Option<Link>,
        question: &mut (impl for<'l> FnMut(&'l Link) -> Asking<'l, T> + Send),
    ) -> Result<T, Failure> {
        let link = Link::ready(held.take(), &self.target, self.role).await?;
        let answer = question(&link).await;
        if link.is_usable_after(answer.as_ref().err()).await {
            *held = Some(link);
        }
        answer
    }

    fn no_answer(&self) -> StoreError {
        StoreError::Unavailable {
            detail: format!("the server gave no answer in {:?}", self.target.patience),
        }
    }
}
