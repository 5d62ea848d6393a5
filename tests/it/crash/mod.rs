//! Crash test: nothing is lost, nothing runs twice, everything is bounded. The daemon and its
//! commands are killed again and again. Rules are rewritten and broken, and the disk is sometimes
//! full, while senders send, retry and replay.
//!
//! At the end, a ledger is compared with the answers that the senders got, the output of the
//! actions, and the store. All random choices come from one seed, which is printed. To run the test
//! for long by hand, with its figures:
//!
//! ```sh
//! HOOKYARD_CRASH_KILLS=2000 cargo test --locked --test it crash -- --nocapture
//! ```
//!
//! `HOOKYARD_CRASH_SEED=…` repeats the choices. Their timing still depends on the machine.

mod befall;
mod dice;
mod ledger;
mod processes;
mod scene;
mod senders;
mod stored;
mod turns;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::scenario::{Daemon, eventually, idle_descriptors};
use befall::Befallen;
use dice::Dice;
use ledger::Ledger;
use senders::Senders;

/// Number of kills, unless the environment sets it.
const KILLS: u64 = 200;
/// Minimum number of answered events. The last life continues until they are answered.
const ANSWERED: usize = 500;
/// Maximum time of the last life to finish all remaining work.
const LAST_LIFE: Duration = Duration::from_mins(4);
/// Maximum file descriptors that an idle daemon may hold after much work, beyond those of a fresh
/// one.
const DESCRIPTORS: usize = 6;

#[test]
fn kills_reloads_and_full_disks_lose_nothing_and_take_nothing_twice() {
    let seed = number("HOOKYARD_CRASH_SEED").unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        u64::from(now.subsec_nanos()) ^ now.as_secs()
    });
    let kills = number("HOOKYARD_CRASH_KILLS").unwrap_or(KILLS);
    eprintln!("HOOKYARD_CRASH_SEED={seed} HOOKYARD_CRASH_KILLS={kills}");

    let begun = Instant::now();
    let target = scene::target();
    let mut daemon = scene::start(&target);
    let senders = Senders::start(daemon.address, seed);
    let mut befallen = Befallen::new(&daemon, &target, Dice::new(seed, 0));
    while befallen.figures.kills < kills {
        befallen.one_life(&mut daemon, &senders);
    }
    let course = begun.elapsed();
    let told = last_life(&daemon, senders);
    let settled = begun.elapsed();
    eprintln!("{course:.0?} until the last kill, {settled:.0?} until all was settled");
    let idle = idle_descriptors(daemon.pid());
    befall::nothing_outlives_a_stop(&mut daemon);

    // The ledger reads the store while no daemon uses it.
    let ledger = Ledger::read(&daemon, &target, &befallen);
    let figures = ledger.hold_against(&told, &daemon.scenario);
    eprintln!("{}\n{}\n{figures}", befallen.figures, told.figures);

    // Endless commands would start again.
    let dropped = daemon
        .scenario
        .hookyard(&["events", "drop", "--state", "waiting"]);
    assert_eq!(dropped.status.code(), Some(0), "{dropped:?}");
    daemon.start();
    let fresh = idle_descriptors(daemon.pid());
    eprintln!("descriptors: {fresh} of a fresh daemon, {idle} of one that has done much");
    assert!(
        idle <= fresh + DESCRIPTORS,
        "{idle} descriptors are open, {fresh} are at a fresh start"
    );
    assert_eq!(daemon.stop(), Some(0));
}

/// Lets the senders continue without faults until enough is answered, stops them, and waits until
/// no work is left.
fn last_life(daemon: &Daemon, senders: Senders) -> senders::Told {
    daemon.within(LAST_LIFE, "enough is answered", || senders.answered() >= ANSWERED);
    let told = senders.stop();
    daemon.within(LAST_LIFE, "everything is settled", || {
        stored::waiting(daemon.folder()) == 0
    });
    // Processes of a killed daemon run to their own end, which is soon.
    eventually("what the killed daemons had started has ended", || {
        processes::marked(daemon.folder()).is_empty()
    });
    told
}

/// A number from the environment.
fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{variable} is no number: {text}")),
    )
}
