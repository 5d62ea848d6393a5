//! Sources and parameters of the views.
//!
//! Reads are bounded: [`READS`] at once, others wait for at most [`READ_WAIT`]. A read blocks on the
//! store, so it runs outside the async workers.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::admin::try_rules::Tryer;
use crate::base::clock::Clock;
use crate::base::live::Live;
use crate::rules::RuleSet;
use crate::status::StatusService;
use crate::store::{History, Records, StoreError};

/// Maximum reads of the store at once for the page and the API.
pub const READS: usize = 4;
/// Maximum time for which a read waits for its turn.
pub const READ_WAIT: Duration = Duration::from_secs(5);

/// Parameters of a view: those of the path, decoded, and those of the query.
#[derive(Clone, Debug, Default)]
pub struct Params {
    pub path: String,
    pub query: Vec<(String, String)>,
}

impl Params {
    /// The first value of a parameter of the query.
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.query.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// The reason why there is nothing to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ViewError {
    /// There is nothing of this id or name.
    Missing(String),
    /// The request is not understood.
    Unreadable(String),
    /// The visitor may only read.
    ReadOnly,
    /// Too many requests at once.
    Busy,
    /// The store cannot be read.
    Failed(String),
}

impl ViewError {
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Missing(_) => StatusCode::NOT_FOUND,
            Self::Unreadable(_) => StatusCode::BAD_REQUEST,
            Self::ReadOnly => StatusCode::FORBIDDEN,
            Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Self::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    pub fn title(&self) -> &'static str {
        match self {
            Self::Missing(_) => "Not found",
            Self::Unreadable(_) => "Not understood",
            Self::ReadOnly => "Read only",
            Self::Busy => "Busy",
            Self::Failed(_) => "Failed",
        }
    }

    pub fn message(&self) -> String {
        match self {
            Self::Missing(what) | Self::Unreadable(what) | Self::Failed(what) => what.clone(),
            Self::ReadOnly => "read only".to_owned(),
            Self::Busy => "too many requests at once; try again in a moment".to_owned(),
        }
    }
}

impl From<StoreError> for ViewError {
    fn from(error: StoreError) -> Self {
        Self::Failed(format!("the store: {error}"))
    }
}

/// Sources of the views.
#[derive(Clone)]
pub struct Sources {
    pub records: Records,
    pub status: Arc<StatusService>,
    /// Rules in force.
    pub live: Arc<Live<RuleSet>>,
    pub clock: Clock,
    /// Tries other rules.
    pub tryer: Arc<Tryer>,
    /// Turns of reads.
    pub reads: Arc<Semaphore>,
}

impl Sources {
    /// Reads the store, outside the async workers.
    pub async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&History) -> Result<T, ViewError> + Send + 'static,
    ) -> Result<T, ViewError> {
        let turn = timeout(READ_WAIT, Arc::clone(&self.reads).acquire_owned()).await;
        let Ok(Ok(turn)) = turn else {
            return Err(ViewError::Busy);
        };
        let records = self.records.clone();
        let reading = tokio::task::spawn_blocking(move || {
            // Held until the read has ended, also if the client has disconnected.
            let _turn = turn;
            read(&records.history()?)
        });
        let read = reading.await;
        read.unwrap_or_else(|error| Err(ViewError::Failed(error.to_string())))
    }
}

/// Visitor, as far as the page shows it.
#[derive(Clone, Copy, Debug)]
pub struct Visitor {
    /// True if actions are allowed.
    pub may_act: bool,
    /// True if the visitor has logged in, and can log out.
    pub session: bool,
}
