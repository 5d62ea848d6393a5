//! Headers of every answer of the admin listeners, which limit what a browser does with it.
//!
//! Everything that the page shows comes from strangers. If a text is ever not escaped, the policy
//! still runs no script of it, loads nothing, and sends nothing elsewhere.

use http::{HeaderMap, HeaderName, HeaderValue, header};

/// Content security policy. Scripts and styles come from this server only, and never from text.
pub const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                          connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; \
                          require-trusted-types-for 'script'";

/// Headers with fixed values.
const FIXED: [(HeaderName, &str); 6] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    // Not `no-referrer`: with it, a browser sends `Origin: null` with the page's own forms.
    (header::REFERRER_POLICY, "same-origin"),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    ),
    (header::X_FRAME_OPTIONS, "DENY"),
];

/// Adds the headers to an answer. One that states `Cache-Control`, as the page's assets do, keeps
/// it. All others are not stored by the browser.
pub fn protect(headers: &mut HeaderMap) {
    for (name, value) in FIXED {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let stored = headers.entry(header::CACHE_CONTROL);
    stored.or_insert(HeaderValue::from_static("no-store"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_answer_is_protected_and_only_assets_are_stored() {
        let mut headers = HeaderMap::new();
        headers.insert(
            "content-security-policy",
            HeaderValue::from_static("default-src *"),
        );
        protect(&mut headers);
        let shown: Vec<String> = headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        assert_eq!(
            shown,
            [
                "content-security-policy: default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                 connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; \
                 require-trusted-types-for 'script'",
                "x-content-type-options: nosniff",
                "referrer-policy: same-origin",
                "cross-origin-resource-policy: same-origin",
                "cross-origin-opener-policy: same-origin",
                "x-frame-options: DENY",
                "cache-control: no-store",
            ]
        );
        let mut asset = HeaderMap::new();
        asset.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        protect(&mut asset);
        assert_eq!(asset.get(header::CACHE_CONTROL).unwrap(), "no-cache");
    }
}
