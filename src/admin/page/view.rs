//! The views, their addresses, and their data.

use serde::Serialize;

use crate::admin::page::sources::{Params, Sources, ViewError, Visitor};
use crate::admin::page::{arrival, arrivals, delivery, problems, queue, rule, rules, system, try_rules};

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
