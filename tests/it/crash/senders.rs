//! Senders of the crash test. Each sends one event after the other and repeats the same bytes until
//! they are answered. Many events are also sent again after their answer, as misbehaving senders
//! do.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use super::dice::Dice;
use super::scene::{Kind, SECRET};
use crate::scenario::{Answer, Sending};

/// Number of senders.
const SENDERS: u64 = 6;
/// Distance between the first event numbers of two senders.
const SPACING: u64 = 1_000_000;

/// State shared by all senders.
struct Shared {
    /// Address of the current daemon.
    address: Mutex<SocketAddr>,
    stop: AtomicBool,
    answered: AtomicUsize,
}

/// The running senders.
pub struct Senders {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<Told>>,
}

/// Answers that senders got.
#[derive(Default)]
pub struct Told {
    /// Events that were answered 200, by sender, in the order in which they were sent.
    pub answered: Vec<Vec<(u64, Kind)>>,
    /// Number of `accepted` answers per event.
    pub accepted: BTreeMap<u64, u32>,
    /// Answers that should not occur.
    pub wrong: Vec<String>,
    pub figures: Figures,
}

/// Counts of the answers.
#[derive(Default)]
pub struct Figures {
    answered: u64,
    requests: u64,
    unanswered: u64,
    unavailable: u64,
    duplicates: u64,
}

impl fmt::Display for Figures {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            answered,
            requests,
            unanswered,
            unavailable,
            duplicates,
        } = self;
        write!(
            out,
            "senders: {answered} events answered in {requests} requests, of which {unanswered} broke, {unavailable} were \
             answered 503 and {duplicates} `duplicate`"
        )
    }
}

impl Senders {
    /// Starts the senders.
    pub fn start(address: SocketAddr, seed: u64) -> Self {
        let shared = Arc::new(Shared {
            address: Mutex::new(address),
            stop: AtomicBool::new(false),
            answered: AtomicUsize::new(0),
        });
        let threads = (0..SENDERS)
            .map(|number| {
                let sender = Sender {
                    shared: Arc::clone(&shared),
                    dice: Dice::new(seed, number + 1),
                    told: Told {
                        answered: vec![Vec::new()],
                        ..Told::default()
                    },
                };
                std::thread::spawn(move || sender.work((number + 1) * SPACING))
            })
            .collect();
        Self { shared, threads }
    }

    /// Sets the address to send to.
    pub fn turn_to(&self, address: SocketAddr) {
        *self.shared.address.lock().unwrap() = address;
    }

    /// Number of answered events so far.
    pub fn answered(&self) -> usize {
        self.shared.answered.load(Ordering::Relaxed)
    }

    /// Stops the senders. Returns the answers that they got.
    pub fn stop(self) -> Told {
        self.shared.stop.store(true, Ordering::Relaxed);
        let mut all = Told::default();
        for thread in self.threads {
            let Told {
                answered,
                accepted,
                wrong,
                figures,
            } = thread.join().unwrap();
            all.answered.extend(answered);
            all.accepted.extend(accepted);
            all.wrong.extend(wrong);
            all.figures.answered += figures.answered;
            all.figures.requests += figures.requests;
            all.figures.unanswered += figures.unanswered;
            all.figures.unavailable += figures.unavailable;
            all.figures.duplicates += figures.duplicates;
        }
        all
    }
}

/// One sender.
struct Sender {
    shared: Arc<Shared>,
    dice: Dice,
    told: Told,
}

impl Sender {
    /// Sends until it is stopped.
    fn work(mut self, first: u64) -> Told {
        for n in first.. {
            if self.stopped() {
                break;
            }
            let chosen = self.dice.below(Kind::MIX.len() as u64);
            let kind = Kind::MIX[usize::try_from(chosen).unwrap()];
            let body = format!(r#"{{"n":{n},"kind":"{}"}}"#, kind.name());
            if self.deliver(n, &body).is_none() {
                break;
            }
            self.told.answered[0].push((n, kind));
            self.told.figures.answered += 1;
            self.shared.answered.fetch_add(1, Ordering::Relaxed);
            if self.dice.once_in(2)
                && let Some(word) = self.deliver(n, &body)
                && word != "duplicate"
            {
                self.told
                    .wrong
                    .push(format!("the replay of {n} is answered `{word}`"));
            }
            std::thread::sleep(Duration::from_millis(self.dice.below(25)));
        }
        self.told
    }

    /// Sends one event until it is answered 200. Returns the word, or `None` if the sender is
    /// stopped before.
    fn deliver(&mut self, n: u64, body: &str) -> Option<String> {
        while !self.stopped() {
            let address = *self.shared.address.lock().unwrap();
            let sending = Sending::to(address, "POST", "/in").json(body).github(SECRET);
            self.told.figures.requests += 1;
            match sending.try_send() {
                Ok(answer) if answer.status == 200 => return Some(self.success(n, &answer)),
                // The store is unavailable, so retry later.
                Ok(answer) if answer.status == 503 && answer.header("Retry-After").is_some() => {
                    self.told.figures.unavailable += 1;
                    std::thread::sleep(Duration::from_millis(10));
                }
                Ok(answer) => {
                    self.told.wrong.push(format!("{n} is answered {answer:?}"));
                    std::thread::sleep(Duration::from_millis(10));
                }
                Err(_) => {
                    self.told.figures.unanswered += 1;
                    std::thread::sleep(Duration::from_millis(3));
                }
            }
        }
        None
    }

    /// Records a 200 answer, and returns its word.
    fn success(&mut self, n: u64, answer: &Answer) -> String {
        let word = answer.word();
        match word.as_str() {
            "accepted" => *self.told.accepted.entry(n).or_default() += 1,
            "duplicate" => self.told.figures.duplicates += 1,
            _ => self.told.wrong.push(format!("{n} is answered {answer:?}")),
        }
        word
    }

    fn stopped(&self) -> bool {
        self.shared.stop.load(Ordering::Relaxed)
    }
}
