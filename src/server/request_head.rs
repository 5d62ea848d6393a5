//! Checks of a request's head: what a proxy and this server might understand differently.
//!
//! Such a head could hide a second request or name another host. The checks are pure. Routing is
//! left to `request.rs`.

use http::request::Parts;
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Version, header};

/// Checks a head, and completes its `Host`. The error says what is malformed.
pub fn check(head: &mut Parts) -> Result<(), &'static str> {
    if head.version == Version::HTTP_2 && has_padded_value(&head.headers) {
        return Err("a header's value begins or ends with a blank");
    }
    host(head)
}

/// True if the body uses a transfer coding other than `chunked`. Such a body would be stored in its
/// coded form, so it is answered with 501 (RFC 9112 §6.1).
pub fn has_other_transfer_coding(headers: &HeaderMap) -> bool {
    let mut lines = headers.get_all(header::TRANSFER_ENCODING).iter();
    let Some(first) = lines.next() else { return false };
    lines.next().is_some() || !first.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked")
}

/// True if a field's value begins or ends with a blank, which makes an HTTP/2 request malformed
/// (RFC 9113 §8.2.1). An HTTP/1 parser strips them.
pub fn has_padded_value(fields: &HeaderMap) -> bool {
    let blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    fields.values().any(|value| {
        let value = value.as_bytes();
        blank(value.first()) || blank(value.last())
    })
}

/// Ensures that there is exactly one valid `Host`. The error describes a head that a proxy and a
/// server might understand differently (RFC 9112 §3.2).
fn host(head: &mut Parts) -> Result<(), &'static str> {
    let mut hosts = head.headers.get_all(header::HOST).iter();
    let (first, more) = (hosts.next(), hosts.next());
    if more.is_some() {
        return Err("more than one Host");
    }
    // If the target has an authority (`:authority` or the absolute form), `Host` must not differ
    // from it (RFC 9113 §8.3.1, RFC 9112 §3.2.2).
    match (first, head.uri.authority()) {
        (None, None) if head.version >= Version::HTTP_11 => Err("no Host"),
        (None, Some(_)) if head.version == Version::HTTP_11 => Err("no Host"),
        (None, None) => Ok(()),
        // Host may be empty if the target has no authority (RFC 9112 §3.2).
        (Some(host), None) if host.is_empty() => Ok(()),
        (Some(host), None) => match Authority::try_from(host.as_bytes()) {
            Ok(authority) if is_host(&authority) => Ok(()),
            _ => Err("Host is not a host"),
        },
        (_, Some(authority)) if !is_host(authority) => Err("the authority is not a host"),
        (Some(host), Some(authority)) => {
            if host
                .as_bytes()
                .eq_ignore_ascii_case(authority.as_str().as_bytes())
            {
                Ok(())
            } else {
                Err("Host is not the authority of the target")
            }
        }
        (None, Some(authority)) => {
            let host = HeaderValue::from_str(authority.as_str()).or(Err("no Host"))?;
            head.headers.insert(header::HOST, host);
            Ok(())
        }
    }
}

/// True for a host with an optional port and without a user (RFC 9110 §4.2.4 and §7.2).
fn is_host(authority: &Authority) -> bool {
    let host = authority.host();
    let port = authority.as_str().strip_prefix(host);
    !host.is_empty() && port.is_some_and(|port| matches!(port, "" | ":") || authority.port_u16().is_some())
}
