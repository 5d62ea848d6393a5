//! Strict parser for a signed token: the compact form of a JWS (RFC 7515, section 7.1).
//!
//! A token has three non-empty segments of unpadded base64url. Only `alg` and `kid` are read from
//! the header. A key, or the URL of a key, in the header (`jwk`, `jku`, `x5c`, `x5u`) is ignored.
//! The payload is parsed only after its signature has been verified. No error message quotes the
//! token.

use std::fmt;

use data_encoding::BASE64URL_NOPAD;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::{Map, Value};

/// Maximum length of a token, in bytes.
pub const MAX_TOKEN: usize = 16 << 10;

/// Well-formed token that has not been verified.
pub struct SignedToken<'t> {
    /// Value of `alg` in the header.
    pub algorithm: String,
    /// Value of `kid` in the header.
    pub kid: Option<String>,
    /// Signed bytes: header and payload as received.
    pub signed: &'t [u8],
    pub signature: Vec<u8>,
    payload: Vec<u8>,
}

impl<'t> SignedToken<'t> {
    /// Parses a token. The error is worded to follow "the token".
    pub fn parse(text: &'t [u8]) -> Result<Self, String> {
        // Checked first: a stranger may send a token as long as the headers permit.
        if text.len() > MAX_TOKEN {
            return Err(format!(
                "has {} bytes, where at most {MAX_TOKEN} are read",
                text.len()
            ));
        }
        let segments: Vec<&[u8]> = text.split(|byte| *byte == b'.').collect();
        let [header, payload, signature] = segments.as_slice() else {
            return Err(format!(
                "has {} segments: a signed token has three, with a `.` between them",
                segments.len()
            ));
        };
        let signed = text.get(..header.len() + 1 + payload.len()).unwrap_or_default();
        let header = UniqueMembers::parse(&segment("header", header)?)
            .ok_or("has a header that is not a JSON object with each of its members once")?;
        let payload = segment("payload", payload)?;
        let signature = segment("signature", signature)?;
        // RFC 7515, section 4.1.11: an unknown critical extension must be refused. `b64` of RFC
        // 7797 would change the encoding of the payload.
        if header.get("crit").is_some() || header.get("b64").is_some() {
            return Err("has a header that demands an extension: `crit` or `b64`".to_owned());
        }
        let algorithm = header.get("alg").and_then(Value::as_str);
        let algorithm = algorithm.ok_or("has a header without `alg`, or with one that is not text")?;
        let kid = match header.get("kid") {
            None => None,
            Some(Value::String(kid)) => Some(kid.clone()),
            Some(_) => return Err("has a header whose `kid` is not text".to_owned()),
        };
        Ok(Self {
            algorithm: algorithm.to_owned(),
            kid,
            signed,
            signature,
            payload,
        })
    }

    /// Parses the claims (RFC 7519, section 4). Called only after the signature has been verified.
    pub fn claims(&self) -> Result<UniqueMembers, String> {
        UniqueMembers::parse(&self.payload)
            .ok_or_else(|| "has a payload that is not a JSON object with each of its members once".to_owned())
    }
}

/// Decodes a segment. Decoding is strict, so that no two texts stand for the same bytes.
fn segment(name: &str, text: &[u8]) -> Result<Vec<u8>, String> {
    if text.is_empty() {
        return Err(format!("has an empty {name}"));
    }
    BASE64URL_NOPAD
        .decode(text)
        .ok()
        .ok_or_else(|| format!("has a {name} that is not unpadded base64url"))
}

/// Members of a JSON object in which each name occurs once.
///
/// Parsers differ in which of two members with the same name counts (RFC 7515, section 4; RFC 7519,
/// section 4).
#[derive(Debug)]
pub struct UniqueMembers(Map<String, Value>);

impl UniqueMembers {
    /// Parses an object. Omits the parser's message, which could quote the input.
    fn parse(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }

    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }
}

impl<'de> Deserialize<'de> for UniqueMembers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Once)
    }
}

/// Visitor that rejects duplicate members.
struct Once;

