//! View of the problems: dead letters, refused arrivals, and what is wrong with the daemon.

use serde::Serialize;

use crate::admin::page::sources::{Sources, ViewError, Visitor};
use crate::status::ProblemsStatus;

/// The problems, and how the page shows them.
#[derive(Debug, Serialize)]
pub struct ProblemsView {
    #[serde(flatten)]
    pub problems: ProblemsStatus,
    may_act: bool,
}

pub async fn read(sources: &Sources, visitor: Visitor) -> Result<ProblemsView, ViewError> {
    Ok(ProblemsView {
        problems: sources.status.problems_view().await,
        may_act: visitor.may_act,
    })
}
