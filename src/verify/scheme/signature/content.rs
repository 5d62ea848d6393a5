//! Signed content: a template of bytes such as `{id}.{timestamp}.{body}`.
//!
//! The template is parsed at load. It is expanded in one pass that feeds the key piece by piece. A
//! body is never interpreted as a template, and is not copied for a MAC. The template also shows
//! whether the end of the id could move without invalidating the signature.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName};

use super::url;
use crate::verify::parts::mac_token::is_token_byte;
use crate::verify::parts::source::only_line;
use crate::verify::refusal::Refusal;

/// Names that are allowed in braces.
pub const TOKENS: [&str; 7] = [
    "body",
    "timestamp",
    "id",
    "method",
    "url",
    "decoded_url",
    "header:NAME",
];

/// Keyword for the content that Twilio signs: the URL, and the sorted fields of a form. No template
/// expresses it.
pub const TWILIO: &str = "twilio";

/// Piece of a content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    Literal(Vec<u8>),
    /// Raw body.
    Body,
    /// Timestamp as received.
    Timestamp,
    /// Id as received.
    Id,
    Method,
    /// Public URL with path and query.
    Url,
    /// Public URL with the escapes decoded that `HubSpot` decodes.
    DecodedUrl,
    /// Fields of a form as Twilio signs them. Empty for any other body, whose digest is in the URL.
    Fields,
    /// Value of a header.
    Header(HeaderName),
}

/// Parsed template.
#[derive(Clone, Debug)]
pub struct Content {
    pieces: Vec<Piece>,
}

/// Values of the template for one request.
pub struct Filling<'f> {
    /// Bytes that are signed as the body.
    pub body: &'f [u8],
    pub timestamp: &'f [u8],
    pub id: &'f [u8],
    pub method: &'f str,
    pub url: &'f str,
    pub headers: &'f HeaderMap,
    /// Fields of a form, in Twilio's order.
    pub fields: &'f [u8],
}

impl Filling<'_> {
    /// Returns the same request with another URL.
    pub fn at<'u>(&'u self, url: &'u str) -> Filling<'u> {
        Filling { url, ..*self }
    }
}

/// Error in a template.
#[derive(Debug, PartialEq, Eq)]
pub enum ContentError {
    /// Name in braces that is not one of [`TOKENS`].
    Unknown(String),
    /// Any other error, as a message.
    Other(String),
}

impl Content {
    /// Parses a template, or the keyword [`TWILIO`].
    pub fn parse(text: &str) -> Result<Self, ContentError> {
        if text == TWILIO {
            return Ok(Self {
                pieces: vec![Piece::Url, Piece::Fields],
            });
        }
        let mut pieces: Vec<Piece> = Vec::new();
        let mut rest = text;
        while let Some((literal, after)) = rest.split_once('{') {
            let (token, after) = after.split_once('}').ok_or_else(|| {
                ContentError::Other(
                    "a `{` that no `}` closes: only tokens such as `{body}` have braces".to_owned(),
                )
            })?;
            push_literal(&mut pieces, literal);
            let piece = piece(token)?;
            if pieces.contains(&piece) {
                return Err(ContentError::Other(format!("`{{{token}}}` stands in it twice")));
            }
            pieces.push(piece);
            rest = after;
        }
        push_literal(&mut pieces, rest);
        if pieces.iter().all(|piece| matches!(piece, Piece::Literal(_))) {
            return Err(ContentError::Other(
                "nothing of the request is in it: the signature of one would be that of all".to_owned(),
            ));
        }
        Ok(Self { pieces })
    }

    /// Returns true if the content includes `piece`.
    pub fn covers(&self, piece: &Piece) -> bool {
        self.pieces.contains(piece)
    }

    /// Returns true if a signature over the content is valid for one body only.
    pub fn covers_body(&self) -> bool {
        self.covers(&Piece::Body) || self.covers(&Piece::Fields)
    }

    /// Returns true if the content includes the URL in either form.
    pub fn covers_url(&self) -> bool {
        self.covers(&Piece::Url) || self.covers(&Piece::DecodedUrl)
    }

