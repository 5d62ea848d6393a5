//! Equivalent spellings of a URL's path (RFC 3986 §6.2.2).
//!
//! `/%65` and `/e` are the same path, as are `/%c3%a9` and `/%C3%A9`. Routes are compared in the
//! normal form. An escaped slash is not a slash, and dot segments stay: neither is equivalent by
//! §6.2.2.1 or §6.2.2.2.

use std::borrow::Cow;

/// The path with escapes of unreserved characters decoded and the hexadecimal digits of all others
/// in upper case.
pub fn normalized(path: &str) -> Cow<'_, str> {
    if !path.contains('%') {
        return Cow::Borrowed(path);
    }
    let mut normal = String::with_capacity(path.len());
    let mut rest = path;
    while let Some((before, after)) = rest.split_once('%') {
        normal.push_str(before);
        let code = after
            .get(..2)
            .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        let Some(digits) = code else {
            normal.push('%');
            rest = after;
            continue;
        };
        match u8::from_str_radix(digits, 16).map(char::from) {
            Ok(letter) if letter.is_ascii_alphanumeric() || "-._~".contains(letter) => normal.push(letter),
            _ => {
                normal.push('%');
                normal.push_str(&digits.to_ascii_uppercase());
            }
        }
        rest = after.get(2..).unwrap_or_default();
    }
    normal.push_str(rest);
    Cow::Owned(normal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equivalent_paths_have_one_normal_form() {
        for (path, normal) in [
            ("/e", "/e"),
            ("/%65", "/e"),
            ("/%2D%2e%5F%7e", "/-._~"),
            ("/%c3%a9", "/%C3%A9"),
            ("/a%2fb", "/a%2Fb"),
            ("/%25%36%35", "/%2565"),
            ("/%2565", "/%2565"),
            ("/%", "/%"),
            ("/%6", "/%6"),
            ("/%zz%65", "/%zze"),
            ("/%6é", "/%6é"),
            ("/%+1", "/%+1"),
        ] {
            assert_eq!(normalized(path), normal, "{path}");
        }
    }
}
