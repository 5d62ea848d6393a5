//! A YAML text with a place for everything in it.
//!
//! [`Document::parse`] reads the text once with `serde_yaml` for its values and once as events for their places,
//! duplicate keys and unknown tags. A [`Node`] is a value with its place; [`Node::read`] turns one into any serde
//! type and reports **all** that is wrong with it, never the first alone. What the values mean is left to the
//! room that owns them.
//!
//! Bounds: [`MAX_TEXT`], [`MAX_DEPTH`], and `serde_yaml`'s own limit on repeated aliases.

use std::collections::HashSet;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use saphyr_parser::{Event, Parser};
use serde::de::{Deserialize, DeserializeOwned, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_path_to_error::Segment;
use serde_yaml::{Mapping, Number, Value};

use crate::diagnostic::{Finding, Findings, Origin, Source, did_you_mean};

/// The largest text that is read, in bytes.
pub const MAX_TEXT: usize = 16 << 20;
/// How deep mappings and sequences may nest.
pub const MAX_DEPTH: usize = 64;

/// How many faults of one piece are reported, as each costs another reading of the piece.
const MAX_FAULTS: usize = 64;

/// A parsed text.
#[derive(Debug)]
pub struct Document {
    source: Arc<Source>,
    value: Value,
    place: Place,
}

/// Where a value stands, and its children.
#[derive(Debug, Default)]
struct Place {
    range: Range<usize>,
    key: Option<Range<usize>>,
    children: Children,
}

/// The places below a place.
#[derive(Debug, Default)]
enum Children {
    /// A scalar, or an alias: what lies below an alias is reported at the alias.
    #[default]
    None,
    Mapping(Vec<(String, Place)>),
    Sequence(Vec<Place>),
}

/// A value with its place.
#[derive(Clone, Copy)]
pub struct Node<'d> {
    source: &'d Arc<Source>,
    value: &'d Value,
    place: &'d Place,
}

impl Document {
    /// Reads a text. What is wrong with its form (syntax, duplicate keys, unknown tags, depth, size) is added to
    /// `findings`; `None` if nothing could be read.
    pub fn parse(source: Source, findings: &mut Findings) -> Option<Self> {
        let source = Arc::new(source);
        if source.text.len() > MAX_TEXT {
            findings.push(Finding::error(
                Origin::new(&source, 0..0),
                "too-large",
                format!(
                    "the file has {} bytes; at most {MAX_TEXT} are read",
                    source.text.len()
                ),
            ));
            return None;
        }
        let place = Walk::new(&source).read(findings)?;
        let value = match serde_yaml::from_str::<FirstWins>(&source.text) {
            Ok(FirstWins(value)) => value,
            Err(error) => {
                let at = error.location().map_or(0, |location| location.index());
                findings.push(Finding::error(
                    Origin::new(&source, at..at + 1),
                    "syntax",
                    error.to_string(),
                ));
                return None;
            }
        };
        let mut document = Self { source, value, place };
        if let Err(error) = document.value.apply_merge() {
            findings.push(Finding::error(
                document.root().origin(),
                "merge",
                error.to_string(),
            ));
            return None;
        }
        Some(document)
    }

    /// The whole of it.
    pub fn root(&self) -> Node<'_> {
        Node {
            source: &self.source,
            value: &self.value,
            place: &self.place,
        }
    }
}

