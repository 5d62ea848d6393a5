//! Tokens whose MAC a sender may ask for, and why asking forges nothing.
//!
//! X signs its events with `HMAC(secret, body)`, and answers to its CRC are `HMAC(secret, crc_token)` under the same
//! secret: whoever asks for the CRC of a text holds the signature of an event whose body is that text. Three things
//! together take that away. A token is made of letters in which no JSON object or list can be written; an event
//! whose body could be a token is refused although its signature holds; and a scheme may have this handshake only if
//! what it signs is the body and nothing else, so that the first two say all there is to say. A second verification with
//! the same secret and without this handshake is found by `config`: an error on the same endpoint, a warning elsewhere.

/// The longest token, in bytes.
const LONGEST: usize = 256;

/// Whether a MAC is told of this text.
pub fn is_token(text: &[u8]) -> bool {
    (1..=LONGEST).contains(&text.len()) && text.iter().all(|byte| is_token_byte(*byte))
}

/// Whether a token may hold this byte.
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
