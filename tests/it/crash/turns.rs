//! Ordering check: the order of a group with limit 1, from the lines of its commands.

use std::collections::{BTreeMap, BTreeSet};

use super::scene::Kind;

/// A line of a command.
#[derive(Clone, Debug)]
pub struct Line {
    pub begins: bool,
    pub n: u64,
    pub attempt: u32,
    /// Index of the daemon that started the command. `None` if that daemon died before the command
    /// could look. Then the attempt is repeated, and the line says nothing about the order.
    pub life: Option<usize>,
    pub pid: i32,
}

impl Line {
    /// Parses `begin N ATTEMPT PARENT LIFE PID`. `LIFE` is the daemon at that time, if it is not
    /// later than the parent. Both are written, since process ids are reused.
    pub fn read(text: &str, lives: &[i32]) -> Option<Self> {
        let words: Vec<&str> = text.split(' ').collect();
        let [what, n, attempt, parent, latest, pid] = words.as_slice() else {
            return None;
        };
        let (parent, latest): (i32, usize) = (parent.parse().ok()?, latest.parse().ok()?);
        Some(Self {
            begins: match *what {
                "begin" => true,
                "end" => false,
                _ => return None,
            },
            n: n.parse().ok()?,
            attempt: attempt.parse().ok()?,
            life: lives.get(..=latest)?.iter().rposition(|life| *life == parent),
            pid: pid.parse().ok()?,
        })
    }
}

/// Sorts the lines by daemon: commands of a killed daemon may write late.
fn by_life(lines: &[Line]) -> Vec<(usize, &Line)> {
    let mut ordered: Vec<_> = lines.iter().filter_map(|line| Some((line.life?, line))).collect();
    // A stable sort keeps the order within a life.
    ordered.sort_by_key(|(life, _)| *life);
    ordered
}

/// Asserts that under one daemon, no command of the group starts before the previous one has ended
/// or was killed.
pub fn one_at_a_time(lines: &[Line], killed: &BTreeSet<(usize, i32)>, wrong: &mut Vec<String>) {
    let mut under_way: Option<(usize, &Line)> = None;
    for (life, line) in by_life(lines) {
        if line.begins {
            if let Some((in_life, before)) = under_way
                && in_life == life
                && !killed.contains(&(life, before.pid))
            {
                wrong.push(format!("{line:?} began while {before:?} was under way"));
            }
            under_way = Some((life, line));
        } else if under_way.is_some_and(|(_, before)| before.pid == line.pid) {
            under_way = None;
        }
    }
}

/// Asserts the order for each sender, which waits for each answer. Its events start in order, and
/// none starts again once a later one of the group has started.
pub fn one_after_the_other(lines: &[Line], answered: &[Vec<(u64, Kind)>], wrong: &mut Vec<String>) {
    let mut first: BTreeMap<u64, usize> = BTreeMap::new();
    let mut latest: Option<u64> = None;
    for (place, (_, line)) in by_life(lines).into_iter().enumerate() {
        if !line.begins || latest == Some(line.n) {
            continue;
        }
        if first.insert(line.n, place).is_some() {
            wrong.push(format!(
                "{line:?} began again after {latest:?}, which came after it, had begun"
            ));
        }
        latest = Some(line.n);
    }
    for events in answered {
        let turns = events.iter().filter(|(_, kind)| *kind == Kind::Turns);
        let begun: Vec<_> = turns.filter_map(|(n, _)| Some((*n, *first.get(n)?))).collect();
        for pair in begun.windows(2) {
            let [(earlier, before), (later, after)] = pair else {
                continue;
            };
            if before > after {
                wrong.push(format!(
                    "{later} began before {earlier}, which was answered before it was sent"
                ));
            }
        }
    }
}
