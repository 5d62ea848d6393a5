//! A request that the operator pastes, read from text.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Method};

use crate::base::clock::Timestamp;
use crate::base::url_path;
use crate::event::{EventId, Received};
use crate::rules::{RuleSet, path_parameters};

/// Maximum headers of a pasted request.
const MAX_HEADERS: usize = 100;

/// Reads a request as it would arrive now. The error says which line is wrong.
pub fn parse(text: &str, rules: &RuleSet, now: Timestamp) -> Result<Received, String> {
    let (head, body) = split(text);
    let mut lines = head.lines().map(|line| line.trim_end_matches('\r')).enumerate();
    let (_, first) = lines.next().unwrap_or_default();
    let mut words = first.split_ascii_whitespace();
    let (method, target) = (words.next(), words.next());
    let hint = "line 1: write a method and a path, such as `POST /github`";
    let (method, target) = method.zip(target).ok_or(hint)?;
    if words.next().is_some_and(|version| !version.starts_with("HTTP/")) {
        return Err(hint.to_owned());
    }
    let method: Method = method
        .parse()
        .map_err(|_invalid| format!("line 1: `{method}` is not a method"))?;
    let target: http::Uri = target
        .parse()
        .ok()
        .filter(|_| target.starts_with('/'))
        .ok_or_else(|| format!("line 1: `{target}` is not a path that begins with `/`"))?;
    let headers = headers(lines.map(|(index, line)| (index + 1, line)))?;
    let path = target.path().to_owned();
    let normalized = url_path::normalized(&path);
    let found = rules.endpoint(&normalized);
    let (endpoint, parameters) = match &found {
        Some((endpoint, parameters)) => (
            Arc::clone(&endpoint.path),
            path_parameters(parameters).ok_or("line 1: the path is not UTF-8")?,
        ),
        None => (path.as_str().into(), Vec::new()),
    };
    Ok(Received {
        id: EventId::new(now),
        at: now,
        endpoint,
        method,
        query: target.query().unwrap_or_default().to_owned(),
        path,
        parameters,
        client: None,
        certificate: None,
        headers,
        body: body.to_owned().into(),
    })
}

/// The head, and the body after the first empty line.
fn split(text: &str) -> (&str, &str) {
    let ends = ["\r\n\r\n", "\n\n"]
        .iter()
        .filter_map(|end| Some((text.find(end)?, end.len())));
    match ends.min() {
        Some((at, length)) => (
            text.get(..at).unwrap_or_default(),
            text.get(at + length..).unwrap_or_default(),
        ),
        None => (text, ""),
    }
}

fn headers<'t>(lines: impl Iterator<Item = (usize, &'t str)>) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for (number, line) in lines.filter(|(_, line)| !line.is_empty()) {
        let (name, value) = line
            .split_once(':')
            .ok_or_else(|| format!("line {number}: a header is `Name: value`"))?;
        let parsed: HeaderName = name
            .parse()
            .map_err(|_invalid| format!("line {number}: `{name}` is not the name of a header"))?;
        let value: HeaderValue = value
            .trim()
            .parse()
            .map_err(|_invalid| format!("line {number}: this cannot be the value of a header"))?;
        if headers.len() == MAX_HEADERS {
            return Err(format!("line {number}: more than {MAX_HEADERS} headers"));
        }
        headers.append(parsed, value);
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load_text;

    #[test]
    fn a_request_is_read_and_a_mistake_has_its_line() {
        let rules = "rules: [{name: a, endpoint: '/a/{x}', verify: none, actions: [append: a]}]";
        let rules = load_text("rules.yaml".as_ref(), rules.to_owned(), Vec::new())
            .unwrap()
            .rules;
        let parse = |text: &str| parse(text, &rules, Timestamp::from_millis(0));
        let read = parse("POST /a/b%20c?q=1 HTTP/1.1\r\nX-A: 1\r\nX-A:2\r\n\r\nbo\n\ndy").unwrap();
        assert_eq!(
            (&*read.endpoint, &*read.path, &*read.query),
            ("/a/{x}", "/a/b%20c", "q=1")
        );
        assert_eq!(read.parameter("x"), Some("b c"));
        assert_eq!(read.headers.get_all("x-a").iter().count(), 2);
        assert_eq!(&*read.body, b"bo\n\ndy");
        let bare = parse("GET /other").unwrap();
        assert_eq!((&*bare.endpoint, bare.body.len()), ("/other", 0));
        for (text, error) in [
            ("", "line 1"),
            ("POST", "line 1"),
            ("POST a", "line 1"),
            ("POST http://a/b", "line 1"),
            ("P<ST /a", "line 1"),
            ("POST /a b", "line 1"),
            ("POST /a\nX-A", "line 2"),
            ("POST /a\nX A: 1", "line 2"),
            ("POST /a\nX-A: 1\nX-B: \u{7f}", "line 3"),
            ("POST /a\n{\"a\": 1}", "line 2"),
        ] {
            let failed = parse(text).unwrap_err();
            assert!(failed.starts_with(error), "{text}: {failed}");
        }
        let many = format!("POST /a\n{}", "X-A: 1\n".repeat(101));
        assert!(parse(&many).unwrap_err().starts_with("line 102"));
    }
}
