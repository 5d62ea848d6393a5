//! The tables of all keys of the rules file, from `keys.yaml`, and of the test file, from
//! `test_keys.yaml`.
//!
//! The tests prove that the parser accepts exactly these keys, that every example loads, and that
//! every default is what applies if the key is left out.

mod kind;
mod page;
#[cfg(test)]
pub mod testing;
#[cfg(test)]
mod tests;

use std::sync::LazyLock;

use serde::de::{Deserialize, Deserializer, Error};
use serde_yaml::Value;

pub use kind::KeyType;
pub use page::{default as default_of, flow, page, test_page};

/// The table of the rules file.
const TABLE: &str = include_str!("keys.yaml");
/// The table of the test file.
const TEST_TABLE: &str = include_str!("test_keys.yaml");

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    mappings: Vec<Mapping>,
}

/// A mapping of the rules file with its keys.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mapping {
    /// Name by which types refer to the mapping.
    pub id: String,
    /// Begin of the headings of its keys. Empty for the file itself.
    pub path: String,
    /// Description of the mapping.
    pub says: String,
    /// Rules file that holds the mapping, for tests.
    pub frame: Value,
    /// Position of the mapping in the frame.
    pub at: Vec<Value>,
    /// Type of the values under all other keys, which are names. `None`: there are no other keys.
    pub others: Option<KeyType>,
    /// Groups of keys of which exactly one is given.
    #[serde(default)]
    pub exactly_one: Vec<Vec<String>>,
    /// Groups of keys of which at least one is given.
    #[serde(default)]
    pub at_least_one: Vec<Vec<String>>,
    #[serde(deserialize_with = "in_order")]
    pub keys: Vec<(String, Key)>,
}

/// A key of a mapping.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    #[serde(rename = "type")]
    pub kind: KeyType,
    /// Value if the key is left out.
    pub default: Option<Value>,
    /// Description of the default, if it is not one value.
    pub default_text: Option<String>,
    #[serde(default)]
    pub required: bool,
    /// Keys of which one stands in place of this required one.
    #[serde(default)]
    pub unless: Vec<String>,
    /// Least and greatest number of items, if the value is a list.
    pub items: Option<(usize, usize)>,
    /// Type of the names, if the value is a mapping of names to values.
    pub names: Option<KeyType>,
    /// Regular expression that the text matches, in the syntax that ECMA-262 and `regex` share.
    pub pattern: Option<String>,
    /// True for a key that the parser knows and never accepts.
    #[serde(default)]
    pub unusable: bool,
    /// Description of the key.
    pub says: String,
    pub example: Value,
    #[serde(default)]
    pub in_force: InForce,
    /// Version of hookyard in which the key came.
    #[serde(default = "first")]
    pub since: String,
    /// Other keys that the example needs, for tests. A null value takes a key away.
    #[serde(default)]
    pub with: serde_yaml::Mapping,
    /// Frame of the key, if that of the mapping does not fit.
    pub frame: Option<Value>,
}

/// Time at which a changed value takes effect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InForce {
    #[default]
    Reload,
    Restart,
    /// In a file that the daemon does not read.
    Never,
}

fn first() -> String {
    "0.1".to_owned()
}

/// Reads a mapping of names to keys in the order of the file.
fn in_order<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<(String, Key)>, D::Error> {
    let mapping = serde_yaml::Mapping::deserialize(deserializer)?;
    let read = |(name, value): (Value, Value)| {
        let name: String = serde_yaml::from_value(name).map_err(D::Error::custom)?;
        let key =
            serde_yaml::from_value(value).map_err(|error| D::Error::custom(format!("{name}: {error}")))?;
        Ok((name, key))
    };
    mapping.into_iter().map(read).collect()
}

#[expect(
    clippy::expect_used,
    reason = "the tables are part of the program, and a test reads them"
)]
fn read(table: &str) -> Vec<Mapping> {
    let table: Table = serde_yaml::from_str(table).expect("a table of keys");
    table.mappings
}

static MAPPINGS: LazyLock<Vec<Mapping>> = LazyLock::new(|| read(TABLE));
static TEST_MAPPINGS: LazyLock<Vec<Mapping>> = LazyLock::new(|| {
    let mut mappings = read(TEST_TABLE);
    let keys = mappings.iter_mut().flat_map(|mapping| &mut mapping.keys);
    keys.for_each(|(_, key)| key.in_force = InForce::Never);
    mappings
});

/// Returns all mappings of the rules file, in the order of the reference.
pub fn mappings() -> &'static [Mapping] {
    &MAPPINGS
}

/// Returns all mappings of the test file, in the order of the reference.
pub fn test_mappings() -> &'static [Mapping] {
    &TEST_MAPPINGS
}
