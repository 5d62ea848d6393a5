//! Retries and timeouts of each kind of action.

use std::time::Duration;

use crate::act::{APPEND_TIMEOUT, COMMAND_GRACE, COMMAND_TIMEOUT, FORWARD_TIMEOUT, Retry};
use crate::base::units::HumanDuration;
use crate::reference::markdown::table;

/// Returns the defaults as a table.
pub fn defaults() -> String {
    let command = Retry::for_commands();
    let request = Retry::for_requests();
    let rows = [
        ("`run`, `shell`", &command, COMMAND_TIMEOUT, Some(COMMAND_GRACE)),
        ("`forward`", &request, FORWARD_TIMEOUT, None),
        ("`append`", &command, APPEND_TIMEOUT, None),
    ];
    let heads = [
        "action",
        "attempts",
        "waits between",
        "jitter",
        "timeout",
        "then until KILL",
    ];
    table(
        heads,
        rows.map(|(action, retry, timeout, grace)| {
            let waits: Vec<String> = retry.backoff.iter().map(|wait| duration(*wait)).collect();
            [
                action.to_owned(),
                retry.attempts.to_string(),
                waits.join(", "),
                if retry.jitter { "a fifth" } else { "none" }.to_owned(),
                duration(timeout),
                grace.map(duration).unwrap_or_default(),
            ]
        }),
    )
}

/// Writes a duration as the rules file does.
fn duration(duration: Duration) -> String {
    HumanDuration(duration).to_string()
}
