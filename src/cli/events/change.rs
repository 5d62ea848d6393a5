//! `hookyard events replay` and `hookyard events drop`: selection, change, and the list of changed
//! deliveries.
//!
//! Without ids, the selection needs a state, so that an empty argument list never means everything.

use serde_json::json;

use super::arrivals::ArrivalSearch;
use super::list::{COLUMN_NAMES, line};
use super::replay::{self, ReplayedArrival};
use super::select::{Selection, status};
use super::{find, look};
use crate::base::clock::Clock;
use crate::base::count::counted;
use crate::cli::location::{StoreLocation, unusable};
use crate::cli::table::aligned;
use crate::cli::{Format, NO, YES, complain, fail, say, wrong};
use crate::event::EventId;
use crate::history::{DeliveryRow, DeliveryStatus};
use crate::status::PauseStatus;
use crate::store::{DeliveryId, ListedDelivery, Named, PauseSubject, Place, Records, StoreError, reason};
use crate::sys::account::own_name;

/// Maximum arrivals selected without ids.
const ARRIVALS_AT_ONCE: usize = 1000;
/// Maximum deliveries selected without ids.
const AT_ONCE: usize = 10_000;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Deliveries, or events with all their deliveries. A unique prefix of an id is enough. Without
    /// ids, `--dead` or `--state` is required, or `--ignored` of `replay`.
    #[arg(value_name = "ID")]
    ids: Vec<String>,
    /// Only dead letters.
    #[arg(long, conflicts_with = "state")]
    dead: bool,
    /// Only dead letters with this reason, as `events problems` shows it.
    #[arg(long, value_name = "TEXT", requires = "dead")]
    reason: Option<String>,
    /// Only deliveries in this state.
    #[arg(long, value_name = "STATE", value_parser = status())]
    state: Option<DeliveryStatus>,
    #[command(flatten)]
    selection: Selection,
    /// Show the deliveries that would change, and change nothing.
    #[arg(long)]
    dry_run: bool,
    /// Output format.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Debug, clap::Args)]
pub struct ReplayArguments {
    #[command(flatten)]
    change: Arguments,
    /// Replay ignored arrivals, not deliveries. They are selected by ids, or by `--endpoint`,
    /// `--since` and `--where`.
    #[arg(long, conflicts_with_all = ["dead", "state", "rule"])]
    ignored: bool,
}

/// Replays deliveries and ignored arrivals.
pub fn replay(place: &Place, location: &StoreLocation, arguments: &ReplayArguments) -> Result<u8, u8> {
    let (change, ignored) = (&arguments.change, arguments.ignored);
    let (arrivals, ids) = choose_arrivals(place, change, ignored)?;
    if arrivals.is_empty() && !ignored {
        return replay_deliveries(place, change);
    }
    if !ids.is_empty() {
        return Err(fail(&format!(
            "`{}` is no arrival that became no event: replay events and ignored arrivals apart",
            ids.join("`, `")
        )));
    }
    let replayed = if arrivals.is_empty() {
        Vec::new()
    } else {
        replay::replay(location, place, &arrivals, change.dry_run).map_err(|message| fail(&message))?
    };
    let number = replayed.iter().filter(|arrival| arrival.is_accepted()).count();
    let text = match change.format {
        Format::Json => json!({
            "replayed": number,
            "dry_run": change.dry_run,
            "arrivals": replayed.iter().map(ReplayedArrival::to_json).collect::<Vec<_>>(),
        })
        .to_string(),
        Format::Text => {
            let would = if change.dry_run { "would be " } else { "" };
            let mut lines: Vec<String> = replayed
                .iter()
                .flat_map(|arrival| arrival.lines(change.dry_run))
                .collect();
            lines.push(format!("{} {would}replayed", counted(number, "arrival")));
            lines.join("\n")
        }
    };
    Ok(say(&text, if number > 0 { YES } else { NO }))
}

/// Finds the selected arrivals that became no event, oldest first, and the ids that name something
/// else. `ignored`: without ids, select by the filters.
fn choose_arrivals(
    place: &Place,
    arguments: &Arguments,
    ignored: bool,
) -> Result<(Vec<EventId>, Vec<String>), u8> {
    let failed = |error: StoreError| unusable(place, &error);
    let history = look(place)?;
    let (mut arrivals, mut others) = (Vec::new(), Vec::new());
    for id in &arguments.ids {
        match find(place, &history, id)? {
            Named::Event(event) if history.arrival(event).map_err(failed)?.is_some() => arrivals.push(event),
            _ => others.push(id.clone()),
        }
    }
    if ignored && arguments.ids.is_empty() {
        let search =
            ArrivalSearch::ignored(&arguments.selection).map_err(|diagnostics| wrong(&diagnostics))?;
        let found = search.newest(&history, ARRIVALS_AT_ONCE).map_err(failed)?;
        if !found.complete || found.arrivals.len() >= ARRIVALS_AT_ONCE {
            complain("only the latest are taken at once; there may be older ones");
        }
        let waiting = found.arrivals.iter().filter(|arrival| !arrival.is_replayed);
        arrivals.extend(waiting.map(|arrival| arrival.id));
    }
    arrivals.sort_unstable();
    arrivals.dedup();
    Ok((arrivals, others))
}

