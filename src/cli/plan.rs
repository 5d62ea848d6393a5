//! `hookyard plan`: what a change of the rules would have done with the arrivals that are kept.

use std::path::{Path, PathBuf};

use super::check::environment;
use super::events::Since;
use super::location::{StoreLocation, unusable};
use super::{Format, NO, UNKNOWN, YES, complain, fail, naming, rules_path, say, wrong};
use crate::base::clock::Clock;
use crate::config;
use crate::plan::{Answer, Plan, Range};
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
    let rules = rules_path(
        arguments
            .store_location
            .named_rules()
            .map(Path::to_owned)
            .as_ref(),
    );
    let store = arguments.store_location.store()?;
    let Some(new_path) = &arguments.new else {
        return Err(fail("name the new rules: `hookyard plan NEW.yaml`"));
    };
    let old = load(arguments, &rules, &rules)?;
    let new = load(arguments, &rules, new_path)?;
    let since = arguments.since.map(|since| since.at(Clock::system().now()));
    let usual = if since.is_some() { usize::MAX } else { LAST };
    let last = arguments
        .last
        .map_or(usual, |last| usize::try_from(last).unwrap_or(usize::MAX));
    let history = Records::at(&store)
        .history()
        .map_err(|error| unusable(&store, &error))?;
    let named = |rules, path: &Path| (rules, path.display().to_string());
    let (old, new) = (named(&old, &rules), named(&new, new_path));
    let plan = Plan::new(old, new, &history, Range { since, last }, || true);
    let plan = plan.map_err(|error| unusable(&store, &error))?;
    let text = match arguments.format {
        Format::Text => plan.text(),
        Format::Json => plan.json().to_string(),
    };
    let code = match plan.answer() {
        Answer::Same => YES,
        Answer::Different => NO,
        Answer::Unknown => UNKNOWN,
    };
    Ok(say(&text, code))
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
