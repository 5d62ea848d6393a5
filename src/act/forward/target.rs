//! Target of a request.
//!
//! Path and query may hold templates. Rendered values are percent-encoded, so that a value stays
//! one segment or one query value, unless it is marked `| safe`. Scheme, host and port may hold
//! templates, too. Then the event chooses the host, and only public addresses are reached
//! (`client/ssrf.rs`), because any sender could otherwise reach the private network.

use std::net::Ipv4Addr;

use http::Uri;

use crate::act::CompileContext;
use crate::base::diagnostic::Diagnostics;
use crate::base::yaml::Node;
use crate::template::{Scope, Template, is_template};

/// Compiles the URL.
pub fn compile(
    node: Node<'_>,
    context: &CompileContext<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<Template> {
    let Some(text) = node.as_str() else {
        let diagnostic = node.error("url", "`forward` names a URL");
        diagnostics.push(diagnostic.hint("write `forward: https://…` or `forward: {url: https://…}`"));
        return None;
    };
    let fixed = base(text);
    // A URL that depends on the event is checked when it is rendered.
    if !is_template(fixed) {
        let checked = if is_template(text) { fixed } else { text };
        if let Err(error) = check(checked) {
            let message = match error {
                TargetError::Password => "a URL with a password in it".to_owned(),
                _ => format!("`{checked}` {}", error.description()),
            };
            diagnostics.push(node.error("url", message).hint(error.hint()));
            return None;
        }
    }
    // The log shows scheme, host and port of a target.
    if fixed
        .split_once("://")
        .is_some_and(|(_, host)| host.contains("secret("))
    {
        let diagnostic = node.error(
            "secret",
            "a host is shown in the log, and this one holds a secret",
        );
        diagnostics.push(
            diagnostic.hint("write the host out; a secret may stand in the path, the query or a header"),
        );
        return None;
    }
    context
        .templates
        .read(node, Scope::Url, context.keyring, diagnostics)
}

/// Parses the URL that a template yields for an event. The error is the reason why it is none.
pub fn rendered(source: &Template, text: &str) -> Result<Uri, String> {
    // Dots would climb out of the path that the rule names.
    let path = text.split(['?', '#']).next().unwrap_or_default();
    if source.literal().is_none() && path.split('/').any(is_dot_segment) {
        return Err("the rendered URL has a segment `.` or `..`".to_owned());
    }
    if is_of_the_event(source.source()) {
        // The text comes from the event, and is left out of messages.
        check(text)
            .and_then(|()| check_host(text))
            .map_err(|error| format!("the rendered URL {}", error.description()))?;
    } else if base(text) != base(source.source()) {
        return Err("the rendered URL has another host".to_owned());
    }
    text.parse()
        .map_err(|error| format!("the rendered URL is none: {error}"))
}

/// True if the event decides on scheme, host or port.
pub fn is_of_the_event(url: &str) -> bool {
    is_template(base(url))
}

/// Returns scheme, host and port.
pub fn base(url: &str) -> &str {
    let host_start = url.find("://").map_or(0, |at| at + 3);
    let rest = url.get(host_start..).unwrap_or_default();
    let length = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    url.get(..host_start + length).unwrap_or(url)
}

/// Scheme, host and port in the form in which they are compared: lower case, without the usual port.
pub fn normal(base: &str) -> String {
    let lower = base.to_ascii_lowercase();
    let usual = if lower.starts_with("https:") {
        ":443"
    } else {
        ":80"
    };
    lower.strip_suffix(usual).map_or(lower.clone(), str::to_owned)
}

/// Scheme, host and port of a URL without templates, as [`normal`] writes them. The error is the
/// reason why there are none.
pub fn of_url(url: &str) -> Result<String, &'static str> {
    check(url).map_err(TargetError::description)?;
    Ok(normal(base(url)))
}

/// Maximum characters of a path segment in the log. A longer one may be a token, as in the URLs of
/// chat services.
const MAX_SHOWN: usize = 20;

/// Formats the URL for the log: scheme, host, port, and the path segments that the rule writes out.
/// Rendered segments are hidden, because they may be payload or secrets. So are long ones, which
/// may be tokens.
pub fn shown(uri: &Uri, source: &str) -> String {
    let url = uri.to_string();
    let mut shown = base(&url).to_owned();
    let written: Vec<&str> = source
        .get(base(source).len()..)
        .unwrap_or_default()
        .split(['/', '?', '#'])
        .collect();
    for segment in uri.path().split('/').skip(1) {
        shown.push('/');
        let is_shown = segment.is_empty() || (segment.len() <= MAX_SHOWN && written.contains(&segment));
        shown.push_str(if is_shown { segment } else { "…" });
    }
    shown
}

/// True if a segment is `.` or `..`, also with encoded dots.
fn is_dot_segment(segment: &str) -> bool {
    let decoded = segment.replace("%2e", ".").replace("%2E", ".");
    decoded == "." || decoded == ".."
}

/// Fault of a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TargetError {
    Schemeless,
    NoUrl,
    OtherScheme,
    Hostless,
    Password,
    Port,
    Number,
}

