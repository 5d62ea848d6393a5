//! `hookyard events`: shows events and their deliveries, replays them, drops them, and stops their
//! attempts.

mod arrivals;
mod as_test;
pub mod capture;
mod change;
mod follow;
mod list;
mod problems;
mod replay;
mod select;
mod show;
mod stop;
mod tail;

pub use show::delivery_lines;

use std::path::Path;

use super::location::{StoreLocation, unusable};
use super::{NO, complain, fail};
use crate::config;
use crate::history::EventNames;
use crate::store::{History, Lookup, Named, Place, Records};

/// Maximum ids listed for an ambiguous prefix.
const CANDIDATES: usize = 5;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    store_location: StoreLocation,
    #[command(subcommand)]
    command: EventsCommand,
}

#[derive(Debug, clap::Subcommand)]
enum EventsCommand {
    /// List arrivals, newest first: accepted, ignored and refused ones, with their deliveries.
    List(list::Arguments),
    /// Show an arrival: the request, the decision of each rule then and now, and all attempts.
    Show(show::Arguments),
    /// Print the latest arrivals, then each new one, until interrupted.
    Tail(tail::Arguments),
    /// Run ended deliveries again, from their first action, by the current rules. Ignored arrivals
    /// are matched by the rules in force, and run.
    ///
    /// Waiting deliveries are left alone. Each replay is counted, and recorded among the attempts.
    /// An ignored arrival is replayed by the running daemon, once.
    Replay(change::ReplayArguments),
    /// Turn waiting deliveries into dead letters, and delete ended ones.
    ///
    /// A running attempt continues to its end, but its result is not recorded and has no effect. `events
    /// stop` ends it. If the sender repeats a dropped event, it still counts as a duplicate.
    Drop(change::Arguments),
    /// Stop the attempts of a delivery or of an event.
    ///
    /// The running daemon stops what is in progress. A command gets TERM, and KILL after its `grace`.
    /// A forward is aborted. What waits is not touched: `events drop` gives it up.
    Stop(stop::Arguments),
    /// List dead letters by rule and reason, and refused arrivals by endpoint and reason.
    ///
    /// Ids, digests, times and long numbers in a reason do not count. At most 200 groups of each are
    /// listed, of the latest 200000 dead letters and the latest 20000 arrivals of each ring.
    Problems(problems::Arguments),
    /// Print what the commands of a delivery print, while they run.
    ///
    /// Ends when the delivery ends: with 0 if it is done, 1 if it is dead or superseded, 2 if no daemon
    /// answers. If nothing runs, the output of the last attempt is printed first.
    Follow(follow::Arguments),
    /// Print the body of an arrival, byte for byte, or the whole request as JSON for `explain
    /// --captured`.
    Capture(capture::Arguments),
}

pub fn run(arguments: &Arguments) -> u8 {
    let place = match arguments.store_location.store() {
        Ok(place) => place,
        Err(code) => return code,
    };
    let done = match &arguments.command {
        EventsCommand::List(command) => {
            list::run(&place, arguments.store_location.rules().as_deref(), command)
        }
        EventsCommand::Show(command) => {
            show::run(&place, arguments.store_location.rules().as_deref(), command)
        }
        EventsCommand::Tail(command) => {
            tail::run(&place, arguments.store_location.rules().as_deref(), command)
        }
        EventsCommand::Replay(command) => change::replay(&place, &arguments.store_location, command),
        EventsCommand::Drop(command) => change::drop(&place, command),
        EventsCommand::Stop(command) => stop::run(&place, &arguments.store_location, command),
        EventsCommand::Problems(command) => problems::run(&place, command),
        EventsCommand::Follow(command) => follow::run(&place, &arguments.store_location, command),
        EventsCommand::Capture(command) if command.as_test => as_test::run(&place, command),
        EventsCommand::Capture(command) => capture::run(&place, command),
    };
    done.unwrap_or_else(|code| code)
}

/// Opens the store's history. If it cannot be read, returns the exit code.
fn look(place: &Place) -> Result<History, u8> {
    Records::at(place)
        .history()
        .map_err(|error| unusable(place, &error))
}

/// The senders' names of events, by the rules file. There are none if it does not load.
fn names(rules: Option<&Path>) -> EventNames {
    let loaded = rules.and_then(|rules| config::load(rules, config::environment()).ok());
    loaded.map_or_else(EventNames::default, |loaded| EventNames::of(&loaded.rules))
}

/// Finds the arrival or delivery with this id prefix. If there is not exactly one, returns the exit
/// code.
fn find(place: &Place, history: &History, id: &str) -> Result<Named, u8> {
    match history.find(id).map_err(|error| unusable(place, &error))? {
        Lookup::Found(named) => Ok(named),
        Lookup::Nothing => {
            complain(&format!("no arrival or delivery `{id}` in `{place}`"));
            Err(NO)
        }
        Lookup::Several(ids) => {
            let shown: Vec<&str> = ids.iter().take(CANDIDATES).map(String::as_str).collect();
            let more = if ids.len() > CANDIDATES { ", …" } else { "" };
            Err(fail(&format!(
                "`{id}` could be any of {}{more}: write more of the id",
                shown.join(", ")
            )))
        }
    }
}