impl<'de> Visitor<'de> for Once {
    type Value = UniqueMembers;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut data: A) -> Result<UniqueMembers, A::Error> {
        let mut members = Map::new();
        while let Some((name, value)) = data.next_entry::<String, Value>()? {
            if members.insert(name, value).is_some() {
                return Err(A::Error::custom("a member stands in it twice"));
            }
        }
        Ok(UniqueMembers(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encode(text: &str) -> String {
        BASE64URL_NOPAD.encode(text.as_bytes())
    }

    /// Error of a token with this header.
    fn fault(header: &str) -> Option<String> {
        let text = format!("{}.{}.c2ln", encode(header), encode("{}"));
        SignedToken::parse(text.as_bytes()).err()
    }

    #[test]
    fn what_is_signed_is_header_and_payload_as_they_were_written() {
        // RFC 7515, appendix A.3.
        let text = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
        let token = SignedToken::parse(text.as_bytes()).unwrap();
        assert_eq!((token.algorithm.as_str(), token.kid.as_deref()), ("ES256", None));
        assert_eq!(token.signature.len(), 64);
        assert!(
            text.as_bytes().starts_with(token.signed) && text.as_bytes()[token.signed.len()..].len() == 87
        );
        let claims = token.claims().unwrap();
        assert_eq!(claims.get("iss"), Some(&Value::from("joe")));
        assert_eq!(claims.get("http://example.com/is_root"), Some(&Value::from(true)));
    }

    #[test]
    fn a_token_has_three_segments_of_strict_base64url() {
        let header = encode(r#"{"alg":"HS256"}"#);
        for (text, fault) in [
            (String::new(), "has 1 segments"),
            ("a".to_owned(), "has 1 segments"),
            (format!("{header}.e30"), "has 2 segments"),
            (format!("{header}.e30.c2ln.c2ln"), "has 4 segments"),
            (format!("{header}.a.b.c.d"), "has 5 segments"),
            ("..".to_owned(), "has an empty header"),
            (format!("{header}..c2ln"), "has an empty payload"),
            (format!("{header}.e30."), "has an empty signature"),
            // Padded, in the other alphabet, with non-zero trailing bits, with a space, with a
            // newline, of an impossible length.
            (format!("{header}.e30=.c2ln"), "has a payload that is not"),
            (format!("{header}.e30.c2l+"), "has a signature that is not"),
            (format!("{header}.e31.c2ln"), "has a payload that is not"),
            (format!("{header}.e30.c2ln "), "has a signature that is not"),
            (format!("{header}.e30.c2ln\n"), "has a signature that is not"),
            (format!(" {header}.e30.c2ln"), "has a header that is not unpadded"),
            (format!("{header}.e30.c2lna"), "has a signature that is not"),
            (format!("{header}.\u{e9}.c2ln"), "has a payload that is not"),
            ("x".repeat(MAX_TOKEN + 1), "has 16385 bytes"),
        ] {
            let found = SignedToken::parse(text.as_bytes()).err().unwrap();
            assert!(found.starts_with(fault), "{text:.80}: {found}");
        }
        let longest = format!("{header}.e30.{}", "A".repeat(MAX_TOKEN - header.len() - 5));
        assert_eq!(longest.len(), MAX_TOKEN);
        assert!(SignedToken::parse(longest.as_bytes()).is_ok());
    }

    #[test]
    fn a_header_is_an_object_that_demands_nothing() {
        assert_eq!(
            fault(r#"{"alg":"HS256","kid":"a","typ":"JWT","jku":"https://x"}"#),
            None
        );
        for header in [
            "",
            "x",
            "[]",
            "null",
            "\u{feff}{\"alg\":\"HS256\"}",
            r#"{"alg":"HS256"} x"#,
            r#"{"alg":"HS256","alg":"HS256"}"#,
            r#"{"alg":"HS256","\u0061lg":"none"}"#,
            r#"{"kid":"a"}"#,
            r#"{"alg":null}"#,
            r#"{"alg":["HS256"]}"#,
            r#"{"alg":"HS256","kid":1}"#,
            r#"{"alg":"HS256","kid":null}"#,
            r#"{"alg":"HS256","crit":["exp"],"exp":1}"#,
            r#"{"alg":"HS256","crit":[]}"#,
            r#"{"alg":"HS256","b64":false}"#,
        ] {
            assert!(fault(header).is_some(), "{header}");
        }
    }

    #[test]
    fn claims_stand_in_an_object_once() {
        let claims = |payload: &str| {
            let text = format!(
                "{}.{}.c2ln",
                encode(r#"{"alg":"HS256"}"#),
                BASE64URL_NOPAD.encode(payload.as_bytes())
            );
            SignedToken::parse(text.as_bytes()).unwrap().claims().is_ok()
        };
        assert!(claims("{}") && claims(r#" {"a": {"b": [1.5, null]}} "#));
        for payload in [
            r#"{"iss":"a","iss":"a"}"#,
            r#"{"exp":1,"\u0065xp":9999999999}"#,
            "[]",
            "1",
            "{",
            r#"{"exp":1e999}"#,
        ] {
            assert!(!claims(payload), "{payload}");
        }
        assert!(!claims(&"[".repeat(9_000)));
    }
}
