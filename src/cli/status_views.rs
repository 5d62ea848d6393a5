//! `hookyard status --queue` and `--day`: the queue, and the figures of the last 24 hours.

use std::path::Path;

use serde::Serialize;

use super::ask::{NotAnswered, fetch};
use super::table::aligned;
use super::{Format, YES, fail, say};
use crate::base::escape;
use crate::status::{DaySeries, QueueStatus, SystemStatus};

/// Prints the queue. Returns the exit code.
pub fn queue(socket: &Path, format: Format) -> u8 {
    print(socket, fetch(socket, "/api/v1/queue"), format, queue_text)
}

/// Prints the figures of the last 24 hours. Returns the exit code.
pub fn day(socket: &Path, format: Format) -> u8 {
    let asked = fetch(socket, "/api/v1/system").map(|system: SystemStatus| system.day);
    print(socket, asked, format, day_text)
}

fn print<V: Serialize>(
    socket: &Path,
    asked: Result<V, NotAnswered>,
    format: Format,
    text: impl FnOnce(&V) -> String,
) -> u8 {
    let view = match asked {
        Ok(view) => view,
        Err(error) => return fail(&error.describe(socket, "tell")),
    };
    let text = match format {
        Format::Json => serde_json::to_string(&view).unwrap_or_default(),
        Format::Text => text(&view),
    };
    say(&text, YES)
}

fn queue_text(queue: &QueueStatus) -> String {
    let waits = &queue.waits_for;
    let mut lines = vec![format!(
        "{} waiting, {} running of {} slots; the first has been due for {:.0} s",
        queue.waiting, queue.running, queue.slots, queue.overdue
    )];
    lines.push(format!(
        "waiting for: room {}, a later time {}, a turn in a group {}, quiet {}, a paused rule {}",
        waits.room, waits.later, waits.group, waits.debounce, waits.paused
    ));
    let running = queue.running_attempts.iter().map(|one| {
        let limit = one
            .limit
            .map_or_else(|| "-".to_owned(), |limit| format!("{limit:.0} s"));
        [
            one.delivery.clone(),
            one.rule.clone(),
            format!("{} {}", one.action, one.kind.as_deref().unwrap_or("?")),
            one.attempt.to_string(),
            format!("{:.0} s", one.elapsed),
            limit,
        ]
    });
    let heads = ["running", "rule", "action", "attempt", "for", "limit"];
    table(&mut lines, heads, running.collect());
    let waiting = queue.first.iter().map(|one| {
        let group = one.group.iter().map(|group| format!(" {group}"));
        let ahead = one.ahead.iter().map(|ahead| format!(", {ahead} ahead"));
        [
            one.delivery.clone(),
            one.rule.clone(),
            one.attempt.to_string(),
            one.due.clone().unwrap_or_else(|| "-".to_owned()),
            one.waits_for.clone() + &group.chain(ahead).collect::<String>(),
        ]
    });
    table(
        &mut lines,
        ["waiting", "rule", "attempt", "due", "for"],
        waiting.collect(),
    );
    let groups = queue.groups.iter().map(|group| {
        [
            group.name.clone(),
            group.rule.clone(),
            format!("{} of {}", group.begun, group.limit),
            group.queued.to_string(),
        ]
    });
    table(&mut lines, ["group", "rule", "begun", "queued"], groups.collect());
    let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    let targets = queue.targets.iter().map(|target| {
        let paused = target.paused.as_ref().map(|pause| format!(", {}", pause.text()));
        [
            target.target.clone(),
            target.circuit.clone() + &paused.unwrap_or_default(),
            target.failures.to_string(),
            or_none(&target.next_try),
            target.paced.to_string(),
        ]
    });
    table(
        &mut lines,
        ["target", "circuit", "failures", "next try", "paced"],
        targets.collect(),
    );
    lines.join("\n")
}

/// Adds a table, if it has rows.
fn table<const N: usize>(lines: &mut Vec<String>, heads: [&str; N], rows: Vec<[String; N]>) {
    if rows.is_empty() {
        return;
    }
    let rows = rows
        .into_iter()
        .map(|row| row.map(|cell| escape::line(&cell).into_owned()));
    let rows: Vec<[String; N]> = [heads.map(str::to_owned)].into_iter().chain(rows).collect();
    lines.push(String::new());
    lines.push(aligned(&rows));
}

fn day_text(day: &DaySeries) -> String {
    let mut lines = vec![format!("since {}", day.since)];
    let slots = day.slots.iter().map(|slot| {
        let or_none = |figure: Option<String>| figure.unwrap_or_else(|| "-".to_owned());
        [
            slot.at.clone(),
            slot.arrivals.values().sum::<u64>().to_string(),
            slot.attempts_done.to_string(),
            slot.attempts_failed.to_string(),
            slot.dead_letters.to_string(),
            or_none(slot.overdue.map(|overdue| format!("{overdue:.0} s"))),
        ]
    });
    let heads = ["from", "arrivals", "done", "failed", "dead letters", "overdue"];
    table(&mut lines, heads, slots.collect());
    lines.join("\n")
}
