//! Frame of each page around its view: the state of the daemon, and the visitor.

use serde::Serialize;

use crate::admin::page::sources::{Sources, Visitor};

/// The frame of a page.
#[derive(Debug, Serialize)]
pub struct Frame {
    pub version: String,
    /// True if new events are accepted.
    pub ready: bool,
    /// Problems in words.
    pub problems: Vec<String>,
    /// True if the visitor may act.
    pub may_act: bool,
    /// True if the visitor can log out.
    pub session: bool,
}

impl Frame {
    pub async fn new(sources: &Sources, visitor: Visitor) -> Self {
        let status = sources.status.status().await;
        Self {
            version: status.version,
            ready: status.ready,
            problems: status.problems,
            may_act: visitor.may_act,
            session: visitor.session,
        }
    }
}
