//! Files that the page loads: one style sheet, one script, one icon. Each has an `ETag`, so that a
//! browser asks whether it has changed and gets an answer without a body.

use bytes::Bytes;
use data_encoding::HEXLOWER;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use sha2::{Digest, Sha256};

/// A file that the page loads.
#[derive(Debug)]
struct Asset {
    path: &'static str,
    media_type: &'static str,
    content: &'static [u8],
}

const ASSETS: [Asset; 3] = [
    Asset {
        path: "/assets/style.css",
        media_type: "text/css; charset=utf-8",
        content: include_bytes!("assets/style.css"),
    },
    Asset {
        path: "/assets/page.js",
        media_type: "text/javascript; charset=utf-8",
        content: include_bytes!("assets/page.js"),
    },
    Asset {
        path: "/assets/icon.svg",
        media_type: "image/svg+xml",
        content: include_bytes!("assets/icon.svg"),
    },
];

/// The assets with their tags.
#[derive(Debug)]
pub struct Assets {
    /// In the order of [`ASSETS`].
    tags: Vec<HeaderValue>,
}

impl Assets {
    pub fn new() -> Self {
        let tag = |asset: &Asset| {
            let mut digest = HEXLOWER.encode(&Sha256::digest(asset.content));
            digest.truncate(32);
            HeaderValue::try_from(format!("\"{digest}\"")).unwrap_or(HeaderValue::from_static("\"\""))
        };
        Self {
            tags: ASSETS.iter().map(tag).collect(),
        }
    }

    /// Answers a request for an asset. `None` if there is none at the path.
    pub fn answer(&self, path: &str, headers: &HeaderMap) -> Option<Response<Bytes>> {
        let mut known = ASSETS.iter().zip(&self.tags);
        let (asset, tag) = known.find(|(asset, _)| asset.path == path)?;
        let is_current = headers.get(header::IF_NONE_MATCH) == Some(tag);
        let body = if is_current {
            Bytes::new()
        } else {
            Bytes::from_static(asset.content)
        };
        let mut response = Response::new(body);
        if is_current {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
        }
        let media_type = HeaderValue::from_static(asset.media_type);
        response.headers_mut().insert(header::CONTENT_TYPE, media_type);
        response.headers_mut().insert(header::ETAG, tag.clone());
        let revalidate = HeaderValue::from_static("no-cache");
        response.headers_mut().insert(header::CACHE_CONTROL, revalidate);
        Some(response)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_asset_that_the_browser_has_is_not_sent_again() {
        let assets = Assets::new();
        let mut headers = HeaderMap::new();
        let first = assets.answer("/assets/style.css", &headers).unwrap();
        assert_eq!(first.status(), StatusCode::OK);
        assert!(!first.body().is_empty());
        headers.insert(header::IF_NONE_MATCH, first.headers()[header::ETAG].clone());
        let second = assets.answer("/assets/style.css", &headers).unwrap();
        assert_eq!(second.status(), StatusCode::NOT_MODIFIED);
        assert!(second.body().is_empty());
        // The tag of another asset is not its own.
        assert_eq!(
            assets.answer("/assets/page.js", &headers).unwrap().status(),
            StatusCode::OK
        );
        assert!(assets.answer("/assets/none", &headers).is_none());
    }
}
