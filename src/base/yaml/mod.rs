//! YAML text with a source position for every value.
//!
//! [`Document::parse`] parses the text twice: with `serde_yaml` for the values, and as events for
//! positions, duplicate keys and unknown tags. A [`Node`] is a value with its position.
//! [`Node::read`] deserializes a node into any serde type and reports **all** errors in it at once.
//! The meaning of the values is left to the module that owns them.
//!
//! Bounds: [`MAX_TEXT`], [`MAX_DEPTH`], [`MAX_NODES`], [`MAX_EXPANDED`], [`MAX_DIRECTIVES`], and
//! `serde_yaml`'s own limit on repeated aliases.

mod merge;
mod read;
mod values;
mod walk;

use std::ops::Range;
use std::sync::Arc;

use serde_yaml::Value;

use self::values::FirstWins;
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
    place: Position,
}

/// The position of a value, and of its children.
#[derive(Debug, Default)]
struct Position {
    range: Range<usize>,
    key: Option<Range<usize>>,
    children: Children,
}

/// The positions of the children of a value.
#[derive(Debug, Default)]
enum Children {
    /// A scalar, or an alias: errors below an alias are reported at the alias.
    #[default]
    None,
    Mapping(Vec<(String, Position)>),
    Sequence(Vec<Position>),
}

/// A value with its position.
#[derive(Clone, Copy)]
pub struct Node<'d> {
    source: &'d Arc<Source>,
    value: &'d Value,
    place: &'d Position,
}

impl Document {
    /// Parses a text. Errors of form (syntax, duplicate keys, unknown tags, depth, size) are added
    /// to `diagnostics`. `None` if nothing could be read.
    pub fn parse(mut source: Source, diagnostics: &mut Diagnostics) -> Option<Self> {
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
        let place = Walk::new(&source).read(diagnostics)?;
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
        let mut document = Self { source, value, place };
        merge::check(document.root(), diagnostics);
        merge::mend(&mut document.value);
        if let Err(error) = document.value.apply_merge() {
            diagnostics.push(Diagnostic::error(
                document.root().origin(),
                "merge",
                error.to_string(),
            ));
            return None;
        }
        Some(document)
    }

    pub fn root(&self) -> Node<'_> {
        Node {
            source: &self.source,
            value: &self.value,
            place: &self.place,
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
        let range = match (&self.place.children, &self.place.key) {
            (Children::None, _) | (_, None) => &self.place.range,
            (_, Some(key)) => key,
        };
        Origin::new(self.source, range.clone())
    }

    /// The position of the node's key, or of the node itself if it has no key.
    pub fn key_origin(&self) -> Origin {
        Origin::new(
            self.source,
            self.place.key.as_ref().unwrap_or(&self.place.range).clone(),
        )
    }

