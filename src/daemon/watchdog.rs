//! Tells the supervisor that the daemon lives (`WatchdogSec=`), for as long as all of its parts do.
//!
//! The supervisor's limit measures the process: one that is stopped, or has no thread that gets to run, feeds nothing.
//! A part that hangs while the others go on is given [`PATIENCE`], whatever that limit: what a part may have to wait for
//! has bounds of its own, and a store that another program holds locked is no reason to be killed.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::status::SystemdStatus;
use crate::sys::heartbeat::Heartbeat;

/// How long a part may give no sign of life. Where another program locks the store, each of its rounds takes five
/// seconds to fail, and a call that finds the queue full waits for eight of them.
const PATIENCE: Duration = Duration::from_mins(1);

/// How often the watchdog is fed within its limit.
const TIMES: u32 = 4;

/// Feeds a watchdog of this limit until `stop`.
pub async fn run(
    systemd_status: Arc<SystemdStatus>,
    pulses: Vec<Arc<Heartbeat>>,
    limit: Duration,
    stop: CancellationToken,
) {
    // Zero is no interval. Who asks for a shorter one than the machine can keep is killed for it either way.
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
                    "a part gives no sign of life; the watchdog is not fed any more"
                );
            }
            Some(_) => {}
        }
    }
}

/// The first part that has given no sign of life for too long.
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
