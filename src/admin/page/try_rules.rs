//! View that tries other rules on one request. It works without a script: a form is posted, and the
//! answer is the same page with the decisions.

use serde::Serialize;

use crate::admin::page::sources::{Params, Sources, ViewError, Visitor};
use crate::admin::try_rules::{TryAnswer, TryRequest};
use crate::admin::who::Who;

/// A trial, and how the page shows it.
#[derive(Debug, Serialize)]
pub struct TryView {
    #[serde(flatten)]
    pub answer: TryAnswer,
    /// True if the copy was tried, not only the rules in force.
    is_tried: bool,
}

pub async fn read(sources: &Sources, params: &Params, visitor: Visitor) -> Result<TryView, ViewError> {
    let request = TryRequest {
        arrival: params
            .get("arrival")
            .filter(|id| !id.is_empty())
            .map(str::to_owned),
        ..TryRequest::default()
    };
    ask(sources, request, visitor).await
}

/// Tries what a form says.
pub async fn post(sources: &Sources, form: &[u8], visitor: Visitor) -> Result<TryView, ViewError> {
    let mut request = TryRequest::default();
    for (name, value) in form_urlencoded::parse(form) {
        let field = match &*name {
            "arrival" => &mut request.arrival,
            "request" => &mut request.request,
            "rules" => &mut request.rules,
            _ => continue,
        };
        // A form has CR LF at the end of each line.
        *field = Some(value.replace("\r\n", "\n")).filter(|value| !value.trim().is_empty());
    }
    ask(sources, request, visitor).await
}

async fn ask(sources: &Sources, request: TryRequest, visitor: Visitor) -> Result<TryView, ViewError> {
    if !visitor.may_act {
        return Err(ViewError::ReadOnly);
    }
    let is_tried = request.rules.is_some();
    let asked = sources.tryer.ask(request, Who::Guest).await;
    let answer = asked.map_err(|why| ViewError::Failed(why.to_owned()))?;
    Ok(TryView { answer, is_tried })
}
