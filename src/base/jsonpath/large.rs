//! The digits of integers in JSON text that do not fit 64 bits.
//!
//! `serde_json` reads such an integer as the nearest floating point number, so that different
//! integers become equal. This table keeps their digits beside the tree, keyed by the address of
//! the number in the tree. The table keeps the tree alive, so that no other value can take such an
//! address. Few payloads have large integers; the others need no table and no second pass.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use memchr::memchr2;
use serde::ser::{Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;

/// Minimum number of digits of an integer that does not fit 64 bits.
const LEAST_DIGITS: usize = 19;

#[derive(Clone, Debug, Default)]
pub struct LargeIntegers(Option<Arc<LargeTable>>);

/// The tree, and the digits by address.
#[derive(Debug)]
struct LargeTable {
    _tree: Arc<Value>,
    digits: HashMap<usize, Box<str>>,
}

impl LargeIntegers {
    pub const NONE: &Self = &Self(None);

    /// Collects the large integers of `text`, from which `tree` was parsed.
    pub fn read(text: &str, tree: &Arc<Value>) -> Self {
        if !may_hold_any(text.as_bytes()) {
            return Self::default();
        }
        let mut reader = LargeIntegerReader {
            text,
            at: 0,
            digits: HashMap::new(),
        };
        reader.value(Some(tree));
        if reader.digits.is_empty() {
            return Self::default();
        }
        Self(Some(Arc::new(LargeTable {
            _tree: Arc::clone(tree),
            digits: reader.digits,
        })))
    }

    /// The digits of `number`, with its sign, if it is a large integer of the tree.
    pub fn digits(&self, number: &Value) -> Option<&str> {
        let table = self.0.as_deref()?;
        table.digits.get(&address(number)).map(|digits| &**digits)
    }

    /// Wraps a value of the tree so that it serializes with all digits.
    pub fn exactly<'v>(&'v self, value: &'v Value) -> Exactly<'v> {
        Exactly {
            value,
            integers: self,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}

/// A value that serializes with all digits of its integers.
#[derive(Clone, Copy)]
pub struct Exactly<'v> {
    value: &'v Value,
    integers: &'v LargeIntegers,
}

impl Serialize for Exactly<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { value, integers } = *self;
        match value {
            _ if integers.is_empty() => value.serialize(serializer),
            Value::Array(items) => serializer.collect_seq(items.iter().map(|item| integers.exactly(item))),
            Value::Object(members) => serializer.collect_map(
                members
                    .iter()
                    .map(|(key, member)| (key, integers.exactly(member))),
            ),
            Value::Number(_) if let Some(digits) = integers.digits(value) => {
                match RawValue::from_string(digits.to_owned()) {
                    Ok(digits) => digits.serialize(serializer),
                    Err(_) => value.serialize(serializer),
                }
            }
            _ => value.serialize(serializer),
        }
    }
}

fn address(value: &Value) -> usize {
    std::ptr::from_ref(value).addr()
}

/// True if the text has a run of [`LEAST_DIGITS`] digits. A run of that length covers a multiple of
/// that length.
fn may_hold_any(text: &[u8]) -> bool {
    let digits = |bytes: &mut dyn Iterator<Item = &u8>| {
        bytes
            .take(LEAST_DIGITS)
            .take_while(|byte| byte.is_ascii_digit())
            .count()
    };
    (0..text.len()).step_by(LEAST_DIGITS).any(|at| {
        let (before, behind) = text.split_at(at);
        let behind = digits(&mut behind.iter());
        behind > 0 && behind + digits(&mut before.iter().rev()) >= LEAST_DIGITS
    })
}

/// The second pass over text that is known to be JSON. Recursion is no deeper than in the first
/// pass.
struct LargeIntegerReader<'t> {
    text: &'t str,
    at: usize,
    digits: HashMap<usize, Box<str>>,
}

impl<'t> LargeIntegerReader<'t> {
    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// Skips spaces and returns the next byte.
    fn next(&mut self) -> Option<u8> {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_ascii_start().len();
        self.rest().bytes().next()
    }

    /// Reads a value, which is `node` of the tree. `None` means that a later member of the same
    /// name has replaced it.
    fn value(&mut self, node: Option<&Value>) {
        match self.next() {
            Some(b'{') => self.members(node),
            Some(b'[') => self.items(node),
            Some(b'"') => drop(self.string()),
            Some(b'-' | b'0'..=b'9') => self.number(node),
            // `true`, `false`, `null`.
            Some(_) => {
                self.token(|byte| byte.is_ascii_alphabetic());
            }
            None => {}
        }
    }

