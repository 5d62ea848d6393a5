//! `hookyard events`: what arrived, what became of it, and what the operator does about it.

mod amend;
mod capture;
mod list;
mod select;
mod show;
mod tail;

use std::path::Path;

use super::place::{StoreLocation, unusable};
use super::{NO, complain};
use crate::store::sqlite::{History, Lookup, Named};

/// How many ids are told of those that are meant.
const CANDIDATES: usize = 5;

/// The arguments of `hookyard events`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    place: StoreLocation,
    #[command(subcommand)]
    command: EventsCommand,
}

/// What to do.
#[derive(Debug, clap::Subcommand)]
enum EventsCommand {
    /// List deliveries, newest first: one event owed to one rule, and what became of it.
    List(list::Arguments),
    /// Show an event: what arrived, what each rule makes of it, and every attempt at it.
    Show(show::Arguments),
    /// Print the latest deliveries, and then each that is new, until it is interrupted.
    Tail(tail::Arguments),
    /// Have deliveries that have ended done again, from their first action on, by the rules in force then.
    ///
    /// Those that wait are left alone. The replay is kept among the attempts, and counted.
    Replay(amend::Arguments),
    /// Give up deliveries that wait, which makes dead letters of them; and forget those that have ended.
    ///
    /// An attempt that is under way goes on to its end, but is not written down and nothing follows from it. The sender's
    /// own repetition of a dropped event is still a duplicate.
    Drop(amend::Arguments),
    /// Write out the body of an event, byte for byte; or, as JSON, all of the request, for `explain --captured`.
    Capture(capture::Arguments),
}

/// Runs it.
pub fn run(arguments: &Arguments) -> u8 {
    let path = match arguments.place.store() {
        Ok(path) => path,
        Err(code) => return code,
    };
    let done = match &arguments.command {
        EventsCommand::List(command) => list::run(&path, command),
        EventsCommand::Show(command) => show::run(&path, arguments.place.rules().as_deref(), command),
        EventsCommand::Tail(command) => tail::run(&path, command),
        EventsCommand::Replay(command) => amend::replay(&path, command),
        EventsCommand::Drop(command) => amend::drop(&path, command),
        EventsCommand::Capture(command) => capture::run(&path, command),
    };
    done.unwrap_or_else(|code| code)
}

/// Looks at the store; an exit code if it cannot be read.
fn look(path: &Path) -> Result<History, u8> {
    History::open(path).map_err(|error| unusable(path, &error))
}

/// What the beginning of an id stands for; an exit code if that is not one.
fn find(path: &Path, history: &History, id: &str) -> Result<Named, u8> {
    match history.find(id).map_err(|error| unusable(path, &error))? {
        Lookup::Found(named) => Ok(named),
        Lookup::Nothing => {
            complain(&format!("no event or delivery `{id}` in `{}`", path.display()));
            Err(NO)
        }
        Lookup::Several(ids) => {
            let shown: Vec<&str> = ids.iter().take(CANDIDATES).map(String::as_str).collect();
            let more = if ids.len() > CANDIDATES { ", …" } else { "" };
            complain(&format!("`{id}` could be any of {}{more}", shown.join(", ")));
            Err(NO)
        }
    }
}
