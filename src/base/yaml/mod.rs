//! YAML text with a source position for every value.
//!
//! [`Document::parse`] parses the text twice: with `serde_yaml` for the values, and as events for
//! positions, duplicate keys and unknown tags. A [`Node`] is a value with its position.
//! [`Node::read`] deserializes a node into any serde type and reports **all** errors in it at once.
//! The meaning of the values is left to the module that owns them.
//!
//! Bounds: [`MAX_TEXT`], [`MAX_DEPTH`], [`MAX_NODES`], [`MAX_EXPANDED`], [`MAX_DIRECTIVES`], and
//! `serde_yaml`'s own limit on repeated aliases.

mod extents;
mod json_text;
mod merge;
mod read;
mod values;
mod walk;

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use serde_yaml::Value;

pub use self::extents::extents;
use self::values::FirstWins;
pub use self::walk::SizeCount;
use self::walk::Walk;

use crate::base::diagnostic::{Diagnostic, Diagnostics, Origin, Source, did_you_mean};

/// Maximum size of a text, in bytes.
pub const MAX_TEXT: usize = 16 << 20;
/// Maximum nesting depth of mappings and sequences.
pub const MAX_DEPTH: usize = 64;
/// Maximum number of values in a text, counting an alias as all values that it stands for.
pub const MAX_NODES: usize = 1 << 20;
/// Maximum size of keys and values in bytes, counting an alias as the text that it stands for.
pub const MAX_EXPANDED: usize = 2 * MAX_TEXT;
/// Maximum number of lines that begin with `%`.
pub const MAX_DIRECTIVES: usize = 8;

/// A parsed text.
#[derive(Debug)]
pub struct Document {
    source: Arc<Source>,
    value: Value,
    position: Position,
}

/// The position of a value, and of its children. An alias has the children of what it stands for, so
/// that an error inside it is reported where it is written.
#[derive(Clone, Debug, Default)]
struct Position {
    range: Range<usize>,
    key: Option<Range<usize>>,
    children: Children,
}

/// The positions of the children of a value, shared by its aliases.
#[derive(Clone, Debug, Default)]
enum Children {
    #[default]
    None,
    Mapping(Arc<[(String, Position)]>),
    Sequence(Arc<[Position]>),
}

impl Position {
    /// The position under `key`, which may stand in a merged mapping.
    fn child(&self, key: &str) -> Option<&Self> {
        let Children::Mapping(children) = &self.children else {
            return None;
        };
        let named = |wanted: &str| children.iter().find(|(name, _)| name == wanted);
        if let Some((_, position)) = named(key) {
            return Some(position);
        }
        let (_, merged) = named(merge::MERGE)?;
        match &merged.children {
            Children::Sequence(items) => items.iter().find_map(|item| item.child(key)),
            _ => merged.child(key),
        }
    }
}

/// A value with its position.
#[derive(Clone, Copy)]
pub struct Node<'d> {
    source: &'d Arc<Source>,
    value: &'d Value,
    position: &'d Position,
}

impl Document {
    /// Parses a text. Errors of form (syntax, duplicate keys, unknown tags, depth, size) are added
    /// to `diagnostics`. `None` if nothing could be read.
    pub fn parse(source: Source, diagnostics: &mut Diagnostics) -> Option<Self> {
        Self::parse_after(source, &mut SizeCount::default(), diagnostics)
    }

    /// Parses a text that shares its bounds with others. `read` is the size of those before it, and
    /// then of all.
    pub fn parse_after(
        mut source: Source,
        read: &mut SizeCount,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        // Some editors begin a file with a byte order mark, which is not part of the text.
        if source.text.starts_with('\u{feff}') {
            source.text.remove(0);
        }
        let source = Arc::new(source);
        if source.text.len() > MAX_TEXT {
            diagnostics.push(Diagnostic::error(
                Origin::new(&source, 0..0),
                "too-large",
                format!(
                    "the file has {} bytes; at most {MAX_TEXT} are read",
                    source.text.len()
                ),
            ));
            return None;
        }
        let position = Walk::new(&source, read).read(diagnostics)?;
        let value = match serde_yaml::from_str::<FirstWins>(&source.text) {
            Ok(FirstWins(value)) => value,
            Err(error) => {
                let at = error.location().map_or(0, |location| location.index());
                diagnostics.push(Diagnostic::error(
                    Origin::new(&source, at..at + 1),
                    "syntax",
                    error.to_string(),
                ));
                return None;
            }
        };
        let mut document = Self {
            source,
            value,
            position,
        };
        merge::check(document.root(), diagnostics);
        merge::apply(&mut document.value);
        Some(document)
    }

    /// The document without the keys of its root that `is_ignored` says.
    #[must_use]
    pub fn without_keys(mut self, is_ignored: impl Fn(&str) -> bool) -> Self {
        if let Value::Mapping(mapping) = &mut self.value {
            mapping.retain(|key, _| !key.as_str().is_some_and(&is_ignored));
        }
        self
    }

    /// The document with its places in another text of the same length, which diagnostics show.
    #[must_use]
    pub fn shown_as(mut self, source: Arc<Source>) -> Self {
        if source.text.len() == self.source.text.len() {
            self.source = source;
        }
        self
    }

    /// The whole text, as it was read.
    pub fn text(&self) -> &str {
        &self.source.text
    }

    pub fn root(&self) -> Node<'_> {
        Node {
            source: &self.source,
            value: &self.value,
            position: &self.position,
        }
    }
}