fn replay_deliveries(place: &Place, arguments: &Arguments) -> Result<u8, u8> {
    // Deliveries to `on_failure` are not replayed with the failed one, which may succeed this time.
    let mut chosen = choose(place, arguments, false)?;
    let waits = |entry: &ListedDelivery| DeliveryStatus::of(entry) == DeliveryStatus::Waiting;
    let waiting = chosen.iter().filter(|entry| waits(entry)).count();
    if waiting > 0 {
        chosen.retain(|entry| !waits(entry));
        let what = match waiting {
            1 => "1 delivery waits or is under way, and cannot be replayed".to_owned(),
            _ => format!("{waiting} deliveries wait or are under way, and cannot be replayed"),
        };
        complain(&what);
    }
    tell_pauses(place, &chosen).map_err(|error| unusable(place, &error))?;
    act(place, arguments, &chosen, "replayed", |ids| {
        Records::at(place).replay(ids, Clock::system().now(), &own_name())
    })
}

/// Says which deliveries wait after their replay.
fn tell_pauses(place: &Place, chosen: &[ListedDelivery]) -> Result<(), StoreError> {
    let pauses = Records::at(place).history()?.pauses()?;
    for pause in pauses {
        let is_chosen = |entry: &ListedDelivery| matches!(&pause.subject, PauseSubject::Rule(rule) if **rule == *entry.delivery.rule);
        if chosen.iter().any(is_chosen) {
            complain(&PauseStatus::of(&pause).waits());
        }
    }
    Ok(())
}

pub fn drop(place: &Place, arguments: &Arguments) -> Result<u8, u8> {
    let chosen = choose(place, arguments, true)?;
    act(place, arguments, &chosen, "dropped", |ids| {
        let dropped = Records::at(place).drop_deliveries(ids, Clock::system().now(), &own_name())?;
        Ok(dropped.given_up + dropped.forgotten)
    })
}

/// Finds the selected deliveries, oldest first. `made`: include deliveries to `on_failure` that are
/// not named by id.
fn choose(place: &Place, arguments: &Arguments, made: bool) -> Result<Vec<ListedDelivery>, u8> {
    let failed = |error: StoreError| unusable(place, &error);
    let dead = arguments.dead.then_some(DeliveryStatus::Dead);
    let state = dead.or(arguments.state).map(DeliveryStatus::name);
    if arguments.ids.is_empty() && state.is_none() {
        return Err(fail(
            "which ones? name their ids, or say `--dead` or `--state STATE`",
        ));
    }
    let mut search = arguments
        .selection
        .search(state)
        .map_err(|diagnostics| wrong(&diagnostics))?;
    let history = look(place)?;
    let mut chosen = Vec::new();
    if arguments.ids.is_empty() {
        let found = search.newest(&history, AT_ONCE).map_err(failed)?;
        if found.cut || found.entries.len() >= AT_ONCE {
            complain("only the latest are taken at once; there may be older ones");
        }
        chosen = found.entries;
        chosen.retain(|entry| made || entry.delivery.failure_of.is_none());
    }
    for id in &arguments.ids {
        let (event, only) = match find(place, &history, id)? {
            Named::Event(event) => (event, None),
            Named::Delivery { id, event } => (event, Some(id)),
        };
        for entry in history.of_event(event).map_err(failed)? {
            if only.map_or(made || entry.delivery.failure_of.is_none(), |only| {
                only == entry.delivery.id
            }) && search.wants(&history, &entry).map_err(failed)?
            {
                chosen.push(entry);
            }
        }
    }
    if let Some(wanted) = &arguments.reason {
        let stable = |entry: &ListedDelivery| entry.delivery.state.reason().map(reason::of_dead_letter);
        chosen.retain(|entry| stable(entry).as_ref() == Some(wanted));
    }
    chosen.sort_by_key(|entry| entry.row);
    chosen.dedup_by_key(|entry| entry.row);
    Ok(chosen)
}

/// Performs the change unless it is a dry run, and prints the result.
fn act(
    place: &Place,
    arguments: &Arguments,
    chosen: &[ListedDelivery],
    word: &str,
    perform: impl FnOnce(&[DeliveryId]) -> Result<usize, StoreError>,
) -> Result<u8, u8> {
    let ids: Vec<DeliveryId> = chosen.iter().map(|entry| entry.delivery.id).collect();
    let number = if arguments.dry_run || ids.is_empty() {
        ids.len()
    } else {
        perform(&ids).map_err(|error| unusable(place, &error))?
    };
    let now = Clock::system().now();
    let text = match arguments.format {
        Format::Json => json!({
            word: number,
            "dry_run": arguments.dry_run,
            // In the state before the change.
            "deliveries": chosen.iter().map(|entry| DeliveryRow::of(entry, now)).collect::<Vec<_>>(),
        })
        .to_string(),
        Format::Text => {
            let would = if arguments.dry_run { "would be " } else { "" };
            let sum = format!("{} {would}{word}", counted(number, "delivery"));
            if chosen.is_empty() {
                sum
            } else {
                let column_names = COLUMN_NAMES.map(str::to_owned);
                let lines: Vec<_> = [column_names]
                    .into_iter()
                    .chain(chosen.iter().map(line))
                    .collect();
                format!("{}\n\n{sum}", aligned(&lines))
            }
        }
    };
    Ok(say(&text, if number > 0 { YES } else { NO }))
}
