//! Work of compiling a regular expression, and the reason why one does not compile.
//!
//! The total of all patterns is bounded in `patterns.rs`.

use regex_syntax::hir::{Class, Hir, HirKind};

/// Work of a class of characters beside its ranges.
const WORK_PER_CLASS: u64 = 16;

/// The work of compiling an expression: its characters and ranges, with repetitions written out.
/// The parser bounds the nesting.
pub fn work(hir: &Hir) -> u64 {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => 1,
        HirKind::Literal(literal) => literal.0.len() as u64,
        HirKind::Class(Class::Unicode(class)) => WORK_PER_CLASS + class.ranges().len() as u64,
        HirKind::Class(Class::Bytes(class)) => WORK_PER_CLASS + class.ranges().len() as u64,
        HirKind::Repetition(repetition) => {
            let times = u64::from(repetition.max.unwrap_or(repetition.min.saturating_add(1)).max(1));
            work(&repetition.sub).saturating_mul(times)
        }
        HirKind::Capture(capture) => work(&capture.sub),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => {
            parts.iter().map(work).fold(0, u64::saturating_add)
        }
    }
}

/// The last line of an error. The first lines draw the pattern, which the diagnostic shows itself.
pub fn last_line(error: &str) -> String {
    let last = error.lines().last().unwrap_or_default();
    last.trim_start_matches("error: ").to_owned()
}

/// The reason why an expression does not compile.
pub fn reason(error: &regex::Error) -> String {
    match error {
        regex::Error::CompiledTooBig(_) => "it compiles to something too large".to_owned(),
        other => last_line(&other.to_string()),
    }
}
