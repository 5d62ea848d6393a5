//! Watchdog for systemd (`WatchdogSec=`): it is fed while all parts of the daemon are alive.
//!
//! The limit of systemd covers the process: a stopped or starved process feeds nothing. A single
//! part that hangs is given [`PATIENCE`], whatever that limit is. Waits inside a part have bounds
//! of their own, and a store that another program locks is no reason to be killed.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::base::heartbeat::Heartbeat;
use crate::daemon::systemd_status::SystemdStatus;

/// Maximum time without a heartbeat from a part. While another program locks the store, each round
/// takes five seconds to fail. A call that finds the queue full waits for eight rounds.
const PATIENCE: Duration = Duration::from_mins(1);

/// Number of times that the watchdog is fed within its limit.
const TIMES: u32 = 4;

/// Feeds a watchdog of this limit until `stop`.
pub async fn run(
    systemd_status: Arc<SystemdStatus>,
    pulses: Vec<Arc<Heartbeat>>,
    limit: Duration,
    stop: CancellationToken,
) {
    // An interval of zero panics. A limit too short for the machine gets the daemon killed either
    // way.
    let mut tick = tokio::time::interval((limit / TIMES).max(Duration::from_millis(1)));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut complained = false;
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = stop.cancelled() => return,
        }
        match silent(&pulses, Instant::now()) {
            None => {
                systemd_status.alive();
                complained = false;
            }
            Some(heartbeat) if !complained => {
                complained = true;
                tracing::error!(
                    part = heartbeat.part(),
                    "a part does not respond; the watchdog is no longer notified"
                );
            }
            Some(_) => {}
        }
    }
}

/// Returns the first part whose last heartbeat is too long ago.
fn silent(pulses: &[Arc<Heartbeat>], now: Instant) -> Option<&Heartbeat> {
    pulses
        .iter()
        .map(Arc::as_ref)
        .find(|heartbeat| heartbeat.silent_for(now) > PATIENCE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_watchdog_is_fed_while_every_part_lives_and_not_a_moment_longer() {
        let pulses = [Heartbeat::of("dispatch"), Heartbeat::of("the store")];
        let begun = Instant::now();
        let silent_after = |seconds: u64| {
            let later = begun + Duration::from_secs(seconds);
            silent(&pulses, later).map(Heartbeat::part)
        };
        assert_eq!(silent_after(0), None);
        assert_eq!(silent_after(59), None);
        assert_eq!(silent_after(62), Some("dispatch"));
    }
}
