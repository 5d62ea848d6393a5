//! Target URI of a request, as its sender knows it.
//!
//! It is composed of `server.public_url` and the path and query as received. `Host` and the headers
//! of proxies are not used, because the caller chooses them.

/// Parts of the target URI.
#[derive(Debug)]
pub struct Target {
    /// Whole URI. `None` if the public URL is not known.
    pub uri: Option<String>,
    /// Scheme and authority, both in lower case, without the default port.
    pub origin: Option<(String, String)>,
    /// Absolute path, still percent-encoded.
    pub path: String,
    /// `?` and the query as received. `?` alone if there is none.
    pub query: String,
}

impl Target {
    /// The target of a request to this path. `public_url` has no trailing slash, and may be empty.
    pub fn of(public_url: &str, path: &str, query: &str) -> Self {
        let origin = origin(public_url);
        let prefix = origin.as_ref().map_or("", |(_, _, prefix)| prefix.as_str());
        let path = match format!("{prefix}{path}") {
            empty if empty.is_empty() => "/".to_owned(),
            path => path,
        };
        let mark = if query.is_empty() { "" } else { "?" };
        Self {
            uri: origin
                .as_ref()
                .map(|(scheme, authority, _)| format!("{scheme}://{authority}{path}{mark}{query}")),
            path,
            query: format!("?{query}"),
            origin: origin.map(|(scheme, authority, _)| (scheme, authority)),
        }
    }

    /// The target of a complete URL, with its path and query.
    pub fn parse(url: &str) -> Option<(Self, &str, &str)> {
        let url = url.split_once('#').map_or(url, |(url, _)| url);
        let (_, rest) = url.split_once("://")?;
        let end = url.len() - rest.len() + rest.find(['/', '?']).unwrap_or(rest.len());
        let (base, rest) = url.split_at_checked(end)?;
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        Some((Self::of(base, path, query), path, query))
    }

    /// Path and query, as in the request line.
    pub fn request_target(&self) -> String {
        match self.query.as_str() {
            "?" => self.path.clone(),
            query => format!("{}{query}", self.path),
        }
    }
}

/// Scheme, authority and path of a URL. `None` if it has no scheme.
fn origin(url: &str) -> Option<(String, String, String)> {
    let (scheme, rest) = url.split_once("://")?;
    let (authority, path) = match rest.find('/') {
        Some(at) => rest.split_at_checked(at)?,
        None => (rest, ""),
    };
    let scheme = scheme.to_ascii_lowercase();
    let authority = authority.to_ascii_lowercase();
    let default = match scheme.as_str() {
        "https" => ":443",
        "http" => ":80",
        _ => "",
    };
    let authority = authority.strip_suffix(default).unwrap_or(&authority).to_owned();
    Some((scheme, authority, path.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_that_of_the_public_url() {
        for (public_url, path, query, uri, authority) in [
            (
                "https://Example.COM",
                "/foo",
                "a=1",
                "https://example.com/foo?a=1",
                "example.com",
            ),
            (
                "https://example.com:443",
                "/foo",
                "",
                "https://example.com/foo",
                "example.com",
            ),
            (
                "http://example.com:8080/hooks",
                "/in",
                "",
                "http://example.com:8080/hooks/in",
                "example.com:8080",
            ),
            (
                "https://[2001:db8::1]:443",
                "/",
                "",
                "https://[2001:db8::1]/",
                "[2001:db8::1]",
            ),
            (
                "https://example.com",
                "",
                "",
                "https://example.com/",
                "example.com",
            ),
        ] {
            let target = Target::of(public_url, path, query);
            assert_eq!(target.uri.as_deref(), Some(uri));
            assert_eq!(
                target.origin.map(|(_, authority)| authority).as_deref(),
                Some(authority)
            );
        }
        let unknown = Target::of("", "/foo", "a=1");
        assert_eq!((unknown.uri, unknown.origin), (None, None));
        assert_eq!((unknown.path.as_str(), unknown.query.as_str()), ("/foo", "?a=1"));
        let (target, path, query) = Target::parse("https://h:1/x?y#z").unwrap();
        assert_eq!(
            (target.uri.as_deref(), path, query),
            (Some("https://h:1/x?y"), "/x", "y")
        );
        assert_eq!(target.request_target(), "/x?y");
    }
}
