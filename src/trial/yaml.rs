//! YAML in one line, for values that are written into a test file.

use serde_json::Value;

/// A word or a number, in quotes if needed.
pub(super) fn scalar(text: &str) -> String {
    if is_plain(text, serde_yaml::Value::is_string) || is_plain(text, serde_yaml::Value::is_number) {
        text.to_owned()
    } else {
        quoted(text)
    }
}

/// A text, in quotes if it could be read as something else.
pub fn text(text: &str) -> String {
    if is_plain(text, serde_yaml::Value::is_string) {
        text.to_owned()
    } else {
        quoted(text)
    }
}

/// True if the text needs no quotes, also between brackets, and is then read as a value that `is_kind`.
fn is_plain(text: &str, is_kind: impl Fn(&serde_yaml::Value) -> bool) -> bool {
    let simple = |letter: char| letter.is_ascii_alphanumeric() || "./_-+=".contains(letter);
    let begins = text.starts_with(|letter: char| letter.is_ascii_alphanumeric() || "./_".contains(letter));
    let read = serde_yaml::from_str::<serde_yaml::Value>(text);
    begins && text.chars().all(simple) && read.is_ok_and(|value| is_kind(&value))
}

/// A text in double quotes, which YAML reads as JSON does.
fn quoted(text: &str) -> String {
    if text.chars().all(|letter| !letter.is_control()) && text.contains(['"', '\\']) && !text.contains('\'') {
        return format!("'{text}'");
    }
    // JSON leaves some characters that may not stand in YAML.
    let forbidden =
        |letter: char| letter.is_control() || ['\u{feff}', '\u{fffe}', '\u{ffff}'].contains(&letter);
    let escaped = |letter: char| {
        if forbidden(letter) {
            format!("\\u{:04x}", u32::from(letter))
        } else {
            letter.to_string()
        }
    };
    Value::from(text).to_string().chars().map(escaped).collect()
}

/// A list of values that are YAML already.
pub fn list(items: impl IntoIterator<Item = String>) -> String {
    let items: Vec<String> = items.into_iter().collect();
    format!("[{}]", items.join(", "))
}

/// A mapping of values that are YAML already.
pub fn mapping(entries: impl IntoIterator<Item = (String, String)>) -> String {
    let entries: Vec<String> = entries
        .into_iter()
        .map(|(key, value)| format!("{}: {value}", text(&key)))
        .collect();
    format!("{{{}}}", entries.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        for written in [
            "",
            "plain",
            "refs/heads/main",
            "5",
            "true",
            "null",
            "~",
            "1e3",
            "a: b",
            "a #b",
            "- a",
            "it's",
            "\"",
            "it's \"both\"",
            "line\nbreak",
            "tab\t",
            "é",
            "{x}",
            "[x]",
            "a,b",
            "@x",
            "*x",
            "&x",
            "\u{7f}",
            "\\",
            "=",
            "-",
            "0x1F",
            "2026-01-01",
            ".5",
            "yes",
        ] {
            for yaml in [
                format!("[{}]", text(written)),
                format!("[{}, x]", scalar(written)),
            ] {
                let read: Vec<serde_yaml::Value> = serde_yaml::from_str(&yaml).unwrap();
                let first = read[0].as_str().map_or_else(|| written.to_owned(), str::to_owned);
                assert_eq!(first, written, "{yaml}");
            }
        }
    }
}
