//! Parts of the request that are passed on as they arrived: method, path and query.
//!
//! The path is the whole path, as reverse proxies pass it on, and is added to that of the target. It
//! cannot leave the path of the target, and never chooses the host.

use http::Method;

use crate::event::Received;

/// Keyword for a part that is passed on.
pub const ORIGINAL: &str = "original";

/// Method of a forward.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ForwardMethod {
    Fixed(Method),
    Original,
}

impl ForwardMethod {
    /// Method of the request for this event.
    pub fn of<'m>(&'m self, received: &'m Received) -> &'m Method {
        match self {
            Self::Fixed(method) => method,
            Self::Original => &received.method,
        }
    }

    pub fn name(&self) -> &str {
        match self {
            Self::Fixed(method) => method.as_str(),
            Self::Original => ORIGINAL,
        }
    }
}

/// Adds the original path and query to a rendered URL. The error is the reason why that is not
/// possible.
pub fn extend(url: &str, received: &Received, path: bool, query: bool) -> Result<String, String> {
    let url = url.split_once('#').map_or(url, |(url, _)| url);
    let (before, own_query) = url.split_once('?').unwrap_or((url, ""));
    let mut extended = before.to_owned();
    if path {
        if climbs(&received.path) {
            return Err("the original path has a segment `.` or `..`".to_owned());
        }
        extended.truncate(extended.trim_end_matches('/').len());
        extended.push_str(&received.path);
    }
    let original = if query { received.query.as_str() } else { "" };
    let parts = [own_query, original];
    let queries: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    if !queries.is_empty() {
        extended.push('?');
        extended.push_str(&queries.join("&"));
    }
    Ok(extended)
}

/// Returns true if a server might leave the path of the target: for `.` and `..`, also encoded, with
/// encoded or reversed slashes, or with parameters after a `;`.
fn climbs(path: &str) -> bool {
    let mut plain = path.to_ascii_lowercase();
    for (encoded, letter) in [
        ("%2e", "."),
        ("%2f", "/"),
        ("%5c", "/"),
        ("\\", "/"),
        ("%3b", ";"),
    ] {
        plain = plain.replace(encoded, letter);
    }
    let mut segments = plain.split('/');
    segments.any(|segment| {
        let name = segment.split(';').next().unwrap_or_default();
        name == "." || name == ".."
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_cannot_leave_that_of_the_target() {
        for (path, climbing) in [
            ("/", false),
            ("/a/b.c/..d/e..", false),
            ("/...", false),
            ("/a/../b", true),
            ("/..", true),
            ("/./a", true),
            ("/a/%2e%2E/b", true),
            ("/a/.%2e", true),
            ("/a/..%2fb", true),
            ("/a%2F..%2Fb", true),
            ("/a/..\\b", true),
            ("/a/..%5Cb", true),
            ("/a/..;x=1/b", true),
            ("/a/..%3bx/b", true),
        ] {
            assert_eq!(climbs(path), climbing, "{path}");
        }
    }
}
