//! `hookyard check --running`: the daemon checks the file, with its own environment and rights.
//!
//! The output and the exit code are the same as without `--running`. `admin/check.rs` is the other
//! end.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{DiagnosticCounts, NO, YES, conclusion};
use crate::admin::{Judgement, Question};
use crate::cli::ask::{NotAnswered, ask};
use crate::cli::location::StoreLocation;
use crate::cli::{Format, complain, fail, say, status};

/// Hint for naming another daemon.
const HINT: &str = "name the daemon's own rules file: `hookyard check --running RULES`";

/// Sends `text`, which is called `path`, to the running daemon for a check.
pub(super) fn run(path: &Path, text: String, format: Format) -> u8 {
    let socket = match socket_for(path) {
        Ok(socket) => socket,
        Err(code) => return code,
    };
    let question = Question {
        shown: path.display().to_string(),
        text,
    };
    match ask::<_, Judgement>(&socket, "POST /api/v1/check", &question) {
        Ok(judgement) => tell(path, &judgement, format),
        Err(error) => {
            let code = fail(&error.describe(&socket, "judge it"));
            if matches!(error, NotAnswered::Absent(_)) {
                complain("without `--running`, `hookyard check` needs no daemon");
            }
            code
        }
    }
}

/// The socket of the daemon that serves this file, if there is one. Otherwise that of the daemon of
/// the default rules.
fn socket_for(path: &Path) -> Result<PathBuf, u8> {
    let usual = StoreLocation::of_rules(None);
    if path.exists()
        && let Ok(socket) = status::socket_of(&StoreLocation::of_rules(Some(path)), HINT)
        && (socket.exists() || usual.rules_of_daemon().is_none())
    {
        return Ok(socket);
    }
    status::socket_of(&usual, HINT)
}

/// Prints the daemon's result. Returns the exit code.
fn tell(path: &Path, judgement: &Judgement, format: Format) -> u8 {
    let Judgement {
        in_place_of,
        summary,
        diagnostics,
        rendered,
    } = judgement;
    let count = |severity: &str| {
        let same = diagnostics
            .iter()
            .filter(|diagnostic| diagnostic.get("severity").and_then(Value::as_str) == Some(severity));
        same.count()
    };
    let counts = DiagnosticCounts {
        errors: count("error"),
        warnings: count("warning"),
        notes: count("note"),
        unavailable: count("unavailable"),
    };
    let text = match format {
        Format::Json => json!({
            "loads": summary.is_some(),
            "endpoints": summary.map(|(endpoints, _)| endpoints),
            "rules": summary.map(|(_, rules)| rules),
            "diagnostics": diagnostics,
            "in_place_of": in_place_of,
        })
        .to_string(),
        Format::Text => {
            let before = if rendered.is_empty() {
                String::new()
            } else {
                format!("{rendered}\n\n")
            };
            let last = conclusion(path, counts, *summary);
            format!("{before}{last} (judged by the daemon of {in_place_of})")
        }
    };
    say(
        &text,
        if summary.is_some() && counts.unavailable == 0 {
            YES
        } else {
            NO
        },
    )
}
