//! Check of the crash test: compares the output of the actions and the store with the answers that
//! the senders got.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::Value;

use super::befall::Befallen;
use super::scene::{Kind, attempts};
use super::senders::Told;
use super::stored::{self, Delivery, number};
use super::turns::{self, Line};
use crate::scenario::{Daemon, Scenario, Target};

/// All remaining evidence.
pub struct Ledger {
    /// The deliveries of each stored event, one list for every time that it was stored.
    stored: BTreeMap<u64, Vec<Vec<Delivery>>>,
    /// Lines of the commands, by rule.
    commands: BTreeMap<&'static str, Vec<Line>>,
    /// Events seen in each output: files of lines, and the target.
    seen: BTreeMap<&'static str, Vec<u64>>,
    /// Lines that should not exist.
    odd: Vec<String>,
    killed: BTreeSet<(usize, i32)>,
}

/// Counts of the evidence.
pub struct Figures {
    stored: usize,
    deliveries: usize,
    attempts: usize,
    dead: usize,
    begun: usize,
    again: usize,
    requests: usize,
}

impl fmt::Display for Figures {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            stored,
            deliveries,
            attempts,
            dead,
            begun,
            again,
            requests,
        } = self;
        write!(
            out,
            "ledger: {stored} events stored with {deliveries} deliveries and {attempts} attempts, {dead} of them dead \
             letters; {begun} commands begun, of which {again} for an attempt that a crash had cut off; {requests} requests \
             at the target"
        )
    }
}

impl Ledger {
    /// Reads everything. No daemon may run.
    pub fn read(daemon: &Daemon, target: &Target, befallen: &Befallen) -> Self {
        let mut ledger = Self {
            stored: stored::everything(daemon.folder()),
            commands: BTreeMap::new(),
            seen: BTreeMap::new(),
            odd: Vec::new(),
            killed: befallen.killed.clone(),
        };
        for kind in [Kind::Run, Kind::Turns, Kind::Failing] {
            let text = daemon.read(&format!("{}.txt", kind.name()));
            let lines = text.lines().filter_map(|line| {
                let read = Line::read(line, &befallen.lives);
                if read.is_none() {
                    ledger.odd.push(format!("{}: {line:?}", kind.name()));
                }
                read
            });
            let lines: Vec<Line> = lines.collect();
            let begun = lines.iter().filter(|line| line.begins).map(|line| line.n);
            ledger.seen.insert(kind.name(), begun.collect());
            ledger.commands.insert(kind.name(), lines);
        }
        for (place, file) in [("first", "first.txt"), ("second", "second.txt")] {
            let text = daemon.read(file);
            let numbers = text.lines().filter_map(|line| {
                let number = line.parse().ok();
                if number.is_none() {
                    ledger.odd.push(format!("{file}: {line:?}"));
                }
                number
            });
            ledger.seen.insert(place, numbers.collect());
        }
        let requests = target.requests();
        let numbers = requests.iter().filter_map(|request| number(&request.body));
        ledger.seen.insert("forward", numbers.collect());
        ledger
    }

    /// Asserts every promise.
    pub fn hold_against(&self, told: &Told, scenario: &Scenario) -> Figures {
        let mut wrong = told.wrong.clone();
        wrong.extend(self.odd.iter().cloned());
        self.every_answered_event_was_acted_on(told, &mut wrong);
        self.no_event_was_taken_twice(told, &mut wrong);
        self.no_attempt_is_beyond_its_policy(&mut wrong);
        if let Some(lines) = self.commands.get(Kind::Turns.name()) {
            turns::one_at_a_time(lines, &self.killed, &mut wrong);
            turns::one_after_the_other(lines, &told.answered, &mut wrong);
        }
        self.the_command_line_agrees(scenario, &mut wrong);
        let many = wrong.len();
        wrong.truncate(40);
        assert!(wrong.is_empty(), "{many} things are wrong:\n{}", wrong.join("\n"));
        self.figures()
    }

    fn every_answered_event_was_acted_on(&self, told: &Told, wrong: &mut Vec<String>) {
        let seen: BTreeMap<&str, BTreeSet<u64>> = self
            .seen
            .iter()
            .map(|(place, numbers)| (*place, numbers.iter().copied().collect()))
            .collect();
        for (n, kind) in told.answered.iter().flatten() {
            let places = ["first", "second"]
                .into_iter()
                .chain((*kind != Kind::Record).then_some(kind.name()));
            for place in places {
                // An attempt that died with the daemon each time was not seen, and the reason says
                // so.
                let is_given_up = |delivery: &Delivery| {
                    delivery.rule == place
                        && delivery.state == "dead"
                        && delivery.reason.starts_with("interrupted")
                };
                let mut deliveries = self.stored.get(n).into_iter().flatten().flatten();
                if !seen[place].contains(n) && !deliveries.any(is_given_up) {
                    wrong.push(format!("{n} was answered, and `{place}` has not seen it"));
                }
            }
            if !self.stored.contains_key(n) {
                wrong.push(format!("{n} was answered and is not in the store"));
            }
        }
    }

    fn no_event_was_taken_twice(&self, told: &Told, wrong: &mut Vec<String>) {
        for (n, times) in told.accepted.iter().filter(|(_, times)| **times > 1) {
            wrong.push(format!("{n} was answered `accepted` {times} times"));
        }
        for (n, events) in self.stored.iter().filter(|(_, events)| events.len() > 1) {
            wrong.push(format!("{n} is stored {} times", events.len()));
        }
        for (n, deliveries) in self.deliveries() {
            let mut rules: Vec<&str> = deliveries.iter().map(|delivery| &*delivery.rule).collect();
            rules.sort_unstable();
            rules.dedup();
            if rules.len() != deliveries.len() {
                wrong.push(format!("{n} is owed to one rule more than once"));
            }
        }
        for (rule, lines) in &self.commands {
            let mut begun = BTreeSet::new();
            for line in lines.iter().filter(|line| line.begins && line.life.is_some()) {
                if !begun.insert((line.n, line.attempt, line.life)) {
                    wrong.push(format!("{rule}: one daemon began {line:?} twice"));
                }
            }
        }
    }

