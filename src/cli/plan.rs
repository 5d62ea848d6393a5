//! `hookyard plan`: what a change of the rules would have done with the arrivals that are kept.

use std::path::{Path, PathBuf};

use super::ask::{NotAnswered, ask};
use super::check::environment;
use super::location::{StoreLocation, unusable};
use super::{Format, NO, UNKNOWN, YES, complain, fail, naming, rules_path, say, status, wrong};
use crate::admin::{PlanAnswer, PlanRequest};
use crate::base::clock::{Clock, Timestamp};
use crate::config;
use crate::history::Since;
use crate::plan::{Plan, Range};
use crate::rules::RuleSet;
use crate::store::Records;

/// Arrivals that are judged unless `--since` or `--last` say otherwise.
const LAST: usize = 1000;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The new rules file, judged as if it took the place of the old one [default: the old one on
    /// disk, compared with the rules that the daemon has in force].
    new: Option<PathBuf>,
    #[command(flatten)]
    store_location: StoreLocation,
    /// Judge the arrivals within this duration (`90s`, `7d`), or since this time (default UTC):
    /// `2026-11-24`, `'2026-11-24 14:02'`, `2026-11-24T14:02:00+01:00`.
    #[arg(long, value_name = "WHEN", value_parser = Since::parse)]
    since: Option<Since>,
    /// Judge at most this number of arrivals, the latest ones [default: 1000, and with `--since` all].
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    last: Option<u64>,
    /// Also read variables from this file, as the service does: `NAME=value` lines [default:
    /// `/etc/hookyard/environment`, if the rules are in `/etc/hookyard` and it can be read].
    #[arg(long, value_name = "FILE")]
    env_file: Option<PathBuf>,
    /// Output format.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub fn run(arguments: &Arguments) -> u8 {
    plan(arguments).unwrap_or_else(|code| code)
}

fn plan(arguments: &Arguments) -> Result<u8, u8> {
    let since = arguments.since.map(|since| since.at(Clock::system().now()));
    let usual = if since.is_some() { usize::MAX } else { LAST };
    let last = arguments
        .last
        .map_or(usual, |last| usize::try_from(last).unwrap_or(usize::MAX));
    let range = Range { since, last };
    match &arguments.new {
        Some(new) => of_file(arguments, new, range),
        None => of_rules_in_force(arguments, range),
    }
}

/// Judges a new file against the rules file.
fn of_file(arguments: &Arguments, new_path: &Path, range: Range) -> Result<u8, u8> {
    let rules = rules_path(
        arguments
            .store_location
            .named_rules()
            .map(Path::to_owned)
            .as_ref(),
    );
    let store = arguments.store_location.store()?;
    let old = load(arguments, &rules, &rules)?;
    let new = load(arguments, &rules, new_path)?;
    let unusable = |error| unusable(&store, &error);
    let history = Records::at(&store).history().map_err(unusable)?;
    let named = |rules, path: &Path| (rules, path.display().to_string());
    let (old, new) = (named(&old, &rules), named(&new, new_path));
    let plan = Plan::new(old, new, &history, range, || true).map_err(unusable)?;
    let text = match arguments.format {
        Format::Text => plan.text(),
        Format::Json => plan.json().to_string(),
    };
    Ok(say(&text, code(plan.differs())))
}

/// Lets the running daemon judge its rules file against the rules that it has in force.
fn of_rules_in_force(arguments: &Arguments, range: Range) -> Result<u8, u8> {
    let socket = status::socket_of(&arguments.store_location, status::BY_RULES)?;
    let request = PlanRequest {
        since: range.since.map(Timestamp::as_millis),
        last: range.last,
    };
    let answer: PlanAnswer = ask(&socket, "POST /api/v1/plan", &request).map_err(|error| {
        let code = fail(&error.describe(&socket, "judge its rules file"));
        if matches!(error, NotAnswered::Absent(_)) {
            complain("without a daemon, name the new rules: `hookyard plan NEW.yaml`");
        }
        code
    })?;
    if let Some(why) = &answer.failed {
        return Err(fail(why));
    }
    let text = match arguments.format {
        Format::Text => answer.text,
        Format::Json => answer.json.to_string(),
    };
    Ok(say(&text, code(answer.differs)))
}

/// The exit code: 0 if the new rules act as the old ones, 1 if not, 2 if that is not known.
fn code(differs: Option<bool>) -> u8 {
    match differs {
        Some(false) => YES,
        Some(true) => NO,
        None => UNKNOWN,
    }
}

/// Loads a rules file as if it stood at `location`. The error is the exit code.
fn load(arguments: &Arguments, location: &Path, path: &Path) -> Result<RuleSet, u8> {
    let environment =
        environment::of(location, arguments.env_file.as_deref()).map_err(|message| fail(&message))?;
    let loaded = config::load_in_place_of(location, path, environment);
    let loaded = loaded.map_err(|diagnostics| {
        let code = wrong(&naming("plan NEW", diagnostics));
        complain(&format!(
            "`{}` does not load, so nothing is judged",
            path.display()
        ));
        code
    })?;
    Ok(loaded.rules)
}
