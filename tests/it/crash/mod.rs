//! `kill -9` at random moments under load: every event that was answered 200 has its action done at least once after
//! the restart, and none is accepted twice.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::scenario::{Scenario, Sending, eventually};

/// How often the daemon is killed.
const KILLS: u64 = 50;
/// How many senders there are.
const SENDERS: u64 = 4;

/// What the senders were told, by event.
#[derive(Default)]
struct Ledger {
    accepted: BTreeMap<u64, u32>,
    answered: BTreeSet<u64>,
}

#[test]
fn fifty_kills_lose_nothing_and_take_nothing_twice() {
    let rules = "
rules:
  - name: record
    endpoint: /github
    verify: {github: {secret: k}}
    actions:
      - append: first.jsonl
        line: \"{{ payload.n }}\"
      - append: second.jsonl
        line: \"{{ payload.n }}\"
";
    let mut daemon = Scenario::new().rules(rules).start();
    let ledger = Arc::new(Mutex::new(Ledger::default()));
    let address: Arc<Mutex<Sending>> = Arc::new(Mutex::new(daemon.post("/github")));
    let (stop, next) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let senders: Vec<_> = (0..SENDERS)
        .map(|_| {
            let (ledger, address, stop, next) = (
                Arc::clone(&ledger),
                Arc::clone(&address),
                Arc::clone(&stop),
                Arc::clone(&next),
            );
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    deliver(n, &address, &ledger, &stop);
                }
            })
        })
        .collect();
    // A fixed sequence of pauses: from "hardly begun" to "well under way".
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..KILLS {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        std::thread::sleep(Duration::from_millis(seed >> 33 & 127));
        daemon.kill();
        daemon.start();
        *address.lock().unwrap() = daemon.post("/github");
    }
    std::thread::sleep(Duration::from_millis(300));
    stop.store(true, Ordering::Relaxed);
    for sender in senders {
        sender.join().unwrap();
    }
    let ledger = ledger.lock().unwrap();
    assert!(
        ledger.answered.len() > 200,
        "only {} events were answered",
        ledger.answered.len()
    );
    let twice: Vec<_> = ledger.accepted.iter().filter(|(_, times)| **times > 1).collect();
    assert!(twice.is_empty(), "accepted more than once: {twice:?}");
    for file in ["first.jsonl", "second.jsonl"] {
        let missing = || {
            let done: BTreeSet<u64> = daemon
                .read(file)
                .lines()
                .filter_map(|line| line.parse().ok())
                .collect();
            ledger.answered.difference(&done).count()
        };
        eventually("every answered event was acted upon", || missing() == 0);
    }
}

/// Sends one event as a sender would: again and again until it is answered; and once more, as an attacker would.
fn deliver(n: u64, address: &Mutex<Sending>, ledger: &Mutex<Ledger>, stop: &AtomicBool) {
    let mut replayed = false;
    while !stop.load(Ordering::Relaxed) {
        let sending = address
            .lock()
            .unwrap()
            .clone()
            .json(format!("{{\"n\":{n}}}"))
            .github("k");
        match sending.try_send() {
            Ok(answer) if answer.status == 200 => {
                let mut ledger = ledger.lock().unwrap();
                ledger.answered.insert(n);
                if answer.word() == "accepted" {
                    *ledger.accepted.entry(n).or_default() += 1;
                }
                if replayed {
                    return;
                }
                replayed = true;
            }
            Ok(answer) => panic!("{answer:?}"),
            Err(_) => std::thread::sleep(Duration::from_millis(2)),
        }
    }
}
