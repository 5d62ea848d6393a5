//! A `JSONPath` that selects one value at most: `$.a.b[0]['c']`.
//!
//! Timestamps, ids and tokens are read from bodies by such paths. A path that could select several values is
//! refused when it is compiled, for which of them would count?

use std::fmt;

use serde_json::Value;

/// How many steps a path may have.
const MAX_STEPS: usize = 32;

/// A singular `JSONPath` (RFC 9535, section 2.3.5.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SingularPath {
    text: String,
    steps: Vec<Step>,
}

/// One step down.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    /// The member of this name.
    Name(String),
    /// The element at this place, from the end if negative.
    Index(i64),
}

impl SingularPath {
    /// Compiles a path; the error says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let fault =
            |what: &str| format!("`{text}` {what}: write a path to one value, such as `$.data[0]['id']`");
        let mut rest = text
            .strip_prefix('$')
            .ok_or_else(|| fault("does not begin with `$`"))?;
        let mut steps = Vec::new();
        while !rest.is_empty() {
            let (step, after) = step(rest).ok_or_else(|| fault("is not a singular JSONPath"))?;
            steps.push(step);
            rest = after;
        }
        if steps.is_empty() || steps.len() > MAX_STEPS {
            return Err(fault(&format!("has not between 1 and {MAX_STEPS} steps")));
        }
        Ok(Self {
            text: text.to_owned(),
            steps,
        })
    }

    /// The value that it selects.
    pub fn find<'v>(&self, value: &'v Value) -> Option<&'v Value> {
        self.steps.iter().try_fold(value, |value, step| match step {
            Step::Name(name) => value.as_object()?.get(name),
            Step::Index(index) => {
                let elements = value.as_array()?;
                let from_start = usize::try_from(*index);
                let at = from_start.or_else(|_| {
                    let from_end = usize::try_from(index.unsigned_abs()).unwrap_or(usize::MAX);
                    elements.len().checked_sub(from_end).ok_or(())
                });
                elements.get(at.ok()?)
            }
        })
    }
}

impl SingularPath {
    /// Puts a value where the path leads; objects that are missing on the way are made. False if something else stands
    /// in the way.
    pub fn put(&self, value: &mut Value, new: Value) -> bool {
        let mut place = value;
        for step in &self.steps {
            if place.is_null() && matches!(step, Step::Name(_)) {
                *place = Value::Object(serde_json::Map::new());
            }
            let next = match (step, place) {
                (Step::Name(name), Value::Object(members)) => {
                    Some(members.entry(name.clone()).or_insert(Value::Null))
                }
                (Step::Index(index), Value::Array(elements)) => usize::try_from(*index)
                    .ok()
                    .and_then(|index| elements.get_mut(index)),
                _ => None,
            };
            let Some(next) = next else { return false };
            place = next;
        }
        *place = new;
        true
    }
}

impl fmt::Display for SingularPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The first step of `rest`, and what follows it.
fn step(rest: &str) -> Option<(Step, &str)> {
    if let Some(rest) = rest.strip_prefix('.') {
        let named = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || !letter.is_ascii();
        let end = rest.find(|letter| !named(letter)).unwrap_or(rest.len());
        let (name, after) = rest.split_at_checked(end)?;
        let starts_well = name.chars().next().is_some_and(|letter| !letter.is_ascii_digit());
        return starts_well.then(|| (Step::Name(name.to_owned()), after));
    }
    let rest = rest.strip_prefix('[')?;
    if let Some(quote @ ('\'' | '"')) = rest.chars().next() {
        let (name, after) = quoted(rest.get(1..)?, quote)?;
        return Some((Step::Name(name), after.strip_prefix(']')?));
    }
    let (index, after) = rest.split_once(']')?;
    let number: i64 = index.parse().ok()?;
    // `01`, `+1` and `-0` are numbers to Rust, and none to a JSONPath.
    (number.to_string() == index).then_some((Step::Index(number), after))
}

