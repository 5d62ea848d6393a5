//! The environment of this process. No other module reads it.

use std::ffi::OsString;

pub fn environment() -> Vec<(OsString, OsString)> {
    std::env::vars_os().collect()
}

/// Returns an environment variable, if it is set and not empty.
#[expect(clippy::disallowed_methods, reason = "this is the door to the environment")]
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
