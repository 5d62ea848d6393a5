//! Components that a signature must cover.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName};

use super::component::Component;
use crate::event::{EventId, Received};
use crate::verify::outgoing::OutgoingRequest;

/// A required component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Required {
    Method,
    TargetUri,
    Authority,
    Scheme,
    RequestTarget,
    Path,
    /// The query, if the request has one.
    Query,
    /// The digest of the body, if the request has one.
    ContentDigest,
    Header(HeaderName),
}

impl Required {
    /// Parses a name. `None` for any other derived component, or no valid header name.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "@method" => Self::Method,
            "@target-uri" => Self::TargetUri,
            "@authority" => Self::Authority,
            "@scheme" => Self::Scheme,
            "@request-target" => Self::RequestTarget,
            "@path" => Self::Path,
            "@query" => Self::Query,
            derived if derived.starts_with('@') => return None,
            "content-digest" => Self::ContentDigest,
            _ => Self::Header(HeaderName::from_bytes(name.as_bytes()).ok()?),
        })
    }

    /// Returns true if the public URL must be known.
    pub fn needs_public_url(&self) -> bool {
        matches!(self, Self::TargetUri | Self::Authority | Self::Scheme)
    }

    /// Returns true if the covered components include this one, or one that contains it.
    pub fn is_met(&self, covered: &[Component], received: &Received) -> bool {
        let has = |names: &[&str]| {
            let mut covered = covered.iter().filter(|component| component.is_whole());
            covered.any(|component| names.contains(&component.name.as_str()))
        };
        match self {
            Self::Method => has(&["@method"]),
            Self::TargetUri => has(&["@target-uri"]),
            Self::Authority => has(&["@authority", "@target-uri"]),
            Self::Scheme => has(&["@scheme", "@target-uri"]),
            Self::RequestTarget => has(&["@request-target", "@target-uri"]),
            Self::Path => has(&["@path", "@request-target", "@target-uri"]),
            Self::Query => received.query.is_empty() || has(&["@query", "@request-target", "@target-uri"]),
            Self::ContentDigest => received.body.is_empty() || has(&["content-digest"]),
            Self::Header(header) => has(&[header.as_str()]),
        }
    }

    /// The component with which we cover it. `None` if the request does not have it.
    pub fn ours(&self, received: &Received) -> Option<Component> {
        match self {
            Self::Query if received.query.is_empty() => None,
            Self::ContentDigest if received.body.is_empty() => None,
            required => Some(Component::whole(&required.to_string())),
        }
    }
}

impl fmt::Display for Required {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Method => "@method",
            Self::TargetUri => "@target-uri",
            Self::Authority => "@authority",
            Self::Scheme => "@scheme",
            Self::RequestTarget => "@request-target",
            Self::Path => "@path",
            Self::Query => "@query",
            Self::ContentDigest => "content-digest",
            Self::Header(header) => header.as_str(),
        })
    }
}

/// The request that a draft becomes, to build its signature base.
pub fn draft(draft: &OutgoingRequest<'_>, headers: &HeaderMap, path: &str, query: &str) -> Received {
    Received {
        id: EventId::new(draft.at),
        at: draft.at,
        endpoint: Arc::from(""),
        method: draft.method.clone(),
        path: path.to_owned(),
        query: query.to_owned(),
        parameters: Vec::new(),
        client: None,
        certificate: None,
        headers: headers.clone(),
        body: Bytes::copy_from_slice(draft.body),
    }
}
