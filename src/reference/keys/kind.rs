//! Types of keys, as `keys.yaml` writes them.
//!
//! ```text
//! type   = choice (" | " choice)*                  any of them
//! choice = "one or many " item | "list of " item | "map of " item
//!        | "mapping " ID | "integer " MIN ".." MAX | "word " WORD (", " WORD)* | NAME
//! item   = "(" type ")"
//! ```

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error};

/// Type of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyType {
    Text,
    Boolean,
    /// Whole number in this range.
    Integer(i128, i128),
    /// `90s`, `10m`, `7d`.
    Duration,
    /// `64KiB`, `1MiB`, or a number of bytes.
    Size,
    /// `10/s`, `60/m`, `500/h`.
    Rate,
    /// One of these words.
    Word(Vec<String>),
    /// `env:NAME`, `file:PATH`, `credential:NAME`, or the secret itself.
    Secret,
    /// A path to a PEM file, or a secret that holds its content.
    SecretFile,
    Path,
    /// Text with `{{ … }}`.
    Template,
    Url,
    /// `HOST:PORT`, `unix:/PATH` or `systemd`.
    Address,
    /// A network or an address.
    Network,
    /// Name of a header.
    Header,
    /// `JSONPath` that selects one value.
    JsonPath,
    /// `JSONPath` that selects any number of values.
    JsonPaths,
    /// Permissions in octal digits, in quotes.
    Mode,
    /// A day or an RFC 3339 instant.
    Date,
    /// `match:`.
    Condition,
    /// Operators of one condition, such as `{contains: x}`.
    Operators,
    /// Any value.
    Any,
    /// Name of a scheme that the file defines.
    OwnScheme,
    /// A key without a value.
    Nothing,
    /// Mapping with this id.
    Mapping(String),
    /// Mapping of any names to values of this type.
    MapOf(Box<Self>),
    List(Box<Self>),
    /// A value, or a list of values.
    OneOrMany(Box<Self>),
    /// Any of these types.
    Either(Vec<Self>),
}

impl KeyType {
    /// Parses a type.
    pub fn parse(text: &str) -> Result<Self, String> {
        let choices = split(text);
        if choices.len() > 1 {
            let choices = choices.into_iter().map(Self::parse);
            return choices.collect::<Result<_, _>>().map(Self::Either);
        }
        let item = |text: &str| {
            let inner = text.strip_prefix('(').and_then(|text| text.strip_suffix(')'));
            let inner = inner.ok_or_else(|| format!("`{text}` is not in parentheses"))?;
            Self::parse(inner).map(Box::new)
        };
        if let Some(rest) = text.strip_prefix("one or many ") {
            return item(rest).map(Self::OneOrMany);
        }
        if let Some(rest) = text.strip_prefix("list of ") {
            return item(rest).map(Self::List);
        }
        if let Some(rest) = text.strip_prefix("map of ") {
            return item(rest).map(Self::MapOf);
        }
        if let Some(id) = text.strip_prefix("mapping ") {
            return Ok(Self::Mapping(id.to_owned()));
        }
        if let Some(words) = text.strip_prefix("word ") {
            return Ok(Self::Word(words.split(", ").map(str::to_owned).collect()));
        }
        if let Some(range) = text.strip_prefix("integer ") {
            let bounds = range
                .split_once("..")
                .and_then(|(least, most)| Some((least.parse().ok()?, most.parse().ok()?)));
            let (least, most) = bounds.ok_or_else(|| format!("`{range}` is not a range"))?;
            return Ok(Self::Integer(least, most));
        }
        Ok(match text {
            "text" => Self::Text,
            "boolean" => Self::Boolean,
            "duration" => Self::Duration,
            "size" => Self::Size,
            "rate" => Self::Rate,
            "secret" => Self::Secret,
            "secret file" => Self::SecretFile,
            "path" => Self::Path,
            "template" => Self::Template,
            "url" => Self::Url,
            "address" => Self::Address,
            "network" => Self::Network,
            "header" => Self::Header,
            "jsonpath" => Self::JsonPath,
            "jsonpath of many" => Self::JsonPaths,
            "mode" => Self::Mode,
            "date" => Self::Date,
            "condition" => Self::Condition,
            "operators" => Self::Operators,
            "any" => Self::Any,
            "own scheme" => Self::OwnScheme,
            "nothing" => Self::Nothing,
            _ => return Err(format!("unknown type `{text}`")),
        })
    }

