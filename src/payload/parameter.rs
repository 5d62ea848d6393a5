//! Parameters of a header value: the `charset=utf-8` of `text/plain; charset=utf-8`.
//!
//! The parser is lenient. A quoted value may contain `;`. In it, `\"` and `\\` stand for the second
//! character. Any other backslash is literal, because some senders write Windows paths without
//! escaping.

/// The parameters after the first `;`: names in lower case, and values.
pub(super) fn parameters(value: &str) -> Vec<(String, String)> {
    let (mut quoted, mut escaped) = (false, false);
    let separates = |letter: char| {
        let is_escaped = std::mem::take(&mut escaped);
        match letter {
            '\\' if quoted && !is_escaped => escaped = true,
            '"' if !is_escaped => quoted = !quoted,
            ';' => return !quoted,
            _ => {}
        }
        false
    };
    let parts = value.split(separates).skip(1);
    parts
        .filter_map(|part| part.split_once('='))
        .map(|(name, value)| (name.trim().to_ascii_lowercase(), unquoted(value.trim())))
        .collect()
}

/// Removes the quotes of a value.
fn unquoted(value: &str) -> String {
    let Some(inner) = value.strip_prefix('"') else {
        return value.to_owned();
    };
    let inner = inner.strip_suffix('"').unwrap_or(inner);
    let mut plain = String::with_capacity(inner.len());
    let mut letters = inner.chars().peekable();
    while let Some(letter) = letters.next() {
        let escaped = letters.next_if(|next| letter == '\\' && matches!(next, '"' | '\\'));
        plain.push(escaped.unwrap_or(letter));
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read_as_people_write_them() {
        let cases: &[(&str, &[(&str, &str)])] = &[
            ("text/plain", &[]),
            ("text/plain;", &[]),
            ("text/plain; flag; a", &[]),
            ("text/plain;charset=utf-8", &[("charset", "utf-8")]),
            ("x; A = b ;c= \"d\" ", &[("a", "b"), ("c", "d")]),
            (r#"x; a="b;c=d"; e=f"#, &[("a", "b;c=d"), ("e", "f")]),
            (r#"x; a="\"b\\;\"c"; e=f"#, &[("a", r#""b\;"c"#), ("e", "f")]),
            (r#"x; a="C:\new.txt"; e=f"#, &[("a", r"C:\new.txt"), ("e", "f")]),
            (r#"x; a="open; e=f"#, &[("a", "open; e=f")]),
            ("x; a=b=c", &[("a", "b=c")]),
            ("x; a=", &[("a", "")]),
            (r#"x; a=""#, &[("a", "")]),
        ];
        for (value, expected) in cases {
            let found = parameters(value);
            let found: Vec<_> = found.iter().map(|(name, value)| (&**name, &**value)).collect();
            assert_eq!(found, *expected, "{value}");
        }
    }
}
