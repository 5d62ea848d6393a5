//! Names of values: `commits.0.id` of a payload as a `JSONPath` and as an expression of a template.
//!
//! Between dots, a number is an index, and `root` is the payload itself if that is a list. In XML,
//! `-name` is the attribute `@name`.

/// Words that mean something else in templates.
const RESERVED: [&str; 16] = [
    "and",
    "else",
    "false",
    "False",
    "if",
    "in",
    "is",
    "loop",
    "none",
    "None",
    "not",
    "or",
    "recursive",
    "self",
    "true",
    "True",
];

/// A step from a value to a part of it.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(u64),
}

/// The path of a value in the payload.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PayloadName(Vec<Step>);

impl PayloadName {
    pub(super) fn of(name: &str) -> Self {
        let parts: Vec<&str> = name.split('.').collect();
        let index = |part: &str| {
            let digits = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
            digits.then(|| part.parse().ok()).flatten()
        };
        // A list is the value of `root` for adnanh/webhook, and the payload itself for hookyard.
        let is_list =
            parts.first() == Some(&"root") && parts.get(1).is_some_and(|part| index(part).is_some());
        let steps = parts
            .iter()
            .enumerate()
            .skip(usize::from(is_list))
            .map(|(at, part)| match index(part) {
                Some(index) if at > 0 => Step::Index(index),
                _ => Step::Key(key(part)),
            });
        Self(steps.collect())
    }

    /// True if the payload must be a list.
    pub(super) fn is_of_list(&self) -> bool {
        matches!(self.0.first(), Some(Step::Index(_)))
    }

    /// The selector of a condition.
    pub(super) fn json_path(&self) -> String {
        let mut path = String::from("$");
        for step in &self.0 {
            path.push_str(&match step {
                Step::Index(index) => format!("[{index}]"),
                Step::Key(key) if is_word(key) => format!(".{key}"),
                Step::Key(key) => format!("['{}']", escaped(key, '\'')),
            });
        }
        path
    }

    /// The expression of a template. It is undefined if a part of the path is missing, whichever:
    /// `payload.a.b` is an error without `a`.
    pub(super) fn expression(&self) -> String {
        match self.0.as_slice() {
            [Step::Key(key)] => format!("payload{}", attribute(key)),
            _ => format!("jsonpath(\"{}\")", escaped(&self.json_path(), '"')),
        }
    }
}

/// A key of the payload. A `-` before it marks an attribute of XML.
fn key(part: &str) -> String {
    match part.strip_prefix('-') {
        Some(attribute) if is_word(attribute) => format!("@{attribute}"),
        _ => part.to_owned(),
    }
}

/// The access to an attribute in a template: `.name` or `["na-me"]`.
pub(super) fn attribute(key: &str) -> String {
    if is_word(key) && !RESERVED.contains(&key) {
        format!(".{key}")
    } else {
        format!("[\"{}\"]", escaped(key, '"'))
    }
}

/// The expression of a header.
pub(super) fn header(name: &str) -> String {
    format!(
        "headers{}",
        attribute(&name.to_ascii_lowercase().replace('-', "_"))
    )
}

/// Text between quotes of a template or a `JSONPath`.
pub(super) fn escaped(text: &str, quote: char) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            letter if letter == quote => {
                out.push('\\');
                out.push(letter);
            }
            letter if letter.is_control() => {
                out.push_str(&format!("\\u{:04x}", u32::from(letter)));
            }
            letter => out.push(letter),
        }
    }
    out
}

fn is_word(text: &str) -> bool {
    text.starts_with(|letter: char| letter.is_ascii_alphabetic() || letter == '_')
        && text
            .chars()
            .all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_paths_and_expressions() {
        for (name, path, expression) in [
            ("ref", "$.ref", "payload.ref"),
            (
                "commits.0.commit.id",
                "$.commits[0].commit.id",
                "jsonpath(\"$.commits[0].commit.id\")",
            ),
            ("0", "$['0']", "payload[\"0\"]"),
            ("smtp-id", "$['smtp-id']", "payload[\"smtp-id\"]"),
            ("root.1.event", "$[1].event", "jsonpath(\"$[1].event\")"),
            ("root.name", "$.root.name", "jsonpath(\"$.root.name\")"),
            (
                "app.user.0.-name",
                "$.app.user[0]['@name']",
                "jsonpath(\"$.app.user[0]['@name']\")",
            ),
            ("a.#text", "$.a['#text']", "jsonpath(\"$.a['#text']\")"),
            ("a'b\"c", "$['a\\'b\"c']", "payload[\"a'b\\\"c\"]"),
            ("not", "$.not", "payload[\"not\"]"),
        ] {
            let found = PayloadName::of(name);
            assert_eq!(
                (&*found.json_path(), &*found.expression()),
                (path, expression),
                "{name}"
            );
        }
        assert_eq!(header("X-Hub-Signature"), "headers.x_hub_signature");
    }
}