    /// Returns true if the whole content may be one token of the kind that a handshake signs for
    /// any client. Every literal must then be possible inside a token.
    pub fn may_be_token(&self) -> bool {
        self.pieces.iter().all(|piece| match piece {
            Piece::Literal(bytes) => bytes.iter().all(|byte| is_token_byte(*byte)),
            // A URL contains `://`, which is not possible in a token.
            Piece::Url | Piece::DecodedUrl => false,
            _ => true,
        })
    }

    /// Returns true if the content is the body and nothing else.
    pub fn is_body_alone(&self) -> bool {
        self.pieces == [Piece::Body]
    }

    /// Replaces `{header:NAME}` by `piece`, if that header holds the timestamp or the id.
    pub fn name(&mut self, header: &HeaderName, piece: &Piece) {
        for named in &mut self.pieces {
            if matches!(named, Piece::Header(name) if name == header) {
                *named = piece.clone();
            }
        }
    }

    /// Bytes that an id must not contain, because they would make its end ambiguous.
    ///
    /// For example, `msg.1` + `.` + `2` has the same signature as `msg` + `.` + `1.2`. `None` if
    /// nothing delimits the id, so that no id could be trusted.
    pub fn forbidden_in_id(&self) -> Option<Vec<u8>> {
        let Some(at) = self.pieces.iter().position(|piece| *piece == Piece::Id) else {
            return Some(Vec::new());
        };
        let before = self.pieces.get(..at).unwrap_or_default();
        let after = self.pieces.get(at + 1..).unwrap_or_default();
        let mut forbidden = Vec::new();
        // A timestamp is a safe delimiter: it has a single spelling, and one digit more or less
        // makes it stale. `check_id` handles a second timestamp in the following piece: if pieces
        // are adjacent, it restricts the characters of an id.
        match before {
            [] | [Piece::Literal(_)] | [.., Piece::Timestamp] => {}
            [.., Piece::Literal(literal)] => forbidden.extend(literal.last()),
            _ => return None,
        }
        match after {
            [] | [Piece::Literal(_)] | [Piece::Timestamp, ..] => {}
            [Piece::Literal(literal), ..] => forbidden.extend(literal.first()),
            _ => return None,
        }
        Some(forbidden)
    }

    /// Returns true if two variable pieces are adjacent. The boundary between them can then move,
    /// so a signature is also valid for other requests.
    pub fn runs_together(&self) -> bool {
        let variable = |piece: &Piece| !matches!(piece, Piece::Literal(_));
        self.pieces.windows(2).any(|pair| pair.iter().all(variable))
    }

    /// Passes the content of a request to `take`, piece by piece.
    pub fn feed(&self, filling: &Filling<'_>, mut take: impl FnMut(&[u8])) -> Result<(), Refusal> {
        for piece in &self.pieces {
            match piece {
                Piece::Literal(bytes) => take(bytes),
                Piece::Body => take(filling.body),
                Piece::Timestamp => take(filling.timestamp),
                Piece::Id => take(filling.id),
                Piece::Method => take(filling.method.as_bytes()),
                Piece::Url => take(filling.url.as_bytes()),
                Piece::DecodedUrl => take(&url::decoded(filling.url)),
                Piece::Fields => take(filling.fields),
                Piece::Header(header) => {
                    let line = only_line(filling.headers, header)?;
                    take(line.ok_or_else(|| Refusal::MissingHeader {
                        header: header.clone(),
                    })?);
                }
            }
        }
        Ok(())
    }

    /// Returns the content of a request. Borrowed if it is the body alone.
    pub fn whole<'f>(&self, filling: &Filling<'f>) -> Result<Cow<'f, [u8]>, Refusal> {
        if self.pieces == [Piece::Body] {
            return Ok(Cow::Borrowed(filling.body));
        }
        let mut whole = Vec::with_capacity(filling.body.len() + 128);
        self.feed(filling, |bytes| whole.extend_from_slice(bytes))?;
        Ok(Cow::Owned(whole))
    }
}

