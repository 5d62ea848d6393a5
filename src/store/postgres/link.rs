//! One connection to the server.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::task::JoinHandle;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, NoTls, Row, Statement};

use super::failure::Failure;
use super::target::Target;

/// Parameters of a statement.
pub(super) type Parameters<'p> = &'p [&'p (dyn ToSql + Sync)];

/// Maximum time to connect.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// A connection with its settings and its prepared statements. It has one owner at a time.
pub(super) struct Link {
    client: Client,
    statements: Mutex<HashMap<&'static str, Statement>>,
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
        let connected = tokio::time::timeout(CONNECT_LIMIT, target.server.config.connect(NoTls)).await;
        let (client, connection) =
            connected.map_err(|_| Failure::Lost("the server does not answer".to_owned()))??;
        let driver = tokio::spawn(async move {
            drop(connection.await);
        });
        let link = Self {
            client,
            statements: Mutex::default(),
            driver,
        };
        link.client.batch_execute(&settings(target, role)).await?;
        Ok(link)
    }

    /// Runs a statement and returns its rows. It is prepared once.
    pub async fn query(&self, sql: &'static str, parameters: Parameters<'_>) -> Result<Vec<Row>, Failure> {
        let statement = self.prepared(sql).await?;
        Ok(self.client.query(&statement, parameters).await?)
    }

    /// Runs a statement and returns the number of rows that it wrote. It is prepared once.
    pub async fn execute(&self, sql: &'static str, parameters: Parameters<'_>) -> Result<u64, Failure> {
        let statement = self.prepared(sql).await?;
        Ok(self.client.execute(&statement, parameters).await?)
    }

    /// Runs statements without parameters, such as `BEGIN`.
    pub async fn run(&self, sql: &str) -> Result<(), Failure> {
        Ok(self.client.batch_execute(sql).await?)
    }

    pub fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    async fn prepared(&self, sql: &'static str) -> Result<Statement, Failure> {
        if let Some(statement) = self.statements.lock().get(sql) {
            return Ok(statement.clone());
        }
        let statement = self.client.prepare(sql).await?;
        self.statements.lock().insert(sql, statement.clone());
        Ok(statement)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // An answer that comes late must find nobody.
        self.driver.abort();
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