impl<'d> Node<'d> {
    /// The value.
    pub fn value(&self) -> &'d Value {
        self.value
    }

    /// The text, if it is text.
    pub fn as_str(&self) -> Option<&'d str> {
        self.value.as_str()
    }

    /// Its place: of a scalar the scalar, of anything larger its key, for there the reader looks.
    pub fn origin(&self) -> Origin {
        let range = match (&self.place.children, &self.place.key) {
            (Children::None, _) | (_, None) => &self.place.range,
            (_, Some(key)) => key,
        };
        Origin::new(self.source, range.clone())
    }

    /// The place of the key under which it stands; its own if it stands under none.
    pub fn key_origin(&self) -> Origin {
        Origin::new(
            self.source,
            self.place.key.as_ref().unwrap_or(&self.place.range).clone(),
        )
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

    /// Whether it is a mapping.
    pub fn is_mapping(&self) -> bool {
        self.value.is_mapping()
    }

    /// Keys and values in the order of the text; none if it is not a mapping.
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
            // Both lists are in the order of the text; only merged keys stand out of it.
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

    /// The items in order; none if it is not a sequence.
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

    /// The items of a sequence, or the value itself if it is none: `secret: x` is `secret: [x]`.
    pub fn one_or_many(&self) -> Vec<Node<'d>> {
        if self.value.is_sequence() {
            self.items()
        } else {
            vec![*self]
        }
    }

    /// An error at this value.
    pub fn error(&self, code: &'static str, message: impl Into<String>) -> Finding {
        Finding::error(self.origin(), code, message)
    }

    /// A warning at this value.
    pub fn warning(&self, code: &'static str, message: impl Into<String>) -> Finding {
        Finding::warning(self.origin(), code, message)
    }

    /// Reads the value as `T` (a serde type with `deny_unknown_fields`) and adds **everything** that is wrong to
    /// `findings`. Where only parts are wrong the rest is returned all the same, so that the reader can go on and
    /// find more; the findings then hold errors.
    ///
    /// Serde stops at the first error. So the part that was wrong is taken out of a copy and the rest read again,
    /// until it reads or nothing can be taken out.
    pub fn read<T: DeserializeOwned>(&self, findings: &mut Findings) -> Option<T> {
        let Err(mut error) = serde_path_to_error::deserialize::<_, T>(self.value) else {
            return serde_path_to_error::deserialize(self.value).ok();
        };
        let mut rest = self.value.clone();
        let mut taken_out = TakenOut::default();
        loop {
            let path: Vec<Segment> = error.path().iter().cloned().collect();
            let message = error.inner().to_string();
            let original = taken_out.original(&path);
            // A field that was taken out is missing now: that is no second fault of the user's.
            if taken_out.paths.is_empty() || !message.starts_with("missing field") {
                findings.push(self.at(&original).fault(&message));
            }
            if !remove(&mut rest, &path) {
                return None;
            }
            if taken_out.paths.len() >= MAX_FAULTS {
                findings.push(self.error("more", "more is wrong here; it is said when this is mended"));
                return None;
            }
            taken_out.paths.push(original);
            match serde_path_to_error::deserialize::<_, T>(&rest) {
                Ok(read) => return Some(read),
                Err(next) => error = next,
            }
        }
    }

    /// The node at `path`, or the nearest above it.
    fn at(&self, path: &[Segment]) -> Node<'d> {
        let mut node = *self;
        for segment in path {
            let next = match segment {
                Segment::Map { key } => node.get(key),
                Segment::Seq { index } => node.items().get(*index).copied(),
                Segment::Enum { variant } => node.get(variant),
                Segment::Unknown => None,
            };
            let Some(next) = next else { break };
            node = next;
        }
        node
    }

    /// Serde's message as a finding in our words.
    fn fault(&self, message: &str) -> Finding {
        let mut quoted = message.split('`').skip(1).step_by(2);
        if message.starts_with("unknown field") {
            let typed = quoted.next().unwrap_or_default();
            return unknown(self.key_origin(), "unknown-key", "key", typed, quoted);
        }
        if message.starts_with("unknown variant") {
            let typed = quoted.next().unwrap_or_default();
            return unknown(self.origin(), "unknown-value", "value", typed, quoted);
        }
        if message.starts_with("missing field") {
            let key = quoted.next().unwrap_or_default();
            return self.error("missing-key", format!("`{key}` is missing"));
        }
        self.error(
            "wrong-value",
            message
                .strip_prefix("invalid type: ")
                .map_or_else(|| message.to_owned(), |rest| format!("wrong type: {rest}")),
        )
    }
}

/// What [`Node::read`] has taken out of its copy: the paths as they were in the text.
#[derive(Default)]
struct TakenOut {
    paths: Vec<Vec<Segment>>,
}

impl TakenOut {
    /// The path in the text of what stands at `path` in the copy, where items have moved up into gaps.
    fn original(&self, path: &[Segment]) -> Vec<Segment> {
        let mut original: Vec<Segment> = Vec::with_capacity(path.len());
        for segment in path {
            let Segment::Seq { index } = segment else {
                original.push(segment.clone());
                continue;
            };
            let mut gaps: Vec<usize> = self
                .paths
                .iter()
                .filter_map(|taken| gap(taken, &original))
                .collect();
            gaps.sort_unstable();
            let index = gaps
                .into_iter()
                .fold(*index, |index, gap| if gap <= index { index + 1 } else { index });
            original.push(Segment::Seq { index });
        }
        original
    }
}

/// The index of `taken` in the sequence at `parent`, if it was an item of it.
fn gap(taken: &[Segment], parent: &[Segment]) -> Option<usize> {
    let (last, above) = taken.split_last()?;
    match last {
        Segment::Seq { index } if same(above, parent) => Some(*index),
        _ => None,
    }
}

/// Whether two paths lead to the same place.
fn same(left: &[Segment], right: &[Segment]) -> bool {
    left.len() == right.len()
        && left.iter().zip(right).all(|pair| match pair {
            (Segment::Seq { index: left }, Segment::Seq { index: right }) => left == right,
            (left, right) => left.to_string() == right.to_string(),
        })
}