/// Parses a name in braces.
fn piece(token: &str) -> Result<Piece, ContentError> {
    match token {
        "body" => Ok(Piece::Body),
        "timestamp" => Ok(Piece::Timestamp),
        "id" => Ok(Piece::Id),
        "method" => Ok(Piece::Method),
        "url" => Ok(Piece::Url),
        "decoded_url" => Ok(Piece::DecodedUrl),
        _ => {
            let name = token
                .strip_prefix("header:")
                .ok_or_else(|| ContentError::Unknown(token.to_owned()))?;
            let no_name = |_| ContentError::Other(format!("`{name}` is not the name of a header"));
            HeaderName::from_bytes(name.as_bytes())
                .map(Piece::Header)
                .map_err(no_name)
        }
    }
}

fn push_literal(pieces: &mut Vec<Piece>, literal: &str) {
    if !literal.is_empty() {
        pieces.push(Piece::Literal(literal.as_bytes().to_vec()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expand(template: &str, body: &[u8]) -> Vec<u8> {
        let mut headers = HeaderMap::new();
        headers.insert("x-one", "1 {body}".parse().unwrap());
        let filling = Filling {
            body,
            timestamp: b"10",
            id: b"{timestamp}",
            method: "POST",
            url: "https://h/x?{id}",
            headers: &headers,
            fields: b"",
        };
        let content = Content::parse(template).unwrap();
        let mut fed = Vec::new();
        content
            .feed(&filling, |bytes| fed.extend_from_slice(bytes))
            .unwrap();
        assert_eq!(content.whole(&filling).unwrap(), fed);
        fed
    }

    #[test]
    fn a_content_is_expanded_in_one_pass() {
        for body in [
            b"$& $1 \\1 %s {timestamp} {body} {{x}} {".as_slice(),
            b"nul \0 invalid \xff\xfe \xef\xbb\xbfbom \r\n",
            b"",
        ] {
            assert_eq!(expand("{body}", body), body);
            assert_eq!(
                expand("v0:{timestamp}:{body}}", body),
                [b"v0:10:", body, b"}"].concat()
            );
            assert_eq!(
                expand("{method}{url}{header:X-One}{id}.{body}", body),
                [b"POSThttps://h/x?{id}1 {body}{timestamp}.", body].concat()
            );
        }
    }

    #[test]
    fn a_template_that_is_none_is_refused() {
        for (template, unknown) in [
            ("{bdy}", Some("bdy")),
            ("{}", Some("")),
            ("{{body}}", Some("{body")),
            ("{Body}", Some("Body")),
            ("{body", None),
            ("", None),
            ("v0:", None),
            ("{body}{body}", None),
            ("{header:}", None),
            ("{header:a b}", None),
        ] {
            let fault = Content::parse(template).unwrap_err();
            match unknown {
                Some(name) => assert_eq!(fault, ContentError::Unknown(name.to_owned()), "{template}"),
                None => assert!(matches!(fault, ContentError::Other(_)), "{template}"),
            }
        }
    }

    #[test]
    fn the_ends_of_an_id_are_marked_or_it_is_not_trusted() {
        for (template, forbidden) in [
            ("{body}", Some("")),
            ("{id}.{timestamp}.{body}", Some(".")),
            ("v1:{id}.{body}", Some(".")),
            ("{id}{timestamp}{body}", Some("")),
            ("{timestamp}{id}:{body}", Some(":")),
            ("{body}.{id}", Some(".")),
            ("{body}/{id}--{url}", Some("/-")),
            ("{id}", Some("")),
            ("{id};", Some("")),
            ("{id}{body}", None),
            ("{body}{id}", None),
            ("{url}{id}.{body}", None),
        ] {
            let found = Content::parse(template).unwrap().forbidden_in_id();
            assert_eq!(
                found,
                forbidden.map(|bytes| bytes.as_bytes().to_vec()),
                "{template}"
            );
        }
    }
}
