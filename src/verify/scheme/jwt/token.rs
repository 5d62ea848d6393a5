//! A signed token as it is written: the compact form of a JWS (RFC 7515, section 7.1), taken strictly.
//!
//! Three segments, each unpadded base64url and not empty. Of the header only `alg` and `kid` are read: a key or the
//! address of one (`jwk`, `jku`, `x5c`, `x5u`) that a stranger writes into it counts for nothing. The payload stays
//! bytes until the signature has been found to hold. No fault repeats what stands in the token.

use std::fmt;

use data_encoding::BASE64URL_NOPAD;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::{Map, Value};

/// The longest token that is read, in bytes.
pub const MAX_TOKEN: usize = 16 << 10;

/// A well-written token. Nothing in it is believed yet.
pub struct SignedToken<'t> {
    /// What its header gives as `alg`.
    pub algorithm: String,
    /// What its header gives as `kid`.
    pub kid: Option<String>,
    /// What is signed: header and payload as they were written.
    pub signed: &'t [u8],
    /// The signature.
    pub signature: Vec<u8>,
    payload: Vec<u8>,
}

impl<'t> SignedToken<'t> {
    /// Reads a token; the error says what is wrong, to follow "the token".
    pub fn parse(text: &'t [u8]) -> Result<Self, String> {
        // Looked at first: what comes from a stranger may be as long as a head can be.
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
        // RFC 7515, section 4.1.11: whoever does not understand what is critical must refuse it. RFC 7797's `b64` would have the
        // payload read in another way than it is read here.
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

    /// The claims (RFC 7519, section 4). Asked for only once the signature is known to hold.
    pub fn claims(&self) -> Result<UniqueMembers, String> {
        UniqueMembers::parse(&self.payload)
            .ok_or_else(|| "has a payload that is not a JSON object with each of its members once".to_owned())
    }
}

/// The bytes of a segment. Base64url is taken strictly, so that no two texts stand for the same bytes.
fn segment(name: &str, text: &[u8]) -> Result<Vec<u8>, String> {
    if text.is_empty() {
        return Err(format!("has an empty {name}"));
    }
    BASE64URL_NOPAD
        .decode(text)
        .ok()
        .ok_or_else(|| format!("has a {name} that is not unpadded base64url"))
}

/// The members of a JSON object, each of which stands in it once: of two with one name nobody can tell which counts, and
/// readers differ (RFC 7515, section 4; RFC 7519, section 4).
#[derive(Debug)]
pub struct UniqueMembers(Map<String, Value>);

impl UniqueMembers {
    /// Reads an object. The parser's words are left out: they could repeat what stands in it.
    fn parse(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }

    /// The value of a member.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }
}

impl<'de> Deserialize<'de> for UniqueMembers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Once)
    }
}

/// Reads an object whose members stand in it once.
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

    /// What is wrong with a token of this header.
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
            // Padded, of the other alphabet, with set trailing bits, with a space, a newline, of a length that cannot be.
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
