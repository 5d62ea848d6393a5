//! Tokens whose MAC any client may request, and the reasons why this does not allow forged events.
//!
//! X signs events with `HMAC(secret, body)`, and answers to its CRC are `HMAC(secret, crc_token)`
//! under the same secret. A client that requests the CRC of a text thus has the signature of an
//! event with that body. Three rules prevent such an event. A token consists of characters that
//! cannot form a JSON object or list. An event whose body could be a token is refused, even with a
//! valid signature. A scheme may have this handshake only if it signs the body and nothing else.
//! `config` finds a second verification with the same secret and without this handshake: an error
//! on the same endpoint, a warning elsewhere.

/// Maximum length of a token, in bytes.
const LONGEST: usize = 256;

/// Returns true if the MAC of this text may be disclosed.
pub fn is_token(text: &[u8]) -> bool {
    (1..=LONGEST).contains(&text.len()) && text.iter().all(|byte| is_token_byte(*byte))
}

/// Returns true if a token may contain this byte.
pub fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"+/=_-".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_senders_send_is_a_token_and_no_object_is() {
        for token in [
            "9b4507b3-9040-4669-9ca3-6b94edb50553",
            "MGQ4NWRhYjMtMmYzMS00M2Y1LWIwN2QtZmE0ODU2YjBhY2Fk",
            "a+b/c==",
            "x",
        ] {
            assert!(is_token(token.as_bytes()), "{token}");
        }
        for other in [
            "",
            "{}",
            "[1]",
            r#"{"for_user_id":"1"}"#,
            "\"text\"",
            "v0:1:x",
            "a b",
            "a.b",
            "a&b=c",
            "é",
            "a\n",
        ] {
            assert!(!is_token(other.as_bytes()), "{other}");
        }
        assert!(is_token(&[b'a'; 256]) && !is_token(&[b'a'; 257]));
    }
}
