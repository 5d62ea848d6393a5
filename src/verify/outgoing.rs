//! Requests that are signed as their sender would sign them.

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::base::clock::Timestamp;

/// Request that is to be signed.
#[derive(Clone, Copy, Debug)]
pub struct OutgoingRequest<'d> {
    pub method: &'d Method,
    /// Complete URL, in the form in which a sender signs it.
    pub url: &'d str,
    /// Headers so far. The signed content may include one of them.
    pub headers: &'d HeaderMap,
    pub body: &'d [u8],
    /// Time of sending.
    pub at: Timestamp,
    /// Id of the request, for schemes that have one.
    pub id: &'d str,
    /// If true, a timestamp that the body already contains is overwritten.
    pub restamp: bool,
}

/// Additions of a sender to an [`OutgoingRequest`].
#[derive(Debug, Default)]
pub struct Signed {
    /// Headers. Each replaces the header of that name in the draft.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Parameters, appended to the query.
    pub query: Vec<(String, String)>,
    /// New body, if part of the proof is in the body.
    pub body: Option<Vec<u8>>,
}

impl Signed {
    /// Returns the draft's URL with the parameters appended to its query.
    pub fn url(&self, url: &str) -> String {
        let (url, fragment) = url
            .split_once('#')
            .map_or((url, None), |(url, rest)| (url, Some(rest)));
        let mut whole = url.to_owned();
        for (name, value) in &self.query {
            whole.push(if whole.contains('?') { '&' } else { '?' });
            let escaped = |text| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
            whole.push_str(&escaped(name));
            whole.push('=');
            whole.push_str(&escaped(value));
        }
        if let Some(fragment) = fragment {
            whole.push('#');
            whole.push_str(fragment);
        }
        whole
    }
}