impl<'d> Node<'d> {
    pub fn value(&self) -> &'d Value {
        self.value
    }

    pub fn as_str(&self) -> Option<&'d str> {
        self.value.as_str()
    }

    /// The position to report: a scalar's own, or the key of a mapping or list, because the reader
    /// looks there.
    pub fn origin(&self) -> Origin {
        let range = match (&self.position.children, &self.position.key) {
            (Children::None, _) | (_, None) => &self.position.range,
            (_, Some(key)) => key,
        };
        Origin::new(self.source, range.clone())
    }

    /// The position of the node's key, or of the node itself if it has no key.
    pub fn key_origin(&self) -> Origin {
        Origin::new(
            self.source,
            self.position.key.as_ref().unwrap_or(&self.position.range).clone(),
        )
    }

    /// The path of the file, as the user gave it.
    pub fn path(&self) -> &'d Path {
        &self.source.path
    }

    /// The bytes of a scalar in the text, or the beginning of a mapping or list.
    pub fn range(&self) -> Range<usize> {
        self.position.range.clone()
    }

    /// The text as written in the file; for an alias, its name.
    pub fn written(&self) -> &'d str {
        let range = self.position.range.clone();
        self.source.text.get(range).unwrap_or_default()
    }

    /// The value under `key`, if this is a mapping and has it.
    pub fn get(&self, key: &str) -> Option<Node<'d>> {
        Some(Node {
            source: self.source,
            value: self.value.as_mapping()?.get(key)?,
            position: self.position.child(key).unwrap_or(self.position),
        })
    }

    /// The value under `key`, if it is present and not null. A null value is reported by
    /// [`Self::read`] of the mapping.
    pub fn given(&self, key: &str) -> Option<Node<'d>> {
        self.get(key).filter(|node| !node.value().is_null())
    }

    /// A diagnostic if `key` is missing. `None` if another key looks like a misspelling, which is
    /// reported itself.
    pub fn missing(&self, key: &str) -> Option<Diagnostic> {
        let entries = self.entries();
        let is_misspelled = |typed: &str| typed == key || did_you_mean(typed, [key]).is_some();
        let missing = !entries.iter().any(|(typed, _)| is_misspelled(typed));
        missing.then(|| self.error("missing-key", format!("`{key}` is missing")))
    }

    pub fn is_mapping(&self) -> bool {
        self.value.is_mapping()
    }

    /// Keys and values in the order of the text; empty if the node is not a mapping.
    pub fn entries(&self) -> Vec<(&'d str, Node<'d>)> {
        let Some(mapping) = self.value.as_mapping() else {
            return Vec::new();
        };
        let positions = match &self.position.children {
            Children::Mapping(children) => &**children,
            _ => &[],
        };
        let mut next = positions
            .iter()
            .filter(|(name, _)| name != merge::MERGE)
            .peekable();
        let mut entries = Vec::with_capacity(mapping.len());
        for (key, value) in mapping {
            let Some(key) = key.as_str() else { continue };
            // Both lists are in the order of the text, except for merged keys.
            let position = match next.peek() {
                Some((name, position)) if name == key => {
                    next.next();
                    Some(position)
                }
                _ => self.position.child(key),
            };
            entries.push((
                key,
                Node {
                    source: self.source,
                    value,
                    position: position.unwrap_or(self.position),
                },
            ));
        }
        entries
    }

    /// The items in order; empty if the node is not a sequence.
    pub fn items(&self) -> Vec<Node<'d>> {
        let Some(sequence) = self.value.as_sequence() else {
            return Vec::new();
        };
        let positions = match &self.position.children {
            Children::Sequence(children) => &**children,
            _ => &[],
        };
        let node = |(index, value)| Node {
            source: self.source,
            value,
            position: positions.get(index).unwrap_or(self.position),
        };
        sequence.iter().enumerate().map(node).collect()
    }

    /// The items of a sequence, or the value itself: `secret: x` equals `secret: [x]`.
    pub fn one_or_many(&self) -> Vec<Node<'d>> {
        if self.value.is_sequence() {
            self.items()
        } else {
            vec![*self]
        }
    }

    /// An error at this node.
    pub fn error(&self, code: &'static str, message: impl Into<String>) -> Diagnostic {
        Diagnostic::error(self.origin(), code, message)
    }

    /// A diagnostic for something that this node names and this machine does not have.
    pub fn unavailable(&self, code: &'static str, message: impl Into<String>) -> Diagnostic {
        Diagnostic::unavailable(self.origin(), code, message)
    }

    /// A warning at this node.
    pub fn warning(&self, code: &'static str, message: impl Into<String>) -> Diagnostic {
        Diagnostic::warning(self.origin(), code, message)
    }
}

/// The diagnostic "unknown key `x`", with the closest known name, or all of them.
pub fn unknown<'k>(
    origin: Origin,
    code: &'static str,
    noun: &str,
    typed: &str,
    known: impl IntoIterator<Item = &'k str>,
) -> Diagnostic {
    let known: Vec<&str> = known.into_iter().collect();
    let diagnostic = Diagnostic::error(origin, code, format!("unknown {noun} `{typed}`"));
    let list = known.join(", ");
    match did_you_mean(typed, known.iter().copied()) {
        Some(near) => diagnostic.hint(format!("did you mean `{near}`? known here: {list}")),
        None if known.is_empty() => diagnostic,
        None => diagnostic.hint(format!("known here: {list}")),
    }
}

#[cfg(test)]
mod tests;