/// "unknown key `x`", with the nearest of the known ones, or all of them.
pub fn unknown<'k>(
    origin: Origin,
    code: &'static str,
    noun: &str,
    typed: &str,
    known: impl IntoIterator<Item = &'k str>,
) -> Finding {
    let known: Vec<&str> = known.into_iter().collect();
    let finding = Finding::error(origin, code, format!("unknown {noun} `{typed}`"));
    let list = known.join(", ");
    match did_you_mean(typed, known.iter().copied()) {
        Some(near) => finding.hint(format!("did you mean `{near}`? known here: {list}")),
        None if known.is_empty() => finding,
        None => finding.hint(format!("known here: {list}")),
    }
}

/// Takes what stands at `path` out of `value`; false if there is nothing to take out.
fn remove(value: &mut Value, path: &[Segment]) -> bool {
    let Some((last, above)) = path.split_last() else {
        return false;
    };
    let mut parent = value;
    for segment in above {
        let next = match segment {
            Segment::Map { key } | Segment::Enum { variant: key } => parent.get_mut(key.as_str()),
            Segment::Seq { index } => parent.get_mut(*index),
            Segment::Unknown => None,
        };
        let Some(next) = next else { return false };
        parent = next;
    }
    match (last, parent) {
        (Segment::Map { key } | Segment::Enum { variant: key }, Value::Mapping(mapping)) => {
            mapping.shift_remove(key.as_str()).is_some()
        }
        (Segment::Seq { index }, Value::Sequence(sequence)) if *index < sequence.len() => {
            drop(sequence.remove(*index));
            true
        }
        _ => false,
    }
}

/// A value whose duplicate keys do not stop the reading: the first wins, and the event walk reports the others.
struct FirstWins(Value);

impl<'de> Deserialize<'de> for FirstWins {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FirstWinsVisitor).map(FirstWins)
    }
}

/// Builds the value of a [`FirstWins`].
struct FirstWinsVisitor;

impl<'de> Visitor<'de> for FirstWinsVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any YAML value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(Number::from(value)))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(Number::from(value)))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Number(Number::from(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut data: A) -> Result<Value, A::Error> {
        let mut sequence = Vec::new();
        while let Some(FirstWins(value)) = data.next_element()? {
            sequence.push(value);
        }
        Ok(Value::Sequence(sequence))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut data: A) -> Result<Value, A::Error> {
        let mut mapping = Mapping::new();
        while let Some((key, FirstWins(value))) = data.next_entry::<String, FirstWins>()? {
            let key = Value::String(key);
            if !mapping.contains_key(&key) {
                mapping.insert(key, value);
            }
        }
        Ok(Value::Mapping(mapping))
    }
}

/// The walk over the events of a text.
struct Walk<'s> {
    source: &'s Arc<Source>,
    /// Where the parser's character counts stand in bytes; empty for ASCII, where the two agree.
    offsets: Vec<usize>,
    parser: Parser<'s, saphyr_parser::StrInput<'s>>,
}

/// The walk cannot go on; the finding has been made.
struct Stop;

impl<'s> Walk<'s> {
    fn new(source: &'s Arc<Source>) -> Self {
        let text = source.text.as_str();
        let offsets = if text.is_ascii() {
            Vec::new()
        } else {
            text.char_indices().map(|(offset, _)| offset).collect()
        };
        Self {
            source,
            offsets,
            parser: Parser::new_from_str(text),
        }
    }

    fn origin(&self, range: &Range<usize>) -> Origin {
        Origin::new(self.source, range.clone())
    }

    fn byte(&self, character: usize) -> usize {
        if self.offsets.is_empty() {
            character
        } else {
            self.offsets
                .get(character)
                .copied()
                .unwrap_or(self.source.text.len())
        }
    }

    fn read(mut self, findings: &mut Findings) -> Option<Place> {
        let mut root = None;
        loop {
            let (event, range) = self.next(findings).ok()?;
            match event {
                Event::StreamEnd => return Some(root.unwrap_or_default()),
                Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd | Event::Nothing => {}
                _ if root.is_some() => {
                    findings.push(Finding::error(
                        self.origin(&range),
                        "syntax",
                        "a second document in one file",
                    ));
                    return None;
                }
                event => root = Some(self.place(&event, range, 0, findings).ok()?),
            }
        }
    }

    fn next(&mut self, findings: &mut Findings) -> Result<(Event<'s>, Range<usize>), Stop> {
        match self.parser.next() {
            Some(Ok((event, span))) => {
                Ok((event, self.byte(span.start.index())..self.byte(span.end.index())))
            }
            Some(Err(error)) => {
                let at = self.byte(error.marker().index());
                let finding = Finding::error(self.origin(&(at..at + 1)), "syntax", error.info().to_owned());
                findings.push(
                    finding.hint(
                        "a value with `: `, ` #`, a leading `*`, `&`, `!`, `%`, `@` or `{` needs quotes",
                    ),
                );
                Err(Stop)
            }
            None => Ok((Event::StreamEnd, 0..0)),
        }
    }

