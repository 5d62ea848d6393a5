//! What a sender signs: a template of bytes such as `{id}.{timestamp}.{body}`.
//!
//! It is parsed at load and expanded in one pass, by feeding the key piece after piece: nothing in a body is ever
//! read as a template, and for a MAC no body is copied. The template also tells whether the place where the id ends can
//! be moved without the signature noticing.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName};

use super::url;
use crate::verify::Refusal;
use crate::verify::handshake::is_token_byte;
use crate::verify::scheme::source::only_line;

/// The names that may stand in braces.
pub const TOKENS: [&str; 7] = [
    "body",
    "timestamp",
    "id",
    "method",
    "url",
    "decoded_url",
    "header:NAME",
];

/// The word for what Twilio signs, which no template says: the URL, and the fields of a form in their order.
pub const TWILIO: &str = "twilio";

/// One piece of a content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// These bytes.
    Literal(Vec<u8>),
    /// The raw body.
    Body,
    /// The timestamp, as it was received.
    Timestamp,
    /// The id, as it was received.
    Id,
    /// The method.
    Method,
    /// The public URL with path and query.
    Url,
    /// The same with the escapes undone that `HubSpot` undoes.
    DecodedUrl,
    /// The fields of a form as Twilio signs them; of any other body nothing, for its digest stands in the URL.
    Fields,
    /// The value of a header.
    Header(HeaderName),
}

/// A parsed template.
#[derive(Clone, Debug)]
pub struct Content {
    pieces: Vec<Piece>,
}

/// What fills the template for one request.
pub struct Filling<'f> {
    /// The bytes that count as the body.
    pub body: &'f [u8],
    /// The timestamp's text.
    pub timestamp: &'f [u8],
    /// The id's text.
    pub id: &'f [u8],
    /// The method.
    pub method: &'f str,
    /// The URL.
    pub url: &'f str,
    /// All headers.
    pub headers: &'f HeaderMap,
    /// The fields of a form, in Twilio's order.
    pub fields: &'f [u8],
}

impl Filling<'_> {
    /// The same request at another URL.
    pub fn at<'u>(&'u self, url: &'u str) -> Filling<'u> {
        Filling { url, ..*self }
    }
}

/// What is wrong with a template.
#[derive(Debug, PartialEq, Eq)]
pub enum ContentError {
    /// A name in braces that is none of [`TOKENS`].
    Unknown(String),
    /// Anything else, in words.
    Other(String),
}

impl Content {
    /// Parses a template, or the word [`TWILIO`].
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

    /// Whether `piece` is in it.
    pub fn covers(&self, piece: &Piece) -> bool {
        self.pieces.contains(piece)
    }

    /// Whether a signature over it holds for one body alone.
    pub fn covers_body(&self) -> bool {
        self.covers(&Piece::Body) || self.covers(&Piece::Fields)
    }

    /// Whether it holds the URL in any form.
    pub fn covers_url(&self) -> bool {
        self.covers(&Piece::Url) || self.covers(&Piece::DecodedUrl)
    }

    /// Whether all of it may be one token, such as a handshake signs for strangers: whatever is fixed in it could stand in one.
    pub fn may_be_token(&self) -> bool {
        self.pieces.iter().all(|piece| match piece {
            Piece::Literal(bytes) => bytes.iter().all(|byte| is_token_byte(*byte)),
            // A URL has `://` in it.
            Piece::Url | Piece::DecodedUrl => false,
            _ => true,
        })
    }

    /// Whether it is the body and nothing else.
    pub fn is_body_alone(&self) -> bool {
        self.pieces == [Piece::Body]
    }

    /// Takes `{header:NAME}` for what that header is said to hold: `piece` is the timestamp or the id.
    pub fn name(&mut self, header: &HeaderName, piece: &Piece) {
        for named in &mut self.pieces {
            if matches!(named, Piece::Header(name) if name == header) {
                *named = piece.clone();
            }
        }
    }

    /// The bytes that an id must not hold, lest its end be moved: `msg.1` + `.` + `2` would sign like `msg` + `.` + `1.2`.
    /// `None` if nothing marks where the id begins or ends, so that no id could be trusted.
    pub fn forbidden_in_id(&self) -> Option<Vec<u8>> {
        let Some(at) = self.pieces.iter().position(|piece| *piece == Piece::Id) else {
            return Some(Vec::new());
        };
        let before = self.pieces.get(..at).unwrap_or_default();
        let after = self.pieces.get(at + 1..).unwrap_or_default();
        let mut forbidden = Vec::new();
        // A timestamp has one spelling, and a digit more or less makes it stale. That another one may stand in what
        // follows is seen to by whoever reads ids: where pieces run together an id has few letters.
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

    /// Whether two of its pieces stand side by side with nothing between them, so that a signature over it holds for
    /// other requests, too: the end of the one and the beginning of the next can be moved.
    pub fn runs_together(&self) -> bool {
        let variable = |piece: &Piece| !matches!(piece, Piece::Literal(_));
        self.pieces.windows(2).any(|pair| pair.iter().all(variable))
    }

    /// Feeds a request's content to `take`, piece after piece.
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

    /// A request's content in one piece; borrowed where it is the body alone.
    pub fn whole<'f>(&self, filling: &Filling<'f>) -> Result<Cow<'f, [u8]>, Refusal> {
        if self.pieces == [Piece::Body] {
            return Ok(Cow::Borrowed(filling.body));
        }
        let mut whole = Vec::with_capacity(filling.body.len() + 128);
        self.feed(filling, |bytes| whole.extend_from_slice(bytes))?;
        Ok(Cow::Owned(whole))
    }
}

/// The piece that a name in braces stands for.
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
