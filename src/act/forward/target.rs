//! Where a request goes.
//!
//! Scheme, host and port are written out in the rules file, for a host that an event could choose would let any
//! sender reach into the private network. Path and query may hold templates; what they write is percent-encoded,
//! so that a value stays one segment or one query value, unless it is marked `| safe`.

use http::Uri;

use crate::act::Workshop;
use crate::diagnostic::Findings;
use crate::template::{Scope, Template, is_template};
use crate::yaml::Node;

/// Reads the URL.
pub fn compile(node: Node<'_>, workshop: &Workshop<'_>, findings: &mut Findings) -> Option<Template> {
    let Some(text) = node.as_str() else {
        let finding = node.error("url", "`forward` names a URL");
        findings.push(finding.hint("write `forward: https://…` or `forward: {url: https://…}`"));
        return None;
    };
    let fixed = base(text);
    if is_template(fixed) {
        findings.push(
            node.error(
                "url",
                "scheme, host and port of a URL are fixed: a template may stand behind them only",
            )
            .hint("an event must not choose the host that it is sent to; write one rule for each"),
        );
        return None;
    }
    let checked = if is_template(text) { fixed } else { text };
    if let Err((message, hint)) = check(checked) {
        findings.push(node.error("url", message).hint(hint));
        return None;
    }
    workshop
        .templates
        .read(node, Scope::Url, workshop.keyring, findings)
}

/// The URL that a template yields for an event; the error says why it is none.
pub fn rendered(source: &Template, text: &str) -> Result<Uri, String> {
    // Dots would climb out of the path that the rule names.
    let path = text.split(['?', '#']).next().unwrap_or_default();
    if source.literal().is_none() && path.split('/').any(is_dots) {
        return Err("the rendered URL has a segment `.` or `..`".to_owned());
    }
    if base(text) != base(source.source()) {
        return Err("the rendered URL has another host".to_owned());
    }
    text.parse()
        .map_err(|error| format!("the rendered URL is none: {error}"))
}

/// Scheme, host and port.
fn base(url: &str) -> &str {
    let behind_scheme = url.find("://").map_or(0, |at| at + 3);
    let rest = url.get(behind_scheme..).unwrap_or_default();
    let length = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    url.get(..behind_scheme + length).unwrap_or(url)
}

/// Whether a segment means "here" or "above", also where its dots are encoded.
fn is_dots(segment: &str) -> bool {
    let decoded = segment.replace("%2e", ".").replace("%2E", ".");
    decoded == "." || decoded == ".."
}

/// What is wrong with a URL without templates, and what would help.
fn check(text: &str) -> Result<(), (String, &'static str)> {
    let example = "write it out: `https://host/path`";
    if !text.contains("://") {
        return Err((format!("`{text}` has no scheme"), example));
    }
    let uri: Uri = text.parse().map_err(|error| {
        (
            format!("`{text}` is not a URL: {error}"),
            "spaces and letters beyond ASCII are percent-encoded, hosts written as `xn--…`",
        )
    })?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err((format!("`{text}` is neither `http` nor `https`"), example));
    }
    let Some(authority) = uri.authority().filter(|authority| !authority.host().is_empty()) else {
        return Err((format!("`{text}` has no host"), example));
    };
    if authority.as_str().contains('@') {
        return Err((
            "a URL with a password in it".to_owned(),
            "write `headers: {Authorization: …}` with `{{ secret('NAME') }}`",
        ));
    }
    let port = authority
        .as_str()
        .strip_prefix(authority.host())
        .unwrap_or_default();
    if !port.is_empty() && authority.port_u16().is_none_or(|port| port == 0) {
        return Err((format!("`{text}` has no valid port"), example));
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
            "",
        ] {
            assert!(check(wrong).is_err(), "{wrong}");
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
    fn dots_are_seen_through_their_encoding() {
        assert!([".", "..", "%2e%2E", ".%2e"].into_iter().all(is_dots));
        assert!(!["...", "a..", "", "%2e%2e%2e"].into_iter().any(is_dots));
    }
}
