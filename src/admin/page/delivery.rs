//! View of one delivery: what happened to it, what runs now, and what comes next.

use serde::Serialize;

use crate::admin::page::sources::{Params, Sources, ViewError, Visitor};
use crate::history::{DeliveryDetail, ReadArrival, RenderedAction, RulesNow};
use crate::store::{DeliveryId, Lookup, Named};

/// A delivery, and how the page shows it.
#[derive(Debug, Serialize)]
pub struct DeliveryView {
    #[serde(flatten)]
    pub detail: DeliveryDetail,
    may_act: bool,
    /// Number of actions of its rule, by the rules in force. `None`: the rule is gone.
    actions: Option<usize>,
    /// The actions as they would run by the rules in force, as indented JSON.
    rendered: Vec<String>,
}

pub async fn read(sources: &Sources, params: &Params, visitor: Visitor) -> Result<DeliveryView, ViewError> {
    let id = &params.path;
    let parsed = id.parse();
    let id: DeliveryId =
        parsed.map_err(|error| ViewError::Missing(format!("`{id}` is no id of a delivery: {error}")))?;
    let (rules, clock) = (sources.live.current(), sources.clock.clone());
    sources
        .read(move |history| {
            let missing = || ViewError::Missing(format!("there is no delivery `{id}`"));
            let Lookup::Found(named @ Named::Delivery { .. }) = history.find(&id.to_string())? else {
                return Err(missing());
            };
            let read = ReadArrival::read(history, Some(Ok(&rules)), named)?.ok_or_else(missing)?;
            let detail = read.detail(clock.now());
            let rendered = rendered(detail.rules.as_ref(), detail.deliveries.first());
            let delivery = detail.deliveries.into_iter().next().ok_or_else(missing)?;
            let rule = rules.rule(&delivery.row.rule);
            let actions = rule.map(|(_, rule)| match delivery.row.failure_of {
                Some(_) => rule.on_failure.len(),
                None => rule.actions.len(),
            });
            Ok(DeliveryView {
                detail: delivery,
                may_act: visitor.may_act,
                actions,
                rendered,
            })
        })
        .await
}

/// The actions of the rule as they would run now. A delivery of an element, or to `on_failure`, is
/// rendered when it runs.
fn rendered(rules: Option<&RulesNow>, delivery: Option<&DeliveryDetail>) -> Vec<String> {
    let (Some(RulesNow::Explained(explained)), Some(delivery)) = (rules, delivery) else {
        return Vec::new();
    };
    if delivery.row.element.is_some() || delivery.row.failure_of.is_some() {
        return Vec::new();
    }
    let rule = explained.iter().find(|one| one.rule == delivery.row.rule);
    let actions = rule.into_iter().flat_map(|rule| &rule.actions);
    actions
        .map(|action| match action {
            RenderedAction::Failed { error } => format!("cannot be rendered: {error}"),
            RenderedAction::Rendered(value) => serde_json::to_string_pretty(value).unwrap_or_default(),
        })
        .collect()
}