    fn place(
        &mut self,
        event: &Event<'s>,
        range: Range<usize>,
        depth: usize,
        findings: &mut Findings,
    ) -> Result<Place, Stop> {
        if depth > MAX_DEPTH {
            let message = format!("nested more than {MAX_DEPTH} levels deep");
            findings.push(Finding::error(self.origin(&range), "too-deep", message));
            return Err(Stop);
        }
        if let Event::Scalar(_, _, _, Some(tag))
        | Event::SequenceStart(_, Some(tag))
        | Event::MappingStart(_, Some(tag)) = event
            && !tag.is_yaml_core_schema()
        {
            let message = format!("unknown tag `{}{}`", tag.handle, tag.suffix);
            findings.push(
                Finding::error(self.origin(&range), "unknown-tag", message)
                    .hint("quote the value, or remove the tag"),
            );
            return Err(Stop);
        }
        let children = match event {
            Event::SequenceStart(..) => {
                let mut items = Vec::new();
                loop {
                    let (event, range) = self.next(findings)?;
                    if matches!(event, Event::SequenceEnd) {
                        break Children::Sequence(items);
                    }
                    items.push(self.place(&event, range, depth + 1, findings)?);
                }
            }
            Event::MappingStart(..) => Children::Mapping(self.entries(depth, findings)?),
            _ => Children::None,
        };
        Ok(Place {
            range,
            key: None,
            children,
        })
    }

    fn entries(&mut self, depth: usize, findings: &mut Findings) -> Result<Vec<(String, Place)>, Stop> {
        let mut entries = Vec::new();
        let mut seen = HashSet::new();
        loop {
            let (event, key_range) = self.next(findings)?;
            let key = match event {
                Event::MappingEnd => return Ok(entries),
                Event::Scalar(text, ..) => text.into_owned(),
                _ => {
                    let finding =
                        Finding::error(self.origin(&key_range), "syntax", "a key must be plain text");
                    findings.push(finding.hint("a template needs quotes: \"{{ payload.ref }}\""));
                    return Err(Stop);
                }
            };
            let (event, range) = self.next(findings)?;
            let mut place = self.place(&event, range, depth + 1, findings)?;
            place.key = Some(key_range.clone());
            if seen.insert(key.clone()) {
                entries.push((key, place));
            } else {
                let message = format!("duplicate key `{key}`");
                findings.push(Finding::error(self.origin(&key_range), "duplicate-key", message));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Shape {
        name: String,
        count: Option<u8>,
        list: Option<Vec<u8>>,
    }

    fn parse(text: &str) -> (Option<Document>, Findings) {
        let mut findings = Findings::new();
        let document = Document::parse(
            Source {
                path: "r.yaml".into(),
                text: text.into(),
            },
            &mut findings,
        );
        (document, findings)
    }

    fn lines(text: &str) -> Vec<String> {
        let (document, mut findings) = parse(text);
        if let Some(document) = document {
            document.root().read::<Shape>(&mut findings);
        }
        findings.sorted().iter().map(Finding::line).collect()
    }

    #[test]
    fn every_fault_is_found_at_its_place() {
        assert_eq!(
            lines("nmae: x\ncount: 300\nlist: [1, x, 2, y]\nother: 1\n"),
            [
                "r.yaml:1:1: unknown key `nmae` (did you mean `name`? known here: name, count, list)",
                "r.yaml:2:8: invalid value: integer `300`, expected u8",
                "r.yaml:3:11: wrong type: string \"x\", expected u8",
                "r.yaml:3:17: wrong type: string \"y\", expected u8",
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
    fn the_faults_of_one_piece_are_bounded() {
        let text = format!("name: x\nlist: [{}]\n", "x, ".repeat(100_000));
        assert_eq!(lines(&text).len(), MAX_FAULTS + 2);
    }

    #[test]
    fn aliases_and_merges_are_read_and_their_faults_placed() {
        let text = "base: &base {count: 300}\nnode: {<<: *base, name: x}\n";
        let (document, mut findings) = parse(text);
        let document = document.unwrap();
        document.root().get("node").unwrap().read::<Shape>(&mut findings);
        let lines: Vec<String> = findings.iter().map(Finding::line).collect();
        assert_eq!(lines, ["r.yaml:2:1: invalid value: integer `300`, expected u8"]);
    }

    #[test]
    fn places_are_right_behind_letters_of_more_bytes() {
        assert_eq!(
            lines("# é\nname: é\ncount: é\n"),
            ["r.yaml:3:8: wrong type: string \"é\", expected u8"]
        );
    }
}
