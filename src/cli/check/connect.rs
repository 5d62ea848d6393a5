//! `hookyard check --connect`: what the server of the store promises. Nothing is changed there.

use crate::base::diagnostic::{Diagnostic, Diagnostics, Severity};
use crate::rules::RuleSet;
use crate::store::StoreError;
use crate::store::postgres::{ServerReport, connect_check};

/// Code of all findings about a server.
const CODE: &str = "store";

/// Connects to the server of the store, and adds what it says. The error is the reason why nothing is
/// known.
pub(super) fn check(rules: &RuleSet, diagnostics: &mut Diagnostics) -> Result<(), String> {
    let Some(server) = &rules.store.server else {
        diagnostics.push(note(
            "the store is a file: there is no server to connect to".to_owned(),
        ));
        return Ok(());
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start the runtime: {error}"))?;
    let target = &server.target;
    match runtime.block_on(connect_check(target)) {
        Ok(report) => diagnostics.extend(found(&report)),
        Err(error) => diagnostics.push(not_reached(&format!("`{target}`"), &error)),
    }
    Ok(())
}

/// The findings of a server that answers.
fn found(report: &ServerReport) -> Vec<Diagnostic> {
    let tables = match report.schema {
        Some(version) => format!("tables of version {version}"),
        None => "no tables yet: `hookyard serve` makes them".to_owned(),
    };
    let refusal = report.refusal.as_ref().map(|why| Diagnostic {
        severity: Severity::Unavailable,
        ..Diagnostic::unplaced(CODE, why)
    });
    let warnings = report.warnings.iter().map(|why| Diagnostic {
        severity: Severity::Warning,
        ..Diagnostic::unplaced(CODE, why)
    });
    let first = note(format!("{report}: {tables}"));
    [first].into_iter().chain(refusal).chain(warnings).collect()
}

fn not_reached(place: &str, error: &StoreError) -> Diagnostic {
    Diagnostic {
        severity: Severity::Unavailable,
        ..Diagnostic::unplaced(CODE, format!("{place}: {error}"))
    }
}

fn note(message: String) -> Diagnostic {
    Diagnostic {
        severity: Severity::Note,
        ..Diagnostic::unplaced(CODE, message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_tells_its_version_and_what_is_unsafe() {
        let report = ServerReport {
            version: "15.18".to_owned(),
            host: "db:5432".to_owned(),
            is_replicated: false,
            standbys: Vec::new(),
            schema: None,
            warnings: vec!["a warning".to_owned()],
            refusal: Some("a refusal".to_owned()),
        };
        let found = found(&report);
        let lines: Vec<_> = found
            .iter()
            .map(|one| (one.severity, one.message.as_str()))
            .collect();
        assert_eq!(
            lines,
            [
                (
                    Severity::Note,
                    "PostgreSQL 15.18 at db:5432: no tables yet: `hookyard serve` makes them"
                ),
                (Severity::Unavailable, "a refusal"),
                (Severity::Warning, "a warning"),
            ]
        );
    }
}
