//! Attempts that the operator stops through the admin socket.

use std::sync::Arc;

use crate::admin::{
    AfterStopName, MAX_STOP, Performing, StopAnswer, StopRequest, StopTargetId, StoppedAttempt, Stopper, Who,
};
use crate::daemon::shared::operator_name;
use crate::pipeline::{AfterStop, Cancel, Dispatcher, OngoingAttempt, StopTarget};

/// Builds the service that stops attempts.
pub(super) fn stopper(dispatcher: &Arc<Dispatcher>) -> Stopper {
    let dispatcher = Arc::clone(dispatcher);
    let stop = move |request: StopRequest, who: Who| {
        let dispatcher = Arc::clone(&dispatcher);
        let answering: Performing<StopAnswer> = Box::pin(async move {
            let by = operator_name(who).await;
            let cancel = Cancel {
                by: by.into(),
                after: match request.after {
                    AfterStopName::Retry => AfterStop::Retry,
                    AfterStopName::Drop => AfterStop::Drop,
                },
            };
            match target(&request.target) {
                Ok(target) => StopAnswer {
                    failed: None,
                    stopped: dispatcher.cancel(target, &cancel).iter().map(stopped).collect(),
                },
                Err(why) => StopAnswer {
                    failed: Some(why),
                    ..StopAnswer::default()
                },
            }
        });
        answering
    };
    Stopper::new(|| MAX_STOP, stop)
}

fn target(target: &StopTargetId) -> Result<StopTarget, String> {
    match target {
        StopTargetId::Delivery(id) => id.parse().map(StopTarget::Delivery).ok(),
        StopTargetId::Event(id) => id.parse().map(StopTarget::Event).ok(),
    }
    .ok_or_else(|| "the id of the request is none of a delivery or an event".to_owned())
}

fn stopped(attempt: &OngoingAttempt) -> StoppedAttempt {
    StoppedAttempt {
        delivery: attempt.delivery.to_string(),
        rule: attempt.rule.to_string(),
        action: attempt.action,
        attempt: attempt.number,
        since: attempt.since.to_string(),
    }
}
