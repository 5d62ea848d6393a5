//! Client address behind proxies, from `X-Forwarded-For` and `Forwarded` (RFC 7239).
//!
//! Any client can write these headers, and every proxy on the way appends the address of its own
//! peer. The headers are therefore read only from a trusted peer, from the right, up to the first
//! address that is not trusted. That address is the client; entries to its left are the client's
//! claims. The client is unknown if an element names no address (malformed, `unknown`, `_hidden`)
//! or if two headers disagree. Using the proxy's own address instead would let an attacker pass for
//! a neighbour of the daemon.

use std::net::IpAddr;

use http::header::{FORWARDED, GetAll, HeaderMap, HeaderName, HeaderValue};

use crate::base::network::TrustedPeers;

/// Older header, which has no standard.
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Returns the client's address. `peer` is the address of the connection's other end, if it has
/// one. `None`: the client is unknown.
pub fn client(peer: Option<IpAddr>, headers: &HeaderMap, trusted: &TrustedPeers) -> Option<IpAddr> {
    if !trusted.holds(peer) {
        return peer;
    }
    let listed = || walk(peer, &headers.get_all(X_FORWARDED_FOR), trusted, address);
    let standard = || walk(peer, &headers.get_all(FORWARDED), trusted, forwarded_for);
    match (
        headers.contains_key(X_FORWARDED_FOR),
        headers.contains_key(FORWARDED),
    ) {
        (false, false) => peer,
        (true, false) => listed(),
        (false, true) => standard(),
        // A proxy that writes one of the headers may have passed on the other as the client wrote
        // it.
        (true, true) => listed().filter(|listed| standard() == Some(*listed)),
    }
}

/// Walks from the right to the first address that is not trusted, or to the leftmost.
fn walk(
    peer: Option<IpAddr>,
    lines: &GetAll<'_, HeaderValue>,
    trusted: &TrustedPeers,
    read: fn(&str) -> Option<IpAddr>,
) -> Option<IpAddr> {
    let mut client = peer;
    // Several lines are one list (RFC 9110 §5.3) in which empty elements are ignored (§5.6.1). A
    // comma separates elements even in quotes: a quote opened by a client must not swallow what a
    // proxy adds.
    for line in lines.iter().rev() {
        for element in line.as_bytes().rsplit(|byte| *byte == b',') {
            let element = element.trim_ascii();
            if element.is_empty() {
                continue;
            }
            client = std::str::from_utf8(element).ok().and_then(read);
            if !client.is_some_and(|address| trusted.networks.contains(address)) {
                return client;
            }
        }
    }
    client
}

/// Parses `192.0.2.7`, `192.0.2.7:80`, `2001:db8::7`, `[2001:db8::7]` or `[2001:db8::7]:80`.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let found = match bare {
        Some(bare) => IpAddr::V6(bare.parse().ok()?),
        None => match text.parse() {
            Ok(address) => address,
            Err(_) => with_port(text)?,
        },
    };
    Some(found.to_canonical())
}

/// Parses the address before a port, which may be obfuscated (RFC 7239 §6).
fn with_port(text: &str) -> Option<IpAddr> {
    let (host, port) = text.rsplit_once(':')?;
    let hidden = |name: &str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        !name.is_empty() && name.bytes().all(plain)
    };
    if port.parse::<u16>().is_err() && !port.strip_prefix('_').is_some_and(hidden) {
        return None;
    }
    match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(bare) => Some(IpAddr::V6(bare.parse().ok()?)),
        None => Some(IpAddr::V4(host.parse().ok()?)),
    }
}

/// Returns the address of the `for` parameter of a `Forwarded` element. `None` if `for` occurs
/// twice (RFC 7239 §4).
fn forwarded_for(element: &str) -> Option<IpAddr> {
    let mut rest = element;
    let mut found = None;
    loop {
        let (name, after) = rest.split_once('=')?;
        let (value, after) = value(after)?;
        if name.trim().eq_ignore_ascii_case("for") && found.replace(value).is_some() {
            return None;
        }
        let after = after.trim_start();
        if after.is_empty() {
            return address(found?.as_str());
        }
        rest = after.strip_prefix(';')?;
    }
}