/// A quoted name up to its closing quote, and what follows it.
fn quoted(rest: &str, quote: char) -> Option<(String, &str)> {
    let mut name = String::new();
    let mut letters = rest.chars();
    loop {
        match letters.next()? {
            letter if letter == quote => return Some((name, letters.as_str())),
            '\\' => match letters.next()? {
                letter if letter == quote || letter == '\\' || letter == '/' => name.push(letter),
                'b' => name.push('\u{8}'),
                'f' => name.push('\u{c}'),
                'n' => name.push('\n'),
                'r' => name.push('\r'),
                't' => name.push('\t'),
                'u' => {
                    let digits = letters.as_str().get(..4)?;
                    let digits = digits
                        .bytes()
                        .all(|digit| digit.is_ascii_hexdigit())
                        .then_some(digits)?;
                    name.push(char::from_u32(u32::from_str_radix(digits, 16).ok()?)?);
                    letters = letters.as_str().get(4..)?.chars();
                }
                _ => return None,
            },
            letter if letter < ' ' => return None,
            letter => name.push(letter),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_singular_path_finds_its_value() {
        let value = json!({"a": {"b": [1, {"c d": "x"}]}, "é": 2, "it's": 3, "\u{9}": 4});
        for (path, expected) in [
            ("$.a.b[0]", Some(json!(1))),
            ("$.a.b[-1]['c d']", Some(json!("x"))),
            ("$['a'][\"b\"][1][\"c d\"]", Some(json!("x"))),
            ("$.é", Some(json!(2))),
            ("$['\\u00e9']", Some(json!(2))),
            ("$['it\\'s']", Some(json!(3))),
            ("$['\\t']", Some(json!(4))),
            ("$.a.b[2]", None),
            ("$.a.b[-3]", None),
            ("$.a.b[-9223372036854775808]", None),
            ("$.a.b.c", None),
            ("$.a[0]", None),
            ("$.none.at.all", None),
        ] {
            assert_eq!(
                SingularPath::parse(path).unwrap().find(&value),
                expected.as_ref(),
                "{path}"
            );
        }
    }

    #[test]
    fn a_value_is_put_where_the_path_leads() {
        for (before, path, after) in [
            (json!({}), "$.a.b", Some(json!({"a": {"b": 7}}))),
            (
                json!({"a": {"c": 1}}),
                "$.a.b",
                Some(json!({"a": {"b": 7, "c": 1}})),
            ),
            (json!({"a": {"b": 1}}), "$.a.b", Some(json!({"a": {"b": 7}}))),
            (json!([{}]), "$[0].x", Some(json!([{"x": 7}]))),
            (json!([]), "$[0].x", None),
            (json!({"a": "text"}), "$.a.b", None),
            (json!("text"), "$.a", None),
        ] {
            let mut value = before.clone();
            let put = SingularPath::parse(path).unwrap().put(&mut value, json!(7));
            assert_eq!(put.then_some(value), after, "{before} {path}");
        }
    }

    #[test]
    fn a_path_that_is_not_singular_or_not_a_path_is_refused() {
        for path in [
            "",
            "$",
            "a",
            ".a",
            "$.",
            "$..a",
            "$.*",
            "$.a[*]",
            "$[0,1]",
            "$[0:1]",
            "$[?@.a]",
            "$.a-b",
            "$.0a",
            "$[01]",
            "$[+1]",
            "$[-0]",
            "$[ 0]",
            "$['a'",
            "$['a",
            "$[a]",
            "$['\\x']",
            "$['\\u00e']",
            "$['\\ud800']",
            "$a",
            "$.a ",
            "$[99999999999999999999]",
        ] {
            assert!(SingularPath::parse(path).is_err(), "{path}");
        }
        assert!(SingularPath::parse(&format!("${}", ".a".repeat(33))).is_err());
    }
}
