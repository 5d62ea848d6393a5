//! Diagnostics: problems in a rules file, with their positions.
//!
//! A [`Diagnostic`] describes one problem at one position: a stable code, the words, the position
//! and a hint. [`Diagnostics`] collects them, so that a reader reports all problems at once. This
//! module knows how a diagnostic is printed. The module that reads the YAML decides what deserves
//! one.

mod entry;
mod list;
mod origin;
mod similar;

pub use entry::{Diagnostic, Severity};
pub use list::{Diagnostics, MAX_DIAGNOSTICS};
pub use origin::{Origin, Source};
pub use similar::did_you_mean;
