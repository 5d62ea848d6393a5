//! Table of the warnings and notes that a rule may allow.

use crate::config::WARNINGS_OF_RULES;
use crate::reference::markdown::table;

/// Returns the codes with their meaning.
pub fn codes() -> String {
    let rows = WARNINGS_OF_RULES
        .iter()
        .map(|(code, meaning)| [format!("`{code}`"), (*meaning).to_owned()]);
    table(["code", "meaning"], rows)
}
