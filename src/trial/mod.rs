//! Trials of rules: the tests of a `rules.test.yaml`, for `hookyard test`.
//!
//! [`Suite::load`] reads a test file and its rules, and [`Suite::run`] runs the tests. A request is
//! signed (`sender.rs`) and takes the real way: verification, decoding, matching, the durable write,
//! the dispatcher with its groups, debouncing and retries (`world.rs`). The store is in memory, the
//! clock is moved by hand, and actions are rendered but not performed (`attempts.rs`). Nothing is
//! executed, sent, written or looked up, and no real secret is read.

mod accept;
mod attempts;
mod captured;
mod case;
mod certificate;
mod compare;
mod compare_actions;
mod coverage;
mod expect;
mod failure;
mod found;
mod outcomes;
mod read;
mod request;
mod run;
mod sender;
mod signer;
mod suite;
mod text_test;
mod world;
pub mod yaml;

pub use accept::{Accepted, accept};
pub use captured::Captured;
pub use case::{MAX_STEPS, MAX_TESTS, TestCase};
pub use coverage::{Coverage, RuleCoverage};
pub use failure::Failure;
pub use run::{SuiteResult, TestResult};
pub use suite::{NotLoaded, Suite};
