//! The views, their addresses, and how they are read.
//!
//! Reads are bounded: [`READS`] at once, others wait for at most [`READ_WAIT`]. A read blocks on the
//! store, so it runs outside the async workers.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use serde::Serialize;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::admin::page::{
    Visitor, arrival, arrivals, delivery, problems, queue, rule, rules, system, try_rules,
};
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

/// A view of the page. Each is also JSON below `/api/v1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    Arrivals,
    Arrival,
    Delivery,
    Rules,
    Rule,
    Queue,
    Problems,
    Try,
    System,
}

impl View {
    pub const ALL: [Self; 9] = [
        Self::Arrivals,
        Self::Arrival,
        Self::Delivery,
        Self::Rules,
        Self::Rule,
        Self::Queue,
        Self::Problems,
        Self::Try,
        Self::System,
    ];

    /// The views of the navigation, in their order.
    pub const IN_NAVIGATION: [Self; 6] = [
        Self::Arrivals,
        Self::Rules,
        Self::Queue,
        Self::Problems,
        Self::Try,
        Self::System,
    ];

    /// Path of the view, as the router reads it.
    pub fn pattern(self) -> &'static str {
        match self {
            Self::Arrivals => "/",
            Self::Arrival => "/arrivals/{id}",
            Self::Delivery => "/deliveries/{id}",
            Self::Rules => "/rules",
            Self::Rule => "/rules/{name}",
            Self::Queue => "/queue",
            Self::Problems => "/problems",
            Self::Try => "/try",
            Self::System => "/system",
        }
    }

    /// Path of its JSON below `/api/v1`.
    pub fn api_pattern(self) -> &'static str {
        match self {
            Self::Arrivals => "/arrivals",
            other => other.pattern(),
        }
    }

    /// Name of the view in the page.
    pub fn name(self) -> &'static str {
        match self {
            Self::Arrivals => "arrivals",
            Self::Arrival => "arrival",
            Self::Delivery => "delivery",
            Self::Rules => "rules",
            Self::Rule => "rule",
            Self::Queue => "queue",
            Self::Problems => "problems",
            Self::Try => "try",
            Self::System => "system",
        }
    }

    pub fn title(self) -> &'static str {
        match self {
            Self::Arrivals => "Arrivals",
            Self::Arrival => "Arrival",
            Self::Delivery => "Delivery",
            Self::Rules => "Rules",
            Self::Rule => "Rule",
            Self::Queue => "Queue",
            Self::Problems => "Problems",
            Self::Try => "Try",
            Self::System => "System",
        }
    }

    pub fn template(self) -> &'static str {
        match self {
            Self::Arrivals => "arrivals.html",
            Self::Arrival => "arrival.html",
            Self::Delivery => "delivery.html",
            Self::Rules => "rules.html",
            Self::Rule => "rule.html",
            Self::Queue => "queue.html",
            Self::Problems => "problems.html",
            Self::Try => "try.html",
            Self::System => "system.html",
        }
    }

    /// The view of the navigation that it belongs to.
    #[must_use]
    pub fn parent(self) -> Self {
        match self {
            Self::Arrival | Self::Delivery => Self::Arrivals,
            Self::Rule => Self::Rules,
            other => other,
        }
    }
}

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

/// Where the views read.
#[derive(Clone)]
pub struct Sources {
    pub records: Records,
    pub status: Arc<StatusService>,
    /// Rules in force.
    pub live: Arc<Live<RuleSet>>,
    pub clock: Clock,
    /// Turns of reads.
    pub reads: Arc<Semaphore>,
    /// Tries other rules.
    pub tryer: Arc<Tryer>,
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

/// The data of a view, as JSON and for its template.
#[derive(Serialize)]
#[serde(untagged)]
pub enum ViewData {
    Arrivals(Box<arrivals::ArrivalsView>),
    Arrival(Box<arrival::ArrivalView>),
    Delivery(Box<delivery::DeliveryView>),
    Rules(Box<rules::RulesView>),
    Rule(Box<rule::RuleView>),
    Queue(Box<queue::QueueView>),
    Problems(Box<problems::ProblemsView>),
    Try(Box<try_rules::TryView>),
    System(Box<system::SystemView>),
}

impl ViewData {
    /// The JSON of the API: the data without what only the page needs.
    pub fn to_json(&self) -> serde_json::Result<Vec<u8>> {
        match self {
            Self::Arrivals(view) => serde_json::to_vec(view),
            Self::Arrival(view) => serde_json::to_vec(&view.detail),
            Self::Delivery(view) => serde_json::to_vec(&view.detail),
            Self::Rules(view) => serde_json::to_vec(&view.list),
            Self::Rule(view) => serde_json::to_vec(&view.rule),
            Self::Queue(view) => serde_json::to_vec(&view.queue),
            Self::Problems(view) => serde_json::to_vec(&view.problems),
            Self::Try(view) => serde_json::to_vec(&view.answer),
            Self::System(view) => serde_json::to_vec(&view.system),
        }
    }
}

impl View {
    /// Reads what the view shows.
    pub async fn read(
        self,
        sources: &Sources,
        params: &Params,
        visitor: Visitor,
    ) -> Result<ViewData, ViewError> {
        Ok(match self {
            Self::Arrivals => ViewData::Arrivals(Box::new(arrivals::read(sources, params).await?)),
            Self::Arrival => ViewData::Arrival(Box::new(arrival::read(sources, params, visitor).await?)),
            Self::Delivery => ViewData::Delivery(Box::new(delivery::read(sources, params, visitor).await?)),
            Self::Rules => ViewData::Rules(Box::new(rules::read(sources).await?)),
            Self::Rule => ViewData::Rule(Box::new(rule::read(sources, params, visitor).await?)),
            Self::Queue => ViewData::Queue(Box::new(queue::read(sources, visitor).await?)),
            Self::Problems => ViewData::Problems(Box::new(problems::read(sources, visitor).await?)),
            Self::Try => ViewData::Try(Box::new(try_rules::read(sources, params, visitor).await?)),
            Self::System => ViewData::System(Box::new(system::read(sources).await?)),
        })
    }
}