    /// Types that this type is made of, itself included.
    pub fn parts(&self) -> Vec<&Self> {
        let mut parts = vec![self];
        match self {
            Self::MapOf(inner) | Self::List(inner) | Self::OneOrMany(inner) => parts.extend(inner.parts()),
            Self::Either(choices) => parts.extend(choices.iter().flat_map(Self::parts)),
            _ => {}
        }
        parts
    }
}

/// Splits a type at the bars outside of parentheses.
fn split(text: &str) -> Vec<&str> {
    let mut depth = 0_usize;
    let mut from = 0;
    let mut choices = Vec::new();
    for (at, letter) in text.char_indices() {
        match letter {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            '|' if depth == 0 => {
                choices.extend(text.get(from..at).map(str::trim));
                from = at + 1;
            }
            _ => {}
        }
    }
    choices.extend(text.get(from..).map(str::trim));
    choices
}

/// The type in words, in Markdown.
impl fmt::Display for KeyType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = match self {
            Self::Integer(least, most) if *most > 1 << 40 && *least >= 0 => {
                return write!(f, "whole number, at least {least}");
            }
            Self::Integer(least, most) if *most > 1 << 40 => {
                return write!(f, "whole number of 64 bits ({least} to {most})");
            }
            Self::Integer(least, most) => return write!(f, "whole number, {least} to {most}"),
            Self::Word(words) => {
                let words: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
                return f.write_str(&words.join(", "));
            }
            Self::Mapping(id) => {
                let mut all = super::mappings().iter().chain(super::test_mappings());
                let path = all.find(|mapping| mapping.id == *id);
                let path = path.map_or("?", |mapping| mapping.path.as_str());
                return write!(f, "mapping ([{path}](#{}))", super::page::anchor(path));
            }
            Self::MapOf(inner) => return write!(f, "mapping of names to: {inner}"),
            Self::List(inner) => return write!(f, "list of: {inner}"),
            Self::OneOrMany(inner) => return write!(f, "{inner}; or a list of them"),
            Self::Either(choices) => {
                let choices: Vec<String> = choices.iter().map(Self::to_string).collect();
                return f.write_str(&choices.join(", or "));
            }
            Self::Text => "text",
            Self::Boolean => "`true` or `false`",
            Self::Duration => "[duration](#how-are-values-written)",
            Self::Size => "[size](#how-are-values-written)",
            Self::Rate => "[rate](#how-are-values-written)",
            Self::Secret => "[secret](#how-are-values-written)",
            Self::SecretFile => "path of a PEM file, or a [secret](#how-are-values-written)",
            Self::Path => "path",
            Self::Template => "[template](templates.md)",
            Self::Url => "URL",
            Self::Address => "address",
            Self::Network => "network or address",
            Self::Header => "name of a header",
            Self::JsonPath => "JSONPath of one value",
            Self::JsonPaths => "JSONPath",
            Self::Mode => "octal digits in quotes",
            Self::Date => "day or RFC 3339 instant",
            Self::Condition => "[conditions](conditions.md)",
            Self::Operators => "[operators](conditions.md)",
            Self::Any => "any value",
            Self::Nothing => "nothing",
            Self::OwnScheme => "name of a [scheme of your own](senders.md#define-your-own-scheme)",
        };
        f.write_str(words)
    }
}

impl<'de> Deserialize<'de> for KeyType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(D::Error::custom)
    }
}