    fn no_attempt_is_beyond_its_policy(&self, wrong: &mut Vec<String>) {
        for (n, deliveries) in self.deliveries() {
            for delivery in deliveries {
                let Some(kind) = Kind::ALL.into_iter().find(|kind| kind.name() == delivery.rule) else {
                    continue;
                };
                let (rule, state) = (&delivery.rule, &delivery.state);
                let mut next: BTreeMap<u32, u32> = BTreeMap::new();
                let mut last = None;
                for (action, number, outcome) in &delivery.attempts {
                    let expected = next.entry(*action).or_insert(1);
                    // Interrupted attempts in a row count once: the next has the same number.
                    if last == Some((*action, *number, "interrupted")) {
                        *expected = *number;
                    }
                    last = Some((*action, *number, outcome.as_str()));
                    if number != expected || *number > attempts(kind) {
                        wrong.push(format!(
                            "{n}, {rule}: attempt {number} is written where {expected} is due"
                        ));
                    }
                    *expected = number + 1;
                }
                let should = if kind == Kind::Failing { "dead" } else { "done" };
                let spent = next.get(&0) == Some(&(attempts(Kind::Failing) + 1));
                if state != should || (kind == Kind::Failing && !spent) {
                    wrong.push(format!(
                        "{n}, {rule}: is {state} ({}) after {:?}",
                        delivery.reason, delivery.attempts
                    ));
                }
            }
        }
        for kind in [Kind::Run, Kind::Turns, Kind::Failing] {
            let lines = self.commands.get(kind.name()).into_iter().flatten();
            for line in lines.filter(|line| line.attempt > attempts(kind)) {
                wrong.push(format!("{}: {line:?} is beyond its policy", kind.name()));
            }
        }
    }

    /// Asserts that `store check`, `events list` and `events show` agree with the store.
    fn the_command_line_agrees(&self, scenario: &Scenario, wrong: &mut Vec<String>) {
        let check = scenario.hookyard(&["store", "check"]);
        if check.status.code() != Some(0) {
            wrong.push(format!("`store check` says {check:?}"));
        }
        let list = ["--rule", "failing", "--state", "dead", "--limit", "100000"];
        let rows = scenario.deliveries(&list);
        let dead = self
            .deliveries()
            .flat_map(|(_, deliveries)| deliveries)
            .filter(|delivery| delivery.rule == "failing")
            .count();
        // If the last attempt was interrupted, the delivery is given up before the next one.
        let is_spent = |row: &&Value| {
            let interrupted = row["reason"]
                .as_str()
                .is_some_and(|reason| reason.starts_with("interrupted"));
            row["attempt"] == attempts(Kind::Failing) + u32::from(interrupted)
        };
        let spent = rows.iter().filter(is_spent).count();
        if let Some(delivery) = rows.first().and_then(|row| row["delivery"].as_str()) {
            Self::shown(scenario, delivery, wrong);
        }
        if (rows.len(), spent) != (dead, dead) {
            wrong.push(format!(
                "`events list` lists {} dead letters, {spent} of them after the last attempt, the store has {dead}",
                rows.len()
            ));
        }
    }

    /// Checks the attempts that `events show` prints for a dead letter.
    fn shown(scenario: &Scenario, delivery: &str, wrong: &mut Vec<String>) {
        let show = scenario.hookyard(&["events", "show", delivery, "--format", "json"]);
        let json: Value = serde_json::from_slice(&show.stdout).unwrap_or_default();
        let attempts = json["deliveries"][0]["attempts"].as_array();
        let shown = attempts.into_iter().flatten();
        let mut numbers: Vec<_> = shown.clone().map(|attempt| attempt["attempt"].as_u64()).collect();
        numbers.dedup();
        let mut outcomes = shown.map(|attempt| attempt["outcome"].as_str().unwrap_or_default());
        let known = outcomes.all(|outcome| ["failed", "interrupted"].contains(&outcome));
        if numbers != [1, 2, 3].map(Some) || !known {
            wrong.push(format!("`events show {delivery}` shows {json}"));
        }
    }

    fn deliveries(&self) -> impl Iterator<Item = (u64, &Vec<Delivery>)> {
        let pairs = self.stored.iter();
        pairs.flat_map(|(n, events)| events.iter().map(|deliveries| (*n, deliveries)))
    }

    fn figures(&self) -> Figures {
        let all = || self.deliveries().flat_map(|(_, deliveries)| deliveries);
        let begun: Vec<_> = self
            .commands
            .iter()
            .flat_map(|(rule, lines)| lines.iter().map(move |line| (rule, line)))
            .filter(|(_, line)| line.begins)
            .map(|(rule, line)| (rule, line.n, line.attempt))
            .collect();
        let different: BTreeSet<_> = begun.iter().collect();
        Figures {
            stored: self.stored.len(),
            deliveries: all().count(),
            attempts: all().map(|delivery| delivery.attempts.len()).sum(),
            dead: all().filter(|delivery| delivery.state == "dead").count(),
            begun: begun.len(),
            again: begun.len() - different.len(),
            requests: self.seen["forward"].len(),
        }
    }
}
