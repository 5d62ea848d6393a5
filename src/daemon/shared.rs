//! State that several parts of the daemon share.

use std::sync::Arc;

use tokio::sync::Notify;

use crate::admin::Who;
use crate::base::clock::Clock;
use crate::base::live::Live;
use crate::daemon::stop::Stopping;
use crate::daemon::systemd_status::SystemdStatus;
use crate::report::{ExpectationState, Metrics};
use crate::rules::RuleSet;
use crate::status::{LastReload, PauseStatus};
use crate::store::postgres::ServerReport;
use crate::store::{PauseSubject, Pauses, Place, Store};
use crate::sys::account::user_name;

pub(super) struct Shared {
    pub(super) clock: Clock,
    pub(super) metrics: Arc<Metrics>,
    /// Rules in force.
    pub(super) live: Arc<Live<RuleSet>>,
    /// Rules and targets that the operator has paused.
    pub(super) pauses: Arc<Live<Pauses>>,
    /// Expected arrivals.
    pub(super) expectations: Arc<Live<Vec<ExpectationState>>>,
    /// Result of the last reload.
    pub(super) reloads: Arc<Live<Option<LastReload>>>,
    pub(super) store: Arc<dyn Store>,
    /// Place of the store.
    pub(super) place: Place,
    /// The latest promises of the store's server.
    pub(super) server: Arc<Live<Option<ServerReport>>>,
    pub(super) stopping: Stopping,
    /// Addresses of the listeners.
    pub(super) addresses: Vec<String>,
    pub(super) systemd_status: Arc<SystemdStatus>,
    /// Notified when the operator asks for a reload.
    pub(super) reload_now: Arc<Notify>,
}

/// The reason why deliveries of a rule wait although they are due: it is paused.
pub(super) fn waits(pauses: &Pauses, rule: &Arc<str>) -> Option<String> {
    let pause = pauses.of(&PauseSubject::Rule(Arc::clone(rule)))?;
    Some(PauseStatus::of(pause).waits())
}

/// The sender of an admin request, as logs and the history name it.
pub(super) async fn operator_name(who: Who) -> String {
    match who {
        Who::User(user) => {
            let name = tokio::task::spawn_blocking(move || user_name(user)).await;
            name.unwrap_or_else(|_| user.to_string())
        }
        Who::Session(name) => name.to_string(),
        Who::Guest => "guest".to_owned(),
    }
}
