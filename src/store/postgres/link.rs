//! One connection to the server.

use std::collections::HashMap;
use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::types::ToSql;
use tokio_postgres::{AsyncMessage, Client, Connection, NoTls, Row, Socket, Statement};

use super::failure::{Failure, gave_up_standby};
use super::target::Target;
use crate::store::StoreError;

/// Parameters of a statement.
pub(super) type Parameters<'p> = &'p [&'p (dyn ToSql + Sync)];

/// Maximum time until a connection is ready for use.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// Maximum time to undo a transaction.
const ROLLBACK_LIMIT: Duration = Duration::from_secs(2);

/// Maximum notifications that wait to be read. Later ones are left out: they say to look again, and
/// whoever reads the earlier ones looks.
const NOTIFICATIONS: usize = 64;

/// A connection with its settings and its prepared statements. It has one owner at a time.
pub(super) struct Link {
    client: Client,
    statements: Mutex<HashMap<&'static str, Statement>>,
    /// True once a transaction was committed without the standby for which it had to wait.
    gave_up_standby: Arc<AtomicBool>,
    driver: JoinHandle<()>,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").finish_non_exhaustive()
    }
}

impl Link {
    /// Connects. `role` says in `application_name` what the connection is for.
    pub async fn connect(target: &Target, role: &str) -> Result<Self, Failure> {
        Self::connect_with(target, role, None).await
    }

    /// Connects, and passes on the payloads of notifications.
    pub async fn listening(target: &Target, role: &str) -> Result<(Self, mpsc::Receiver<String>), Failure> {
        let (heard, notifications) = mpsc::channel(NOTIFICATIONS);
        let link = Self::connect_with(target, role, Some(heard)).await?;
        Ok((link, notifications))
    }

    /// This connection, or another one if it is not open. The server may refuse it while the store is
    /// open: that may pass.
    pub async fn ready(held: Option<Self>, target: &Target, role: &str) -> Result<Self, Failure> {
        if let Some(link) = held
            && !link.is_closed()
        {
            return Ok(link);
        }
        Self::connect(target, role)
            .await
            .map_err(|failure| match failure {
                Failure::Failed(StoreError::Refused { detail }) => {
                    Failure::Failed(StoreError::Unavailable { detail })
                }
                other => other,
            })
    }

    async fn connect_with(
        target: &Target,
        role: &str,
        heard: Option<mpsc::Sender<String>>,
    ) -> Result<Self, Failure> {
        let opened = timeout(CONNECT_LIMIT, Self::open(target, role, heard)).await;
        opened.unwrap_or_else(|_| {
            let detail = "the server does not answer".to_owned();
            Err(Failure::Failed(StoreError::Unavailable { detail }))
        })
    }

    async fn open(target: &Target, role: &str, heard: Option<mpsc::Sender<String>>) -> Result<Self, Failure> {
        let connected = target.server.config.connect(NoTls).await;
        let (client, connection) = connected.map_err(|error| Failure::of_connecting(&error))?;
        let gave_up_standby = Arc::new(AtomicBool::new(false));
        let driver = tokio::spawn(drive(connection, Arc::clone(&gave_up_standby), heard));
        let link = Self {
            client,
            statements: Mutex::default(),
            gave_up_standby,
            driver,
        };
        let set = link.client.batch_execute(&settings(target, role)).await;
        set.map_err(|error| Failure::of_connecting(&error))?;
        Ok(link)
    }

    /// Runs a statement and returns its rows. It is prepared once.
    pub async fn query(&self, sql: &'static str, parameters: Parameters<'_>) -> Result<Vec<Row>, Failure> {
        let statement = self.prepared(sql).await?;
        let rows = self.client.query(&statement, parameters).await?;
        self.with_standby(rows)
    }

    /// Runs a statement and returns the number of rows that it wrote. It is prepared once.
    pub async fn execute(&self, sql: &'static str, parameters: Parameters<'_>) -> Result<u64, Failure> {
        let statement = self.prepared(sql).await?;
        let count = self.client.execute(&statement, parameters).await?;
        self.with_standby(count)
    }

    /// Prepares statements. What is prepared is sent as soon as its future is first polled, so that
    /// several statements can be on their way at once, in the order of their polls.
    pub async fn prepare(&self, statements: &[&'static str]) -> Result<(), Failure> {
        for sql in statements {
            self.prepared(sql).await?;
        }
        Ok(())
    }

    /// Runs statements without parameters, such as `BEGIN`.
    pub async fn run(&self, sql: &str) -> Result<(), Failure> {
        self.client.batch_execute(sql).await?;
        self.with_standby(())
    }

    pub fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// Undoes the transaction that failed. True if the connection may be used again.
    pub async fn is_usable_after(&self, failure: Option<&Failure>) -> bool {
        match failure {
            None => true,
            Some(Failure::Lost(_)) => false,
            Some(Failure::Conflict(_) | Failure::Failed(_)) => {
                let undone = timeout(ROLLBACK_LIMIT, self.run("ROLLBACK")).await;
                matches!(undone, Ok(Ok(())))
            }
        }
    }

    async fn prepared(&self, sql: &'static str) -> Result<Statement, Failure> {
        if let Some(statement) = self.statements.lock().get(sql) {
            return Ok(statement.clone());
        }
        let statement = self.client.prepare(sql).await?;
        self.statements.lock().insert(sql, statement.clone());
        Ok(statement)
    }

    /// The answer, unless it was given without the standby. The notice precedes the answer, and
    /// `drive` reads them in this order.
    fn with_standby<T>(&self, answer: T) -> Result<T, Failure> {
        if self.gave_up_standby.load(Ordering::Acquire) {
            let detail = "the wait for the synchronous standby was cancelled";
            return Err(Failure::Lost(detail.to_owned()));
        }
        Ok(answer)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // An answer that comes late must find nobody.
        self.driver.abort();
    }
}

/// Moves bytes between a connection and its client, until either is gone.
async fn drive<T>(
    mut connection: Connection<Socket, T>,
    gave_up: Arc<AtomicBool>,
    heard: Option<mpsc::Sender<String>>,
) where
    T: AsyncRead + AsyncWrite + Unpin,
{
    while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
        match message {
            AsyncMessage::Notice(notice) if gave_up_standby(&notice) => {
                gave_up.store(true, Ordering::Release);
            }
            AsyncMessage::Notification(notification) => {
                if let Some(heard) = &heard {
                    drop(heard.try_send(notification.payload().to_owned()));
                }
            }
            _ => {}
        }
    }
}

/// Settings of the session.
///
/// A plan that was made while the queue was empty would scan it for ever after; see the tests of the
/// plans. A plan that must scan after all is not worth compiling.
fn settings(target: &Target, role: &str) -> String {
    let quoted = |text: &str| text.replace('\'', "''");
    format!(
        "SET search_path = \"{}\"; SET application_name = 'hookyard {} {}'; SET jit = off; SET enable_seqscan = off; \
         SET statement_timeout = '15s'; SET lock_timeout = '5s'; SET idle_in_transaction_session_timeout = '10s'; \
         SET default_transaction_isolation = 'read committed'; SET default_toast_compression = 'lz4'",
        target.schema.replace('"', "\"\""),
        quoted(&target.node),
        quoted(role),
    )
}
