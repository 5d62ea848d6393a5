//! The services that answer admin requests.

use std::sync::Arc;

use crate::admin::change::Changer;
use crate::admin::check::Judge;
use crate::admin::fire::Firer;
use crate::admin::output::OutputService;
use crate::admin::page::{ArrivalNews, Page};
use crate::admin::plan::Planner;
use crate::admin::replay::Replayer;
use crate::admin::rules::RuleOperator;
use crate::admin::stop::Stopper;
use crate::admin::stream::Streams;
use crate::status::StatusService;

/// The services that answer admin requests.
#[derive(Clone)]
pub struct AdminServices {
    pub status: Arc<StatusService>,
    pub judge: Judge,
    pub replayer: Arc<Replayer>,
    pub firer: Arc<Firer>,
    pub planner: Arc<Planner>,
    pub stopper: Arc<Stopper>,
    pub rule_operator: Arc<RuleOperator>,
    pub changer: Arc<Changer>,
    pub page: Arc<Page>,
    pub news: Arc<ArrivalNews>,
    pub output: Arc<OutputService>,
    pub streams: Streams,
}
