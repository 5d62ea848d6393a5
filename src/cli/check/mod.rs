//! `hookyard check`: diagnostics of a rules file, as text or JSON, and the exit code.
//!
//! `config::load` finds the diagnostics, as for `serve`. `environment.rs` finds the variables, and
//! `running.rs` asks the daemon. `waiting.rs` looks into the store, and `connect.rs` asks its server.

mod connect;
pub mod environment;
mod running;
mod waiting;

use std::io::Read;
use std::path::{Path, PathBuf};

use super::{
    Format, NO, UNKNOWN, YES, coloured, complain_styled, fail, naming, rules_path, say_styled, secrets,
};
use crate::base::count::counted;
use crate::base::diagnostic::{Diagnostic, Diagnostics, Severity};
use crate::base::escape;
use crate::base::yaml::MAX_TEXT;
use crate::config::{self, Checked};

#[derive(Debug, clap::Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an option of the command line"
)]
pub struct Arguments {
    /// The rules file. `-` reads standard input, as if it were a `rules.yaml` in this directory
    /// [default: `rules.yaml`, else `/etc/hookyard/rules.yaml`].
    rules: Option<PathBuf>,
    /// Output format.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Show the secrets instead of the summary: their expiry, and their last match according to the
    /// store of the rules. A daemon may be running on it.
    #[arg(long, conflicts_with_all = ["offline", "running"])]
    secrets: bool,
    /// Also read variables from this file, as the service does: `NAME=value` lines [default:
    /// `/etc/hookyard/environment`, if the rules are in `/etc/hookyard` and it can be read].
    #[arg(long, value_name = "FILE")]
    env_file: Option<PathBuf>,
    /// Do not access this machine: no secrets, variables, programs, folders or users.
    #[arg(long, conflicts_with_all = ["env_file", "running"])]
    offline: bool,
    /// Let the running daemon check the file as a replacement of its own: with its environment, its
    /// user and its access rights. For root and the daemon's user.
    #[arg(long, conflicts_with_all = ["env_file", "offline"])]
    running: bool,
    /// Also connect to the server of the store, and say what it promises. Nothing is changed there.
    #[arg(long, conflicts_with_all = ["secrets", "offline", "running"])]
    connect: bool,
}

pub fn run(arguments: &Arguments) -> u8 {
    let (path, text) = match read(arguments) {
        Ok(read) => read,
        Err(code) => return code,
    };
    let text = match text {
        Ok(text) => text,
        Err(diagnostics) => return print_result(arguments, &path, &naming("check RULES", diagnostics), None),
    };
    if arguments.running {
        return running::run(&path, text, arguments.format);
    }
    if arguments.offline {
        let Checked { diagnostics, summary } = config::check_offline(&path, text);
        return print_result(arguments, &path, &diagnostics, summary);
    }
    let environment = match environment::of(&path, arguments.env_file.as_deref()) {
        Ok(environment) => environment,
        Err(message) => return fail(&message),
    };
    match config::load_text(&path, text, environment) {
        Ok(loaded) if arguments.secrets => {
            if !loaded.warnings.is_empty() {
                complain_styled(&loaded.warnings.render(coloured(&std::io::stderr())));
            }
            secrets::run(&path, &loaded.rules, arguments.format, YES)
        }
        Ok(mut loaded) => {
            if path.exists() {
                waiting::check(&path, &loaded.rules, &mut loaded.warnings);
            }
            if arguments.connect
                && let Err(message) = connect::check(&loaded.rules, &mut loaded.warnings)
            {
                return fail(&message);
            }
            let summary = (loaded.rules.endpoints.len(), loaded.rules.names.len());
            print_result(arguments, &path, &loaded.warnings, Some(summary))
        }
        Err(diagnostics) => print_result(arguments, &path, &diagnostics, None),
    }
}

/// A rules file to check: its path, and its text or the reason why it cannot be read.
type Input = (PathBuf, Result<String, Diagnostics>);