    /// The text as written in the file; for an alias, its name.
    pub fn written(&self) -> &'d str {
        let range = self.place.range.clone();
        self.source.text.get(range).unwrap_or_default()
    }

    /// The value under `key`, if this is a mapping and has it.
    pub fn get(&self, key: &str) -> Option<Node<'d>> {
        let value = self.value.as_mapping()?.get(key)?;
        let place = match &self.place.children {
            Children::Mapping(children) => children
                .iter()
                .find(|(name, _)| name == key)
                .map(|(_, place)| place),
            _ => None,
        };
        Some(Node {
            source: self.source,
            value,
            place: place.unwrap_or(self.place),
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
        let slip = |typed: &str| typed == key || did_you_mean(typed, [key]).is_some();
        let missing = !entries.iter().any(|(typed, _)| slip(typed));
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
        let places = match &self.place.children {
            Children::Mapping(children) => children.as_slice(),
            _ => &[],
        };
        let mut next = places.iter().peekable();
        let mut entries = Vec::with_capacity(mapping.len());
        for (key, value) in mapping {
            let Some(key) = key.as_str() else { continue };
            // Both lists are in the order of the text, except for merged keys.
            let place = match next.peek() {
                Some((name, place)) if name == key => {
                    next.next();
                    Some(place)
                }
                _ => places
                    .iter()
                    .find(|(name, _)| name == key)
                    .map(|(_, place)| place),
            };
            entries.push((
                key,
                Node {
                    source: self.source,
                    value,
                    place: place.unwrap_or(self.place),
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
        let places = match &self.place.children {
            Children::Sequence(children) => children.as_slice(),
            _ => &[],
        };
        let node = |(index, value)| Node {
            source: self.source,
            value,
            place: places.get(index).unwrap_or(self.place),
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
mod tests {
    use std::fmt::Write;

    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct NodeShape {
        name: String,
        count: Option<u8>,
        list: Option<Vec<u8>>,
    }

    fn parse(text: &str) -> (Option<Document>, Diagnostics) {
        let mut diagnostics = Diagnostics::new();
        let document = Document::parse(
            Source {
                path: "r.yaml".into(),
                text: text.into(),
            },
            &mut diagnostics,
        );
        (document, diagnostics)
    }

    fn lines(text: &str) -> Vec<String> {
        let (document, mut diagnostics) = parse(text);
        if let Some(document) = document {
            document.root().read::<NodeShape>(&mut diagnostics);
        }
        diagnostics.sorted().iter().map(Diagnostic::line).collect()
    }

    #[test]
    fn every_fault_is_found_at_its_place() {
        assert_eq!(
            lines("nmae: x\ncount: 300\nlist: [1, x, 2, y]\nother: 1\n"),
            [
                "r.yaml:1:1: unknown key `nmae` (did you mean `name`? known here: name, count, list)",
                "r.yaml:2:8: wrong value: `300`, expected a whole number from 0 to 255",
                "r.yaml:3:11: wrong type: text \"x\", expected a whole number from 0 to 255",
                "r.yaml:3:17: wrong type: text \"y\", expected a whole number from 0 to 255",
                "r.yaml:4:1: unknown key `other` (known here: name, count, list)",
            ]
        );
    }

    #[test]
    fn what_is_missing_is_said_once() {
        assert_eq!(lines("count: 1\n"), ["r.yaml:1:1: `name` is missing"]);
    }

    #[test]
    fn duplicate_keys_tags_and_complex_keys_are_findings() {
        assert_eq!(lines("name: a\nname: b\n"), ["r.yaml:2:1: duplicate key `name`"]);
        assert_eq!(
            lines("name: !env X\n"),
            ["r.yaml:1:7: unknown tag `!env` (quote the value, or remove the tag)"]
        );
        assert_eq!(lines("name: {{ x }}\n").len(), 1);
        assert_eq!(lines("name: a: b\n").len(), 1);
    }

    #[test]
    fn depth_size_and_alias_bombs_are_bounded() {
        assert_eq!(lines(&"[".repeat(300_000)).len(), 1);
        assert!(lines(&format!("{}{}", "[".repeat(70), "]".repeat(70)))[0].contains("nested more than"));
        assert!(lines(&"# \n".repeat(MAX_TEXT))[0].contains("at most"));
        let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for level in 1..12 {
            let below = format!("*a{},", level - 1).repeat(10);
            writeln!(bomb, "a{level}: &a{level} [{below}]").unwrap();
        }
        assert_eq!(lines(&bomb).len(), 1);
    }

    #[test]
    fn an_alias_counts_as_the_bytes_and_values_that_it_stands_for() {
        let few = |aliased: &str, times: usize| {
            let list = vec!["*a"; times].join(", ");
            lines(&format!("name: x\nanchor: &a {aliased}\nlist: [{list}]\n"))
        };
        let text = format!("\"{}\"", "a".repeat(100_000));
        assert_eq!(
            few(&text, 20_000)[0].split(": ").nth(1),
            Some(
                "more than 33554432 bytes, with all aliases written out (use fewer aliases (`*name`), or fewer and larger lists)"
            )
        );
        let list = format!("[{}]", vec!["1"; 10_000].join(","));
        assert!(few(&list, 1_000)[0].contains("more than 1048576 values"));
        let keys: Vec<String> = (0..1_000)
            .map(|key| format!("{key}{}: 1", "k".repeat(1_000)))
            .collect();
        assert!(few(&format!("{{{}}}", keys.join(",")), 1_000)[0].contains("bytes"));
        // Merges of a scalar, of a list of lists, of a merge.
        assert!(
            lines(&format!("name: x\nlist: [{}]\n", vec!["1"; MAX_NODES].join(",")))[0].contains("values")
        );
        assert!(few("x", 20).iter().all(|line| !line.contains("more than")));
    }

    #[test]
    fn directives_are_bounded() {
        for end in ["\n", "\r\n", "\r"] {
            let tags = |count: usize| {
                let mut tags = String::new();
                for tag in 0..count {
                    write!(tags, "%TAG !a{tag}! x{end}").unwrap();
                }
                lines(&format!("{tags}---{end}name: x{end}"))
            };
            assert_eq!(tags(MAX_DIRECTIVES), [""; 0]);
            let found = tags(50_000);
            assert_eq!(found.len(), 1);
            assert!(found[0].contains(
                "more than 8 lines begin with `%` (such a line is a directive of YAML; remove it)"
            ));
        }
    }

    #[test]
    fn the_faults_of_one_piece_are_bounded() {
        let text = format!("name: x\nlist: [{}]\n", "x, ".repeat(100_000));
        assert_eq!(lines(&text).len(), read::MAX_FAULTS + 1);
    }

    #[test]
    fn aliases_and_merges_are_read_and_their_faults_placed() {
        let text = "base: &base {count: 300}\nnode: {<<: *base, name: x}\n";
        let (document, mut diagnostics) = parse(text);
        let document = document.unwrap();
        document
            .root()
            .get("node")
            .unwrap()
            .read::<NodeShape>(&mut diagnostics);
        let lines: Vec<String> = diagnostics.iter().map(Diagnostic::line).collect();
        assert_eq!(
            lines,
            ["r.yaml:2:1: wrong value: `300`, expected a whole number from 0 to 255"]
        );
    }

    #[test]
    fn places_are_right_behind_letters_of_more_bytes() {
        assert_eq!(
            lines("# é\nname: é\ncount: é\n"),
            ["r.yaml:3:8: wrong type: text \"é\", expected a whole number from 0 to 255"]
        );
    }

    #[test]
    fn a_byte_order_mark_at_the_start_is_no_part_of_the_text() {
        assert_eq!(lines("\u{feff}name: x\ncount: 1\n"), [""; 0]);
        assert_eq!(
            lines("\u{feff}nam: x\n")[0].split(": ").next(),
            Some("r.yaml:1:1")
        );
    }

    #[test]
    fn a_key_without_a_value_is_a_finding_whatever_its_type() {
        assert_eq!(
            lines("name:\ncount: ~\nlist: null\nother:\n"),
            [
                "r.yaml:1:1: `name` has no value; remove the key or give it one",
                "r.yaml:2:1: `count` has no value; remove the key or give it one",
                "r.yaml:3:1: `list` has no value; remove the key or give it one",
                "r.yaml:4:1: unknown key `other` (known here: name, count, list)",
            ]
        );
    }

    #[test]
    fn a_missing_key_is_said_beside_other_faults() {
        assert_eq!(
            lines("count: x\n"),
            [
                "r.yaml:1:1: `name` is missing",
                "r.yaml:1:8: wrong type: text \"x\", expected a whole number from 0 to 255",
            ]
        );
    }

    #[test]
    fn a_tag_that_changes_a_value_is_a_finding() {
        for tag in ["!!binary aGk=", "!!int '3'", "!!null x", "!!set {a, b}"] {
            let lines = lines(&format!("name: {tag}\n"));
            assert!(
                lines
                    .iter()
                    .any(|line| line.contains("changes what the value is")),
                "{lines:?}"
            );
        }
        assert_eq!(lines("name: !!str 3\nlist: !!seq [1]\n"), [""; 0]);
        assert!(lines("!!binary bmFtZQ==: x\n")[0].contains("changes what the value is"));
    }

    #[test]
    fn every_bad_merge_is_found_at_its_place_and_the_rest_is_read() {
        assert_eq!(
            lines("name: x\n<<: 3\ncount: x\n"),
            [
                "r.yaml:2:1: `<<` takes a mapping, or a list of mappings (write `<<: *name`, after `&name`)",
                "r.yaml:3:8: wrong type: text \"x\", expected a whole number from 0 to 255",
            ]
        );
        assert_eq!(lines("name: x\n<<: [{count: 1}, [2]]\n").len(), 1);
        assert_eq!(lines("name: x\n<<: [{count: 1}, {list: [1]}]\n"), [""; 0]);
    }

    #[test]
    fn a_fault_of_the_form_is_found_where_it_stands_with_what_helps() {
        let selector =
            "between `{` and `}` a selector with `[` or `*` needs quotes: `{\"$.commits[*].id\": …}`";
        let cases = [
            (
                "list:\n\t- 1\n",
                "r.yaml:2:1: a tab where YAML wants spaces (write spaces in its place)",
            ),
            (
                "name: {a:\tb}\n",
                "r.yaml:1:10: a tab where YAML wants spaces (write spaces in its place)",
            ),
            (
                "name: x\n# \u{7}\n",
                "r.yaml:2:3: the character U+0007 may not stand in YAML (remove it; between double quotes it can be written as `\\u` and four hex digits)",
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(lines(text), [expected]);
        }
        for text in [
            "name: {$.a[*].b: 1}\n",
            "name: {$.a[0]: 1}\n",
            "name: {x: 1,\n  $.a[*].b: 1}\n",
        ] {
            let lines = lines(text);
            assert!(lines[0].contains(selector), "{lines:?}");
        }
        assert!(lines("name: @x\n")[0].contains("needs quotes"));
    }

    #[test]
    fn many_unknown_keys_are_found_in_one_reading() {
        let mut text = String::from("name: x\n");
        for key in 0..12_000 {
            writeln!(text, "nonsense{key}: 1").unwrap();
        }
        let (document, mut diagnostics) = parse(&text);
        assert!(
            document
                .unwrap()
                .root()
                .read::<NodeShape>(&mut diagnostics)
                .is_some()
        );
        assert_eq!(diagnostics.errors(), crate::base::diagnostic::MAX_DIAGNOSTICS + 1);
    }
}