    fn members(&mut self, node: Option<&Value>) {
        self.at += 1;
        loop {
            match self.next() {
                Some(b',') => self.at += 1,
                Some(b'"') => {
                    let key = self.string();
                    if self.next() != Some(b':') {
                        return;
                    }
                    self.at += 1;
                    let child = node.and_then(|node| node.as_object()?.get(&*key));
                    self.value(child);
                }
                Some(_) => {
                    self.at += 1;
                    return;
                }
                None => return,
            }
        }
    }

    fn items(&mut self, node: Option<&Value>) {
        self.at += 1;
        let mut index = 0;
        loop {
            match self.next() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return;
                }
                Some(_) => {
                    self.value(node.and_then(|node| node.get(index)));
                    index += 1;
                }
                None => return,
            }
        }
    }

    fn number(&mut self, node: Option<&Value>) {
        let token = self.token(|byte| matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9'));
        let Some(node) = node else { return };
        let is_integer = !token.contains(['.', 'e', 'E']);
        if is_integer && node.is_f64() {
            self.digits.insert(address(node), token.into());
        } else {
            // The tree holds the last of several members of one name.
            self.digits.remove(&address(node));
        }
    }

    /// Consumes the bytes of a token; at least one, so that the reader makes progress.
    fn token(&mut self, belongs: impl Fn(u8) -> bool) -> &'t str {
        let rest = self.rest();
        let length = rest.bytes().take_while(|byte| belongs(*byte)).count().max(1);
        self.at += length;
        rest.get(..length).unwrap_or_default()
    }

    /// Consumes a string and returns its text.
    fn string(&mut self) -> Cow<'t, str> {
        let rest = self.rest();
        let bytes = rest.as_bytes();
        let mut end = 1;
        let mut escaped = false;
        while let Some(found) = bytes.get(end..).and_then(|rest| memchr2(b'"', b'\\', rest)) {
            end += found;
            if bytes.get(end) == Some(&b'"') {
                break;
            }
            escaped = true;
            end += 2;
        }
        self.at += end + 1;
        if escaped {
            let literal = rest.get(..=end).unwrap_or_default();
            serde_json::from_str(literal).map_or_else(|_| Cow::default(), Cow::Owned)
        } else {
            Cow::Borrowed(rest.get(1..end).unwrap_or_default())
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> (Arc<Value>, LargeIntegers) {
        let tree = Arc::new(serde_json::from_str(text).unwrap());
        let integers = LargeIntegers::read(text, &tree);
        (tree, integers)
    }

    #[test]
    fn a_large_integer_keeps_its_digits_wherever_it_stands() {
        let (tree, integers) = read(
            r#" {"a" : [1, -18446744073709551617 , {"\u0062\"": 340282366920938463463374607431768211457}],
                "s": "18446744073709551617", "f": 18446744073709551617.0, "e": 18446744073709551617e1,
                "u": 18446744073709551615, "d": 18446744073709551617, "d": 18446744073709551618,
                "o": {"x": 18446744073709551619}, "o": {"x": 1e30}, "t": [true, null, "\\", 18446744073709551620]} "#,
        );
        let digits = |pointer: &str| tree.pointer(pointer).and_then(|value| integers.digits(value));
        assert_eq!(digits("/a/0"), None);
        assert_eq!(digits("/a/1"), Some("-18446744073709551617"));
        assert_eq!(
            digits("/a/2/b\""),
            Some("340282366920938463463374607431768211457")
        );
        for small in ["/s", "/f", "/e", "/u", "/o/x", ""] {
            assert_eq!(digits(small), None, "{small}");
        }
        assert_eq!(digits("/d"), Some("18446744073709551618"));
        assert_eq!(digits("/t/3"), Some("18446744073709551620"));
        let (tree, integers) = read("18446744073709551617");
        assert_eq!(integers.digits(&tree), Some("18446744073709551617"));
        assert_eq!(integers.digits(&tree.as_ref().clone()), None);
        let text = r#"{"a":[1,-18446744073709551617],"b":340282366920938463463374607431768211457}"#;
        let (tree, integers) = read(text);
        assert_eq!(serde_json::to_string(&integers.exactly(&tree)).unwrap(), text);
    }

    #[test]
    fn a_payload_without_large_integers_has_no_table() {
        for text in [
            "1",
            "\"123456789012345678\"",
            "[123456789012345678,123456789012345678]",
            "1844674407370955161",
        ] {
            assert!(read(text).1.is_empty(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_row_of_digits_is_noticed(before in "[a1]{0,60}", digits in "[0-9]{19,40}", behind in "[a1]{0,60}") {
            let text = format!("{before}{digits}{behind}");
            prop_assert!(may_hold_any(text.as_bytes()));
        }

        #[test]
        fn any_json_is_read_to_its_end(text in "[\\[\\]{}\",:0-9\\\\a ]{0,40}") {
            // Text that is not JSON must terminate too.
            let tree = Arc::new(Value::Null);
            drop(LargeIntegers::read(&format!("{text}18446744073709551617"), &tree));
        }
    }
}