/// Reads the rules file to check. If standard input cannot be read, returns the exit code.
fn read(arguments: &Arguments) -> Result<Input, u8> {
    if arguments.rules.as_deref() != Some(Path::new("-")) {
        let path = rules_path(arguments.rules.as_ref());
        let text = config::read(&path).map_err(|diagnostic| [diagnostic].into_iter().collect());
        return Ok((path, text));
    }
    let mut bytes = Vec::new();
    let limit = u64::try_from(MAX_TEXT).unwrap_or(u64::MAX).saturating_add(1);
    let read = std::io::stdin().lock().take(limit).read_to_end(&mut bytes);
    read.map_err(|error| fail(&format!("cannot read standard input: {error}")))?;
    // One byte over the limit is enough for the YAML reader to report the size.
    let text =
        String::from_utf8(bytes).map_err(|error| fail(&format!("standard input is not UTF-8: {error}")))?;
    Ok((PathBuf::from("<stdin>"), Ok(text)))
}

/// Prints the result. Returns the exit code.
fn print_result(
    arguments: &Arguments,
    path: &Path,
    diagnostics: &Diagnostics,
    summary: Option<(usize, usize)>,
) -> u8 {
    let text = match arguments.format {
        Format::Json => escape::text(&json(diagnostics, summary).to_string()).into_owned(),
        Format::Text => text(path, diagnostics, summary),
    };
    say_styled(&text, code(diagnostics, summary.is_some()))
}

/// Returns the exit code. Something missing on this machine counts as "no".
fn code(diagnostics: &Diagnostics, loads: bool) -> u8 {
    if !config::was_read(diagnostics) {
        UNKNOWN
    } else if loads && diagnostics.count(Severity::Unavailable) == 0 {
        YES
    } else {
        NO
    }
}

/// Formats the result as text.
fn text(path: &Path, diagnostics: &Diagnostics, summary: Option<(usize, usize)>) -> String {
    let mut text = String::new();
    if !diagnostics.is_empty() {
        text = format!("{}\n\n", diagnostics.render(coloured(&std::io::stdout())));
    }
    let counts = DiagnosticCounts {
        errors: diagnostics.errors(),
        warnings: diagnostics.count(Severity::Warning),
        notes: diagnostics.count(Severity::Note),
        unavailable: diagnostics.count(Severity::Unavailable),
    };
    text + &conclusion(path, counts, summary)
}

/// Numbers of diagnostics by severity.
#[derive(Clone, Copy)]
struct DiagnosticCounts {
    errors: usize,
    warnings: usize,
    notes: usize,
    unavailable: usize,
}

/// Formats the last line of the text.
fn conclusion(path: &Path, counts: DiagnosticCounts, summary: Option<(usize, usize)>) -> String {
    let path = path.display().to_string();
    let path = escape::line(&path);
    let Some((endpoints, rules)) = summary else {
        return format!("{path} does not load: {}", counted(counts.errors, "error"));
    };
    let missing = match counts.unavailable {
        0 => String::new(),
        1 => ", 1 thing missing on this machine".to_owned(),
        count => format!(", {count} things missing on this machine"),
    };
    let notes = match counts.notes {
        0 => String::new(),
        count => format!(", {}", counted(count, "note")),
    };
    format!(
        "{path} loads: {}, {}, {}{notes}{missing}",
        counted(endpoints, "endpoint"),
        counted(rules, "rule"),
        counted(counts.warnings, "warning")
    )
}

/// Formats the result as a JSON object.
fn json(diagnostics: &Diagnostics, summary: Option<(usize, usize)>) -> serde_json::Value {
    serde_json::json!({
        "loads": summary.is_some(),
        "endpoints": summary.map(|(endpoints, _)| endpoints),
        "rules": summary.map(|(_, rules)| rules),
        "diagnostics": diagnostics.iter().map(Diagnostic::to_json).collect::<Vec<_>>(),
    })
}
