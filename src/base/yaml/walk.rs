//! The event walk over a YAML text: positions of all values, and errors of form.
//!
//! Bounds the text before `serde_yaml` reads it: depth, number of values, and size with aliases
//! expanded. The values themselves are left to `values.rs`.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use saphyr_parser::{Event, Parser};

use super::{Children, MAX_DEPTH, MAX_DIRECTIVES, MAX_EXPANDED, MAX_NODES, Position};
use crate::base::diagnostic::{Diagnostic, Diagnostics, Origin, Source};

/// The walk over the events of a text.
pub(super) struct Walk<'s> {
    source: &'s Arc<Source>,
    /// Byte offsets of the parser's character indexes. Empty for ASCII text, where the two are
    /// equal.
    offsets: Vec<usize>,
    parser: Parser<'s, saphyr_parser::StrInput<'s>>,
    /// The size of the values read so far, with aliases expanded.
    read: &'s mut SizeCount,
    /// The deepest level since the value that is being read began.
    deepest: usize,
    /// The anchored values, by anchor.
    anchors: HashMap<usize, Anchored>,
}

/// A value that aliases stand for.
struct Anchored {
    size: SizeCount,
    /// Number of levels below it.
    height: usize,
    position: Position,
}

/// The size of a value, with aliases expanded.
#[derive(Clone, Copy, Debug, Default)]
pub struct SizeCount {
    nodes: usize,
    bytes: usize,
}

impl SizeCount {
    /// True if the texts together are larger than may be read.
    pub fn is_beyond(self) -> bool {
        self.nodes > MAX_NODES || self.bytes > MAX_EXPANDED
    }

