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
use tokio::time::{Instant, timeout};
use tokio_postgres::types::ToSql;
use tokio_postgres::{AsyncMessage, Client, Connection, Row, Socket, Statement};

use super::failure::{Failure, gave_up_standby};
use super::promises::Promises;
use super::settings::settings;
use super::target::Target;
use super::unconnected::unconnected;
use super::url::OneHost;
use crate::store::StoreError;

/// Parameters of a statement.
pub(super) type Parameters<'p> = &'p [&'p (dyn ToSql + Sync)];

/// Maximum time to undo a transaction.
const ROLLBACK_LIMIT: Duration = Duration::from_secs(2);

/// Time after which the server makes plans again. A plan that was made while a table had few rows
/// reads the whole table, also when it has grown.
const PLANS_KEPT: Duration = Duration::from_secs(5);

/// Maximum notifications that wait to be read. Later ones are left out: they only say to look again,
/// and the earlier ones say the same.
const NOTIFICATIONS: usize = 64;

/// A connection with its settings and its prepared statements. It has one owner at a time.
pub(super) struct Link {
    client: Client,
    statements: Mutex<HashMap<&'static str, Statement>>,
    /// True once a transaction was committed without the standby for which it had to wait.
    gave_up_standby: Arc<AtomicBool>,
    driver: JoinHandle<()>,
    promises: Promises,
    /// Host and port.
    host: String,
    /// Time at which the server last forgot its plans.
    planned_at: Mutex<Instant>,
    #[cfg(test)]
    role: String,
}

/// Roles of the connections whose plans are used again and again.
#[cfg(test)]
const DAILY: [&str; 4] = ["events", "results", "queue", "requests"];

/// All statements of these connections, for the tests of their plans.
#[cfg(test)]
static PREPARED: Mutex<std::collections::BTreeSet<&'static str>> =
    Mutex::new(std::collections::BTreeSet::new());

#[cfg(test)]
pub(super) fn prepared_statements() -> std::collections::BTreeSet<&'static str> {
    PREPARED.lock().clone()
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
            && link.renew_old_plans().await
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

    /// Tries the hosts in their order, until one lets in and can be written to.
    async fn connect_with(
        target: &Target,
        role: &str,
        heard: Option<mpsc::Sender<String>>,
    ) -> Result<Self, Failure> {
        let mut failures = Vec::new();
        for host in &target.server.hosts {
            let opened = timeout(host.limit, Self::open(host, target, role, heard.clone())).await;
            let failed = match opened {
                Ok(Ok(link)) => return Ok(link),
                Ok(Err(failed)) => failed.into_error(),
                Err(_) => StoreError::Unavailable {
                    detail: format!("the server does not answer within {:?}", host.limit),
                },
            };
            failures.push((&*host.name, failed));
        }
        Err(Failure::Failed(unconnected(failures)))
    }

    async fn open(
        host: &OneHost,
        target: &Target,
        role: &str,
        heard: Option<mpsc::Sender<String>>,
    ) -> Result<Self, Failure> {
        let connected = host.config.connect(target.server.tls.clone()).await;
        let (client, connection) = connected.map_err(|error| Failure::of_connecting(&error))?;
        let gave_up_standby = Arc::new(AtomicBool::new(false));
        #[expect(clippy::disallowed_methods, reason = "it ends with the link, which aborts it")]
        let driver = tokio::spawn(drive(connection, Arc::clone(&gave_up_standby), heard));
        let mut link = Self {
            client,
            statements: Mutex::default(),
            gave_up_standby,
            driver,
            promises: Promises::default(),
            host: host.name.clone(),
            planned_at: Mutex::new(Instant::now()),
            #[cfg(test)]
            role: role.to_owned(),
        };
        let said = link.client.simple_query(&settings(target, role)).await;
        let said = said.map_err(|error| Failure::of_connecting(&error))?;
        link.promises =
            Promises::read(&said).ok_or_else(|| Failure::unexpected("no settings of the server"))?;
        match link.promises.refusal(target.durability) {
            Some(detail) => Err(Failure::Failed(StoreError::Refused { detail })),
            None => Ok(link),
        }
    }

    /// Lets the server make plans again if they are old. False if the connection is of no more use.
    async fn renew_old_plans(&self) -> bool {
        let now = Instant::now();
        let is_old = {
            let mut planned_at = self.planned_at.lock();
            let is_old = now.duration_since(*planned_at) >= PLANS_KEPT;
            if is_old {
                *planned_at = now;
            }
            is_old
        };
        !is_old || self.forget_plans().await.is_ok()
    }

    /// Lets the server make the plans of all prepared statements again.
    pub async fn forget_plans(&self) -> Result<(), Failure> {
        self.run("DISCARD PLANS").await
    }

    /// Promises of the server at the time of the connection.
    pub fn promises(&self) -> &Promises {
        &self.promises
    }

    /// Host and port of the server.
    pub fn host(&self) -> &str {
        &self.host
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

    /// Runs a statement without parameters, and returns the first column of each row as text.
    #[cfg(test)]
    pub async fn texts(&self, sql: &str) -> Result<Vec<String>, tokio_postgres::Error> {
        let answers = self.client.simple_query(sql).await?;
        let text = |answer| match answer {
            tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        };
        Ok(answers.into_iter().filter_map(text).collect())
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
        #[cfg(test)]
        if DAILY.contains(&&*self.role) {
            PREPARED.lock().insert(sql);
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
        // An answer that comes late must not be read.
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
