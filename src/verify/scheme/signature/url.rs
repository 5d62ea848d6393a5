//! URL that the sender called and signed.
//!
//! It is composed of `server.public_url` and the path and query as received. `Host` and the headers
//! of proxies are not used, because the caller chooses them.

/// Escapes that `HubSpot` decodes before signing, in upper case only: `: / ? @ ! $ ' ( ) * , ;`
/// (<https://developers.hubspot.com/docs/apps/legacy-apps/authentication/validating-requests>).
const UNDONE: &[u8; 12] = b":/?@!$'()*,;";

/// Public URL of a request. `public_url` has no trailing slash.
pub fn of(public_url: &str, path: &str, query: &str) -> String {
    let mark = if query.is_empty() { "" } else { "?" };
    format!("{public_url}{path}{mark}{query}")
}

/// Decodes the [`UNDONE`] escapes in a URL, and no others.
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

/// Decodes an escape if it is one of [`UNDONE`].
fn letter(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| {
        char::from(byte)
            .to_digit(16)
            .filter(|_| !byte.is_ascii_lowercase())
    };
    let code = u8::try_from(digit(high)? << 4 | digit(low)?).ok()?;
    UNDONE.contains(&code).then_some(code)
}

/// Returns the URL without its port, or with the default port if it has none.
///
/// Twilio signs one or the other (twilio-python, `request_validator.py`).
pub fn other_port(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let port = match scheme {
        "https" => ":443",
        "http" => ":80",
        _ => return None,
    };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, behind) = rest.split_at_checked(end)?;
    // The colons of an IPv6 address are in brackets.
    let named = authority.rsplit_once(':').filter(|(_, port)| !port.contains(']'));
    Some(match named {
        Some((host, _)) => format!("{scheme}://{host}{behind}"),
        None => format!("{scheme}://{authority}{port}{behind}"),
    })
}

/// All URLs for which Twilio's Node library accepts a signature. The received URL is first.
///
/// The variants have or lack the port. They are unchanged, escaped by `new URL()`, or with the
/// query re-encoded by Node's `querystring` (twilio-node, `lib/webhooks/webhooks.js`).
pub fn of_twilio(url: String) -> Vec<String> {
    let escaped = escaped(&url);
    let rewritten = rewritten(&escaped);
    let mut urls = vec![url];
    for candidate in [escaped, rewritten] {
        if !urls.contains(&candidate) {
            urls.push(candidate);
        }
    }
    let others: Vec<String> = urls.iter().filter_map(|url| other_port(url)).collect();
    urls.extend(others);
    urls
}

/// Escapes path and query as the URL standard does
/// (<https://url.spec.whatwg.org/#query-percent-encode-set>).
fn escaped(url: &str) -> String {
    const PATH: &[u8] = b" \"#<>?`{}";
    const QUERY: &[u8] = b" \"#<>'";
    let (path, query) = url
        .split_once('?')
        .map_or((url, None), |(path, query)| (path, Some(query)));
    let mut whole = String::with_capacity(url.len());
    let mut push = |text: &str, set: &[u8]| {
        for byte in text.bytes() {
            if byte <= b' ' || byte >= 0x7f || set.contains(&byte) {
                escape(&mut whole, byte);
            } else {
                whole.push(char::from(byte));
            }
        }
    };
    push(path, PATH);
    if let Some(query) = query {
        push("?", b"");
        push(query, QUERY);
    }
    whole
}

fn escape(text: &mut String, byte: u8) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let digit = |at: u8| DIGITS.get(usize::from(at)).copied().map_or('0', char::from);
    text.push('%');
    text.push(digit(byte >> 4));
    text.push(digit(byte & 15));
}

/// Returns the URL with its query decoded and re-encoded, values of one name side by side.
fn rewritten(url: &str) -> String {
    let Some((path, query)) = url.split_once('?').filter(|(_, query)| !query.is_empty()) else {
        return url.to_owned();
    };
    let mut names: Vec<(String, Vec<String>)> = Vec::new();
    // Node parses at most 1000 parameters.
    for (name, value) in form_urlencoded::parse(query.as_bytes()).take(1000) {
        match names.iter_mut().find(|(known, _)| *known == name) {
            Some((_, values)) => values.push(value.into_owned()),
            None => names.push((name.into_owned(), vec![value.into_owned()])),
        }
    }
    // JavaScript orders members with integer names first.
    let number = |name: &str| {
        name.parse::<u32>()
            .ok()
            .filter(|number| number.to_string() == name)
    };
    names.sort_by_key(|(name, _)| number(name).map_or((1, 0), |number| (0, number)));
    let mut whole = format!("{path}?");
    for (index, (name, value)) in names
        .iter()
        .flat_map(|(name, values)| values.iter().map(move |value| (name, value)))
        .enumerate()
    {
        if index > 0 {
            whole.push('&');
        }
        for (at, text) in [name, value].into_iter().enumerate() {
            if at > 0 {
                whole.push('=');
            }
            for byte in text.bytes() {
                if byte.is_ascii_alphanumeric() || b"!'()*-._~".contains(&byte) {
                    whole.push(char::from(byte));
                } else {
                    escape(&mut whole, byte);
                }
            }
        }
    }
    whole
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
        // Decoding happens once, not repeatedly.
        assert_eq!(decoded("%252F"), "%252F");
    }

    #[test]
    fn a_url_is_what_it_is_to_the_library_of_the_sender() {
        // Expected values are those of `new URL(url).toString()` and
        // `querystring.stringify(querystring.parse(query))` in Node 20.
        for (url, escaped_url, rewritten_url) in [
            ("https://h/x?a=b", "https://h/x?a=b", "https://h/x?a=b"),
            ("https://h/x?a=it's", "https://h/x?a=it%27s", "https://h/x?a=it's"),
            (
                "https://h/x?a=b+c%20d",
                "https://h/x?a=b+c%20d",
                "https://h/x?a=b%20c%20d",
            ),
            (
                "https://h/x?b&a=%c3%a9",
                "https://h/x?b&a=%c3%a9",
                "https://h/x?b=&a=%C3%A9",
            ),
            (
                "https://h/x?a=1&b=2&a=3",
                "https://h/x?a=1&b=2&a=3",
                "https://h/x?a=1&a=3&b=2",
            ),
            (
                "https://h/x?b=1&&7=2",
                "https://h/x?b=1&&7=2",
                "https://h/x?7=2&b=1",
            ),
            (
                "https://h/{x}\"?a=\"{}",
                "https://h/%7Bx%7D%22?a=%22{}",
                "https://h/%7Bx%7D%22?a=%22%7B%7D",
            ),
            ("https://h/x", "https://h/x", "https://h/x"),
        ] {
            assert_eq!(escaped(url), escaped_url, "{url}");
            assert_eq!(rewritten(&escaped(url)), rewritten_url, "{url}");
        }
        assert_eq!(of_twilio("https://h/x?a=b".to_owned()).len(), 2);
        assert_eq!(of_twilio("https://h/x?a=it's+me".to_owned()).len(), 6);
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