    fn plus(self, other: Self) -> Self {
        Self {
            nodes: self.nodes.saturating_add(other.nodes),
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }
}

/// Ends the walk after a diagnostic was added.
struct Stop;

impl<'s> Walk<'s> {
    /// `read`: the size of the texts before this one, to which it is added.
    pub(super) fn new(source: &'s Arc<Source>, read: &'s mut SizeCount) -> Self {
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
            read,
            deepest: 0,
            anchors: HashMap::new(),
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

    /// Limits directives. A rules file needs none, and the parsers take quadratic time over them.
    fn directives(&self, diagnostics: &mut Diagnostics) -> Result<(), Stop> {
        let text = self.source.text.as_str();
        // All line ends that either of the two parsers accepts.
        let mut start = 0;
        let mut found = 0;
        for line in text.split_inclusive(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']) {
            if line.starts_with('%') {
                found += 1;
                if found > MAX_DIRECTIVES {
                    let message = format!("more than {MAX_DIRECTIVES} lines begin with `%`");
                    diagnostics.push(
                        Diagnostic::error(self.origin(&(start..start + 1)), "syntax", message)
                            .hint("such a line is a directive of YAML; remove it"),
                    );
                    return Err(Stop);
                }
            }
            start += line.len();
        }
        Ok(())
    }

    /// Adds to the size read so far. Aliases count each time they occur, because the values hold
    /// copies.
    fn count(
        &mut self,
        size: SizeCount,
        range: &Range<usize>,
        diagnostics: &mut Diagnostics,
    ) -> Result<(), Stop> {
        *self.read = self.read.plus(size);
        let most = if self.read.nodes > MAX_NODES {
            format!("{MAX_NODES} values")
        } else if self.read.bytes > MAX_EXPANDED {
            format!("{MAX_EXPANDED} bytes")
        } else {
            return Ok(());
        };
        let message = format!("more than {most}, with all aliases written out");
        diagnostics.push(
            Diagnostic::error(self.origin(range), "too-large", message)
                .hint("use fewer aliases (`*name`), or fewer and larger lists"),
        );
        Err(Stop)
    }

    pub(super) fn read(mut self, diagnostics: &mut Diagnostics) -> Option<Position> {
        self.directives(diagnostics).ok()?;
        if let Some((at, letter)) = self
            .source
            .text
            .char_indices()
            .find(|(_, letter)| !may_stand(*letter))
        {
            let message = format!("the character U+{:04X} may not stand in YAML", u32::from(letter));
            diagnostics.push(
                Diagnostic::error(self.origin(&(at..at + letter.len_utf8())), "syntax", message)
                    .hint("remove it; between double quotes it can be written as `\\u` and four hex digits"),
            );
            return None;
        }
        let mut root = None;
        loop {
            let (event, range) = self.next(diagnostics).ok()?;
            match event {
                Event::StreamEnd => return Some(root.unwrap_or_default()),
                Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd | Event::Nothing => {}
                _ if root.is_some() => {
                    diagnostics.push(Diagnostic::error(
                        self.origin(&range),
                        "syntax",
                        "a second document in one file",
                    ));
                    return None;
                }
                event => root = Some(self.position(&event, range, 0, diagnostics).ok()?),
            }
        }
    }

    fn next(&mut self, diagnostics: &mut Diagnostics) -> Result<(Event<'s>, Range<usize>), Stop> {
        match self.parser.next() {
            Some(Ok((event, span))) => {
                Ok((event, self.byte(span.start.index())..self.byte(span.end.index())))
            }
            Some(Err(error)) => {
                let at = self.byte(error.marker().index());
                diagnostics.push(self.syntax(at, error.info()));
                Err(Stop)
            }
            None => Ok((Event::StreamEnd, 0..0)),
        }
    }

    /// Rejects tags that change the type of a value. A tag that states the type that the value has
    /// anyway is allowed.
    fn tag(
        &self,
        event: &Event<'s>,
        range: &Range<usize>,
        diagnostics: &mut Diagnostics,
    ) -> Result<(), Stop> {
        let (Event::Scalar(_, _, _, Some(tag))
        | Event::SequenceStart(_, Some(tag))
        | Event::MappingStart(_, Some(tag))) = event
        else {
            return Ok(());
        };
        let core = tag.is_yaml_core_schema();
        let own = match event {
            Event::Scalar(..) => "str",
            Event::SequenceStart(..) => "seq",
            _ => "map",
        };
        if core && tag.suffix == own {
            return Ok(());
        }
        let message = if core {
            format!("the tag `!!{}` changes what the value is", tag.suffix)
        } else {
            format!("unknown tag `{}{}`", tag.handle, tag.suffix)
        };
        diagnostics.push(
            Diagnostic::error(self.origin(range), "unknown-tag", message)
                .hint("quote the value, or remove the tag"),
        );
        // `serde_yaml` knows the tags of the core schema. At any other tag it would stop with a
        // less helpful error.
        if core { Ok(()) } else { Err(Stop) }
    }

    /// The syntax error at byte `at`, with the most likely remedy.
    fn syntax(&self, at: usize, message: &str) -> Diagnostic {
        let text = self.source.text.as_str();
        let at = text.floor_char_boundary(at);
        let (before, after) = text.split_at(at);
        let tab = match (before.ends_with('\t'), after.starts_with('\t')) {
            (true, _) => Some(at - 1),
            (_, true) => Some(at),
            _ => None,
        };
        if let Some(at) = tab {
            let origin = self.origin(&(at..at + 1));
            return Diagnostic::error(origin, "syntax", "a tab where YAML wants spaces")
                .hint("write spaces in its place");
        }
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = text
            .get(start..)
            .and_then(|rest| rest.lines().next())
            .unwrap_or_default();
        let flow = line.contains(['{', '}']) || message.contains("flow");
        let hint = if flow && line.contains('$') && line.contains(['[', '*']) {
            "between `{` and `}` a selector with `[` or `*` needs quotes: `{\"$.commits[*].id\": …}`"
        } else {
            "a value with `: `, ` #`, a leading `*`, `&`, `!`, `%`, `@` or `{` needs quotes"
        };
        Diagnostic::error(self.origin(&(at..at + 1)), "syntax", message.to_owned()).hint(hint)
    }

    fn position(
        &mut self,
        event: &Event<'s>,
        range: Range<usize>,
        depth: usize,
        diagnostics: &mut Diagnostics,
    ) -> Result<Position, Stop> {
        let aliased = match event {
            Event::Alias(anchor) => self.anchors.get(anchor),
            _ => None,
        };
        let depth_below = depth + aliased.map_or(0, |anchored| anchored.height);
        if depth_below > MAX_DEPTH {
            let message = format!("nested more than {MAX_DEPTH} levels deep");
            diagnostics.push(Diagnostic::error(self.origin(&range), "too-deep", message));
            return Err(Stop);
        }
        let size = match event {
            Event::Scalar(text, ..) => SizeCount {
                nodes: 1,
                bytes: text.len(),
            },
            Event::Alias(_) => aliased.map(|anchored| anchored.size).unwrap_or_default(),
            _ => SizeCount { nodes: 1, bytes: 0 },
        };
        let aliased = aliased.map(|anchored| anchored.position.children.clone());
        self.tag(event, &range, diagnostics)?;
        let (before, deepest) = (*self.read, std::mem::replace(&mut self.deepest, depth_below));
        self.count(size, &range, diagnostics)?;
        let children = match event {
            Event::SequenceStart(..) => {
                let mut items = Vec::new();
                loop {
                    let (event, range) = self.next(diagnostics)?;
                    if matches!(event, Event::SequenceEnd) {
                        break Children::Sequence(items.into());
                    }
                    items.push(self.position(&event, range, depth + 1, diagnostics)?);
                }
            }
            Event::MappingStart(..) => Children::Mapping(self.entries(depth, diagnostics)?.into()),
            _ => aliased.unwrap_or_default(),
        };
        let position = Position {
            range,
            key: None,
            children,
        };
        let height = self.deepest - depth;
        self.deepest = self.deepest.max(deepest);
        if let Event::Scalar(_, _, anchor, _)
        | Event::SequenceStart(anchor, _)
        | Event::MappingStart(anchor, _) = event
            && *anchor != 0
        {
            let size = SizeCount {
                nodes: self.read.nodes.saturating_sub(before.nodes),
                bytes: self.read.bytes.saturating_sub(before.bytes),
            };
            let position = position.clone();
            self.anchors.insert(
                *anchor,
                Anchored {
                    size,
                    height,
                    position,
                },
            );
        }
        Ok(position)
    }

    fn entries(
        &mut self,
        depth: usize,
        diagnostics: &mut Diagnostics,
    ) -> Result<Vec<(String, Position)>, Stop> {
        let mut entries = Vec::new();
        let mut seen = HashSet::new();
        loop {
            let (event, key_range) = self.next(diagnostics)?;
            let key = match event {
                Event::MappingEnd => return Ok(entries),
                Event::Scalar(ref text, ..) => {
                    self.tag(&event, &key_range, diagnostics)?;
                    text.to_string()
                }
                _ => {
                    let diagnostic =
                        Diagnostic::error(self.origin(&key_range), "syntax", "a key must be plain text");
                    diagnostics.push(diagnostic.hint("a template needs quotes: \"{{ payload.ref }}\""));
                    return Err(Stop);
                }
            };
            let size = SizeCount {
                nodes: 0,
                bytes: key.len(),
            };
            self.count(size, &key_range, diagnostics)?;
            let (event, range) = self.next(diagnostics)?;
            let mut position = self.position(&event, range, depth + 1, diagnostics)?;
            position.key = Some(key_range.clone());
            if seen.insert(key.clone()) {
                entries.push((key, position));
            } else {
                let message = format!("duplicate key `{key}`");
                diagnostics.push(Diagnostic::error(
                    self.origin(&key_range),
                    "duplicate-key",
                    message,
                ));
            }
        }
    }
}

/// True if YAML allows the character.
fn may_stand(letter: char) -> bool {
    match letter {
        '\t' | '\n' | '\r' | '\u{85}' => true,
        '\u{feff}' | '\u{fffe}' | '\u{ffff}' => false,
        letter => !letter.is_control(),
    }
}
