//! JSON text as a document with positions.
//!
//! YAML reads some JSON otherwise or not at all: escaped surrogates, control characters, a line break
//! before a colon. So valid JSON is read as JSON.

use std::sync::Arc;

use super::{Children, Document, Position};
use crate::base::diagnostic::Source;
use crate::base::json;

impl Document {
    /// Parses a text that is a JSON list or object. `None` if it is none. Of duplicate keys the last
    /// one counts.
    pub fn parse_json(source: &Source) -> Option<Self> {
        let text = source.text.trim_start_matches('\u{feff}');
        if !text.trim_start().starts_with(['[', '{']) {
            return None;
        }
        let read = json::read_text(text).ok()?;
        let value = serde_yaml::to_value(&*read.tree.value).ok()?;
        let position = Reader { text, at: 0 }.value()?;
        let source = Source {
            path: source.path.clone(),
            text: text.to_owned(),
        };
        Some(Self {
            source: Arc::new(source),
            value,
            position,
        })
    }
}

/// Finds the positions in a text that is known to be JSON.
struct Reader<'t> {
    text: &'t str,
    at: usize,
}

impl Reader<'_> {
    /// The position of the next value.
    fn value(&mut self) -> Option<Position> {
        let start = self.next_at();
        let children = match self.byte()? {
            b'{' => Children::Mapping(self.members()?.into()),
            b'[' => Children::Sequence(self.items()?.into()),
            b'"' => {
                self.string()?;
                Children::None
            }
            _ => {
                let rest = self.text.get(self.at..)?;
                let ends = |letter: char| ",]}".contains(letter) || letter.is_ascii_whitespace();
                self.at += rest.find(ends).unwrap_or(rest.len());
                Children::None
            }
        };
        Some(Position {
            range: start..self.at,
            key: None,
            children,
        })
    }

    fn members(&mut self) -> Option<Vec<(String, Position)>> {
        let mut members: Vec<(String, Position)> = Vec::new();
        self.at += 1;
        loop {
            let start = self.next_at();
            match self.byte()? {
                b'}' => break,
                b'"' => {}
                _ => {
                    self.at += 1;
                    continue;
                }
            }
            let key = self.string()?;
            let range = start..self.at;
            // The colon.
            self.next_at();
            self.at += 1;
            let position = Position {
                key: Some(range),
                ..self.value()?
            };
            members.retain(|(known, _)| *known != key);
            members.push((key, position));
        }
        self.at += 1;
        Some(members)
    }

    fn items(&mut self) -> Option<Vec<Position>> {
        let mut items = Vec::new();
        self.at += 1;
        loop {
            self.next_at();
            match self.byte()? {
                b']' => break,
                b',' => self.at += 1,
                _ => items.push(self.value()?),
            }
        }
        self.at += 1;
        Some(items)
    }

    /// Reads a string with its quotes.
    fn string(&mut self) -> Option<String> {
        let start = self.at;
        self.at += 1;
        loop {
            match self.byte()? {
                b'"' => break,
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
        self.at += 1;
        let read = json::read_text(self.text.get(start..self.at)?).ok()?;
        read.tree.value.as_str().map(str::to_owned)
    }

    /// Skips white space.
    fn next_at(&mut self) -> usize {
        while self.byte().is_some_and(|byte| byte.is_ascii_whitespace()) {
            self.at += 1;
        }
        self.at
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Option<Document> {
        Document::parse_json(&Source {
            path: "a.json".into(),
            text: text.to_owned(),
        })
    }

    #[test]
    fn json_that_yaml_cannot_read_has_its_values_and_places() {
        let text = "\u{feff}[{\"a\\u0062\"\n : \"\\ud83d\\ude00\u{7f}\",\n\"n\":[1 ,{}, -2.5e3],\n\"a\\\"b\": {\"c\": null}}]";
        let document = parsed(text).unwrap();
        let root = document.root();
        let items = root.items();
        let member = |name: &str| items[0].get(name).unwrap();
        assert_eq!(member("ab").as_str(), Some("\u{1f600}\u{7f}"));
        assert_eq!(member("n").items()[2].value().as_f64(), Some(-2500.0));
        let line = |node: crate::base::yaml::Node<'_>| {
            let diagnostic = node.error("x", "here").line();
            diagnostic.split(" here").next().unwrap().to_owned()
        };
        assert_eq!(line(member("ab")), "a.json:2:4:");
        assert_eq!(line(member("n").items()[2]), "a.json:3:13:");
        assert_eq!(line(member("a\"b").get("c").unwrap()), "a.json:4:15:");
    }

    #[test]
    fn other_texts_are_not_read() {
        for text in ["", "- a", "[a]", "{a: 1}", "[1,]", "[1] x", "\"a\"", "7"] {
            assert!(parsed(text).is_none(), "{text}");
        }
        let document = parsed("{\"a\": 1, \"a\": 2}").unwrap();
        assert_eq!(document.root().get("a").unwrap().value().as_u64(), Some(2));
    }
}
