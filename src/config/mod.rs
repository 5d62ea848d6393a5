//! Loader of rules files: returns a [`RuleSet`](crate::rules::RuleSet), or all diagnostics.
//!
//! `serve`, `check`, `explain` and every reload call [`load()`], so `check` reports exactly what
//! `serve` would. `document` is the file's shape, `compile` gives it meaning, and `reload`
//! activates the next version. This module is the only reader of the environment.

mod acme;
mod action_names;
mod actions;
mod admin;
mod check;
mod compile;
mod concurrency;
mod copy;
mod cross_checks;
mod debounce;
mod declared_paths;
mod defaults;
mod document;
mod early_answers;
mod endpoint;
mod endpoints;
mod environment;
mod event_name;
mod expectation;
mod for_each;
mod include;
mod limit;
mod lint;
mod listen;
mod listen_conflicts;
mod load;
mod masking;
mod node;
mod paths;
mod pretended;
mod pretended_values;
mod reads;
mod reload;
mod replays;
mod respond;
mod rule;
mod rule_checks;
mod rule_source;
mod settings;
mod shared;
mod source;
mod store;
mod terms;
mod tls;
mod unpack;
mod warnings;

pub use check::{Checked, check_in_place_of, check_offline};
pub use copy::{RulesCopy, load_copy};
pub use declared_paths::{AdminSocket, DeclaredPaths, DeclaredStore, declared_paths};
pub use environment::{environment, variable};
pub use load::{Loaded, load, load_in_place_of, load_text};
pub use paths::{Layout, socket_path, state_folder, store_of, store_place};
pub use pretended::{PretendedRules, load_pretended};
pub use reload::{Cause, Gate, REST, Reload, Reloader, restart_needed};
pub use source::{is_missing, read, was_read};
pub use store::{DEFAULT_SCHEMA, is_server, target_of};
pub use warnings::OF_RULES as WARNINGS_OF_RULES;
