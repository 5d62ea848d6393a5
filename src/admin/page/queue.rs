//! View of the queue: what runs, and what the others wait for.

use serde::Serialize;

use crate::admin::page::sources::{Sources, ViewError, Visitor};
use crate::status::QueueStatus;

/// The queue, and how the page shows it.
#[derive(Debug, Serialize)]
pub struct QueueView {
    #[serde(flatten)]
    pub queue: QueueStatus,
    may_act: bool,
}

pub async fn read(sources: &Sources, visitor: Visitor) -> Result<QueueView, ViewError> {
    let queue = sources.status.queue().await.map_err(ViewError::Failed)?;
    let may_act = visitor.may_act;
    Ok(QueueView { queue, may_act })
}
