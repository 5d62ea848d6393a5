//! The URL at which a sender believes to be calling.
//!
//! It is put together from `server.public_url` and the path and the query as they came, never from `Host` or from
//! what a proxy adds: those are the caller's to choose.

/// The escapes that `HubSpot` undoes before it signs, in capital letters alone: `: / ? @ ! $ ' ( ) * , ;`
/// (<https://developers.hubspot.com/docs/apps/legacy-apps/authentication/validating-requests>).
const UNDONE: &[u8; 12] = b":/?@!$'()*,;";

/// The public URL of a request; `public_url` has no slash at its end.
pub fn of(public_url: &str, path: &str, query: &str) -> String {
    let mark = if query.is_empty() { "" } else { "?" };
    format!("{public_url}{path}{mark}{query}")
}

/// The URL with the [`UNDONE`] escapes undone, and no other.
pub fn decoded(url: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(url.len());
    let mut rest = url.as_bytes();
    while let [first, after @ ..] = rest {
        if *first == b'%'
            && let [high, low, behind @ ..] = after
            && let Some(letter) = letter(*high, *low)
        {
            bytes.push(letter);
            rest = behind;
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    bytes
}

/// What an escape stands for, if it is one that is undone.
fn letter(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| {
        char::from(byte)
            .to_digit(16)
            .filter(|_| !byte.is_ascii_lowercase())
    };
    let code = u8::try_from(digit(high)? << 4 | digit(low)?).ok()?;
    UNDONE.contains(&code).then_some(code)
}

/// The URL without its port, or with the default one of its scheme if it names none. Twilio signs one or the other
/// (twilio-python, `request_validator.py`).
pub fn other_port(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let port = match scheme {
        "https" => ":443",
        "http" => ":80",
        _ => return None,
    };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, behind) = rest.split_at_checked(end)?;
    // The colons of an IPv6 address stand in brackets.
    let named = authority.rsplit_once(':').filter(|(_, port)| !port.contains(']'));
    Some(match named {
        Some((host, _)) => format!("{scheme}://{host}{behind}"),
        None => format!("{scheme}://{authority}{port}{behind}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_escapes_of_the_list_are_undone() {
        let decoded = |url| String::from_utf8(decoded(url)).unwrap();
        assert_eq!(
            decoded("https://h/a%2Fb?c=%3a%3A%40&d=%20%25%3D%26%C3%A9"),
            "https://h/a/b?c=%3a:@&d=%20%25%3D%26%C3%A9"
        );
        assert_eq!(decoded("%2F%21%24%27%28%29%2A%2C%3B%3F"), "/!$'()*,;?");
        assert_eq!(decoded("a%2"), "a%2");
        assert_eq!(decoded("%zz%"), "%zz%");
        // Once, not until nothing is left.
        assert_eq!(decoded("%252F"), "%252F");
    }

    #[test]
    fn the_default_port_is_added_or_taken_away() {
        for (url, other) in [
            ("https://h/x?a=b:1", Some("https://h:443/x?a=b:1")),
            ("https://h:443/x", Some("https://h/x")),
            ("http://h/x", Some("http://h:80/x")),
            ("http://h:80", Some("http://h")),
            ("https://h?x", Some("https://h:443?x")),
            ("https://[::1]/x", Some("https://[::1]:443/x")),
            ("https://[::1]:443/x", Some("https://[::1]/x")),
            ("https://h:8443/x", Some("https://h/x")),
            ("h/x", None),
        ] {
            assert_eq!(other_port(url).as_deref(), other, "{url}");
        }
    }
}