impl TargetError {
    /// Returns the text that follows the URL in a message.
    fn description(self) -> &'static str {
        match self {
            Self::Schemeless => "has no scheme",
            Self::NoUrl => "is not a URL",
            Self::OtherScheme => "is neither `http` nor `https`",
            Self::Hostless => "has no host",
            Self::Password => "has a user or a password in it",
            Self::Port => "has no valid port",
            Self::Number => "has a host that is neither a name nor a plain address",
        }
    }

    fn hint(self) -> &'static str {
        match self {
            Self::NoUrl => "spaces and letters beyond ASCII are percent-encoded, hosts written as `xn--…`",
            Self::Password => "write `headers: {Authorization: …}` with `{{ secret('NAME') }}`",
            _ => "write it out: `https://host/path`",
        }
    }
}

/// Checks a URL without templates.
fn check(text: &str) -> Result<(), TargetError> {
    if !text.contains("://") {
        return Err(TargetError::Schemeless);
    }
    let uri: Uri = text.parse().or(Err(TargetError::NoUrl))?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err(TargetError::OtherScheme);
    }
    let Some(authority) = uri.authority().filter(|authority| !authority.host().is_empty()) else {
        return Err(TargetError::Hostless);
    };
    if authority.as_str().contains('@') {
        return Err(TargetError::Password);
    }
    let host = authority.host();
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-._:[]".contains(letter);
    if !host.chars().all(plain) {
        return Err(TargetError::NoUrl);
    }
    let port = authority.as_str().strip_prefix(host).unwrap_or_default();
    if !port.is_empty() && authority.port_u16().is_none_or(|port| port == 0) {
        return Err(TargetError::Port);
    }
    Ok(())
}

/// Checks the host that an event yields. A number that the system would take for an address is
/// refused.
fn check_host(text: &str) -> Result<(), TargetError> {
    let uri: Uri = text.parse().or(Err(TargetError::NoUrl))?;
    let host = uri.host().unwrap_or_default();
    let last = host.trim_end_matches('.').rsplit('.').next().unwrap_or_default();
    let digits = last.strip_prefix("0x").or(last.strip_prefix("0X"));
    let is_number = match digits {
        Some(digits) => digits.bytes().all(|byte| byte.is_ascii_hexdigit()),
        None => last.bytes().all(|byte| byte.is_ascii_digit()),
    };
    if is_number && host.parse::<Ipv4Addr>().is_err() {
        return Err(TargetError::Number);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_checked() {
        for right in [
            "https://ci.internal/build",
            "http://127.0.0.1:8080",
            "http://[::1]:8080/x?y=z",
            "https://host?x",
        ] {
            assert_eq!(check(right), Ok(()), "{right}");
        }
        for wrong in [
            "ci.internal/build",
            "ftp://host/",
            "https://",
            "https:///x",
            "https://user:pw@host/",
            "http://host:99999/",
            "http://host:/",
            "http://host:0/",
            "https://host/a b",
            "https://höst/",
            "https://a%2eb/",
            "https://user@host/",
            "",
        ] {
            assert!(check(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_number_in_place_of_an_address_is_refused() {
        for right in [
            "http://127.0.0.1/",
            "http://[::1]:1/",
            "http://1.example/",
            "http://a1/",
            "http://0xg/",
        ] {
            assert_eq!(check_host(right), Ok(()), "{right}");
        }
        for wrong in [
            "http://2130706433/",
            "http://0x7f.1/",
            "http://0X7F000001/",
            "http://0177.0.0.1:8/",
            "http://127.1/",
            "http://127.0.0.1./",
            "http://a.0x/",
        ] {
            assert_eq!(check_host(wrong), Err(TargetError::Number), "{wrong}");
        }
    }

    #[test]
    fn the_base_ends_where_the_path_begins() {
        for (url, expected) in [
            ("https://a.b:1/c", "https://a.b:1"),
            ("https://a?x=/", "https://a"),
            ("https://a#x", "https://a"),
            ("https://a{{ x }}/b", "https://a{{ x }}"),
            ("{{ x }}", "{{ x }}"),
        ] {
            assert_eq!(base(url), expected);
        }
    }

    #[test]
    fn the_log_shows_only_parts_of_a_url_that_are_not_secret() {
        for (url, source, expected) in [
            ("http://a.b:1/hook", "http://a.b:1/hook", "http://a.b:1/hook"),
            ("http://a.b", "http://a.b", "http://a.b/"),
            ("https://a/x?token=1", "https://a/x?token=1", "https://a/x"),
            (
                "https://a/x/s3cret/y",
                "https://a/x/{{ secret('T') }}/y",
                "https://a/x/…/y",
            ),
            (
                "https://a/x/main",
                "{{ payload.host }}/x/{{ payload.ref }}",
                "https://a/x/…",
            ),
            (
                "https://hooks.slack.com/services/T00000000/B00000000/abcdefghijklmnopqrstuvwx",
                "https://hooks.slack.com/services/T00000000/B00000000/abcdefghijklmnopqrstuvwx",
                "https://hooks.slack.com/services/T00000000/B00000000/…",
            ),
        ] {
            assert_eq!(shown(&url.parse().unwrap(), source), expected, "{source}");
        }
    }

    #[test]
    fn encoded_dots_are_recognised() {
        assert!([".", "..", "%2e%2E", ".%2e"].into_iter().all(is_dot_segment));
        assert!(!["...", "a..", "", "%2e%2e%2e"].into_iter().any(is_dot_segment));
    }
}