/// Splits a token or a quoted string from the beginning of a text.
fn value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([';', ' ', '\t']).unwrap_or(text.len());
        let (token, rest) = text.split_at(end);
        return (!token.is_empty() && !token.contains('"')).then(|| (token.to_owned(), rest));
    };
    let mut value = String::new();
    let mut letters = quoted.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '"' => return Some((value, letters.as_str())),
            '\\' => value.push(letters.next()?),
            _ => value.push(letter),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::network::{Networks, parse};

    fn trusted(unix: bool) -> TrustedPeers {
        let nets = ["127.0.0.1", "10.0.0.0/8", "2001:db8:1::/48"];
        TrustedPeers {
            networks: Networks::new(nets.map(|text| parse(text).unwrap())),
            unix,
        }
    }

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        headers
    }

    fn from(peer: &str, lines: &[(&'static str, &str)]) -> String {
        let client = client(peer.parse().ok(), &headers(lines), &trusted(false));
        client.map_or_else(|| "unknown".to_owned(), |client| client.to_string())
    }

    #[test]
    fn the_client_is_the_first_untrusted_address_from_the_right() {
        for (list, expected) in [
            ("192.0.2.7", "192.0.2.7"),
            ("1.1.1.1, 192.0.2.7", "192.0.2.7"),
            ("1.1.1.1, 192.0.2.7, 10.1.1.1", "192.0.2.7"),
            ("1.1.1.1,192.0.2.7,10.1.1.1 , ,127.0.0.1,", "192.0.2.7"),
            // All are trusted, so the farthest one counts.
            ("10.2.2.2, 10.1.1.1", "10.2.2.2"),
            ("", "127.0.0.1"),
            (" , ", "127.0.0.1"),
            // The client's own claims are not read, even if they are nonsense.
            ("junk, \", 192.0.2.7", "192.0.2.7"),
            // Ports and brackets.
            ("192.0.2.7:4711", "192.0.2.7"),
            ("2001:db8::7", "2001:db8::7"),
            ("[2001:db8::7]", "2001:db8::7"),
            ("[2001:db8::7]:4711", "2001:db8::7"),
            ("192.0.2.7, [2001:db8:1::1]:80", "192.0.2.7"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("192.0.2.7, ::ffff:10.1.1.1", "192.0.2.7"),
            // Without an address the client is unknown.
            ("192.0.2.7, unknown", "unknown"),
            ("192.0.2.7, _hidden, 10.1.1.1", "unknown"),
            ("192.0.2.7, 10.1.1", "unknown"),
            ("192.0.2.7 10.1.1.1", "unknown"),
            ("192.0.2.7:99999", "unknown"),
            ("[192.0.2.7]", "unknown"),
            ("fe80::1%eth0", "unknown"),
            ("\"192.0.2.7\"", "unknown"),
            ("192.0.2.\u{fc}", "unknown"),
        ] {
            assert_eq!(
                from("127.0.0.1", &[("x-forwarded-for", list)]),
                expected,
                "{list}"
            );
        }
    }

    #[test]
    fn forwarded_is_read_from_the_right_too() {
        for (list, expected) in [
            ("for=192.0.2.7", "192.0.2.7"),
            ("For=192.0.2.7;proto=https;by=10.1.1.1", "192.0.2.7"),
            (
                "for=1.1.1.1, proto=http; for=192.0.2.7 ;host=\"a;for=2.2.2.2\", for=10.1.1.1",
                "192.0.2.7",
            ),
            ("for=\"192.0.2.7:4711\"", "192.0.2.7"),
            ("for=\"[2001:db8::7]:_port\"", "2001:db8::7"),
            ("for=\"192.0.\\2.7\"", "192.0.2.7"),
            ("for=192.0.2.7, for=\"[2001:db8:1::1]\"", "192.0.2.7"),
            // A quote that the client leaves open swallows no later element.
            ("for=\"1.1.1.1, for=192.0.2.7", "192.0.2.7"),
            ("x=\", for=192.0.2.7;by=\"_me\"", "192.0.2.7"),
            ("for=unknown", "unknown"),
            ("for=_hidden, for=10.1.1.1", "unknown"),
            ("for=192.0.2.7;for=10.1.1.1", "unknown"),
            ("proto=https", "unknown"),
            ("for=\"192.0.2.7", "unknown"),
            ("for=192.0.2.7 x", "unknown"),
            ("for=", "unknown"),
            ("192.0.2.7", "unknown"),
            // A host chosen by the client makes it unknown.
            ("for=192.0.2.7;host=\"a,for=127.0.0.1\"", "unknown"),
        ] {
            assert_eq!(from("127.0.0.1", &[("forwarded", list)]), expected, "{list}");
        }
    }

    #[test]
    fn several_lines_are_one_list() {
        let lines = [
            ("x-forwarded-for", "1.1.1.1"),
            ("x-forwarded-for", "192.0.2.7, 10.1.1.1"),
            ("x-forwarded-for", "10.2.2.2"),
        ];
        assert_eq!(from("127.0.0.1", &lines), "192.0.2.7");
    }

    #[test]
    fn headers_of_an_untrusted_peer_are_ignored() {
        let lines = [("x-forwarded-for", "10.1.1.1"), ("forwarded", "for=10.1.1.1")];
        assert_eq!(from("192.0.2.1", &lines), "192.0.2.1");
        assert_eq!(client(None, &headers(&lines), &trusted(false)), None);
        assert_eq!(
            client(
                "192.0.2.1".parse().ok(),
                &headers(&lines),
                &TrustedPeers::default()
            ),
            "192.0.2.1".parse().ok()
        );
    }

    #[test]
    fn a_unix_socket_is_trusted_if_it_is_listed() {
        let one = headers(&[("x-forwarded-for", "192.0.2.7, 10.1.1.1")]);
        assert_eq!(client(None, &one, &trusted(true)), "192.0.2.7".parse().ok());
        assert_eq!(client(None, &HeaderMap::new(), &trusted(true)), None);
    }

    #[test]
    fn two_headers_that_disagree_say_nothing() {
        let both = |standard| {
            from(
                "127.0.0.1",
                &[("x-forwarded-for", "192.0.2.7"), ("forwarded", standard)],
            )
        };
        assert_eq!(both("for=\"192.0.2.7:80\""), "192.0.2.7");
        assert_eq!(both("for=127.0.0.1"), "unknown");
        assert_eq!(both("for=unknown"), "unknown");
    }
}
