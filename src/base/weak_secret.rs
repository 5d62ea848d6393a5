//! Weaknesses of a secret, as far as the text shows them.
//!
//! A weak secret is a warning, not an error. The warnings never repeat the secret.

/// Minimum length of a secret, in bytes. A shorter one can be guessed, or found by trial.
pub const SHORT: usize = 16;

/// Secrets from examples, in lower case, reduced to letters and digits. Attackers try these first.
const FAMOUS: [&str; 30] = [
    "123456",
    "12345678",
    "123456789",
    "admin",
    "changeit",
    "changeme",
    "changethis",
    "default",
    "example",
    "foobar",
    "hunter2",
    "insertsecrethere",
    "itsasecrettoeverybody",
    "letmein",
    "mysecret",
    "mysecretkey",
    "mysecrettoken",
    "passw0rd",
    "password",
    "placeholder",
    "qwerty",
    "replaceme",
    "secret",
    "secretkey",
    "supersecret",
    "topsecret",
    "webhooksecret",
    "whsecmfkq9r8gkyqrtwjupd8ilpzio2lalasw",
    "yoursecret",
    "yourwebhooksecret",
];

/// The weaknesses of a secret that should have `least` bytes.
pub fn doubts(secret: &[u8], least: usize) -> Vec<String> {
    let mut doubts = Vec::new();
    if secret.trim_ascii().len() < secret.len() {
        doubts.push("the secret begins or ends with a blank or a line break, which counts".to_owned());
    }
    if is_unexpanded(secret) {
        doubts.push("the secret looks like a variable that was not replaced".to_owned());
    } else if is_famous(secret) {
        doubts.push("the secret is a word out of examples, which strangers try first".to_owned());
    } else if secret.len() < least {
        let bytes = if secret.len() == 1 { "byte" } else { "bytes" };
        doubts.push(format!(
            "the secret has {} {bytes}: use {least} or more, which cannot be guessed",
            secret.len()
        ));
    }
    doubts
}

/// True if the text is a placeholder for a variable: `$NAME`, `${NAME}`, `{{ … }}`.
pub fn is_unexpanded(text: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(text.trim_ascii()) else {
        return false;
    };
    let is_name = |name: &str| {
        let mut letters = name.bytes();
        letters
            .next()
            .is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
            && letters.all(|letter| letter.is_ascii_alphanumeric() || letter == b'_')
    };
    let braced = |open: &str, close: &str| text.strip_prefix(open)?.strip_suffix(close);
    braced("{{", "}}").is_some()
        || braced("${{", "}}").is_some()
        || braced("${", "}").is_some()
        || braced("$(", ")").is_some()
        || text
            .strip_prefix('$')
            .is_some_and(|name| is_name(name) && name.to_ascii_uppercase() == name)
}

/// True if the secret is known from examples, or repeats one byte.
fn is_famous(secret: &[u8]) -> bool {
    let letters = secret.iter().filter(|byte| byte.is_ascii_alphanumeric());
    let bare: Vec<u8> = letters.map(u8::to_ascii_lowercase).collect();
    let angled = secret.starts_with(b"<") && secret.ends_with(b">");
    let one = secret.first();
    angled
        || FAMOUS.iter().any(|famous| famous.as_bytes() == bare)
        || (secret.len() > 1 && secret.iter().all(|byte| Some(byte) == one))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_doubtful_is_said_and_never_the_secret() {
        let fine = "5f2c1e0b9a8d7c6b5a49382716f5e4d3";
        assert_eq!(doubts(fine.as_bytes(), SHORT), [""; 0]);
        assert_eq!(doubts(fine.as_bytes(), 32), [""; 0]);
        for (secret, word) in [
            ("change-me", "examples"),
            ("CHANGE_ME", "examples"),
            ("Password", "examples"),
            ("It's a Secret to Everybody", "examples"),
            ("<your webhook secret>", "examples"),
            ("xxxxxxxxxxxxxxxxxxxxxxxx", "examples"),
            ("k", "the secret has 1 byte:"),
            ("fifteen-letters", "the secret has 15 bytes: use 16 or more"),
            ("${GITHUB_SECRET}", "variable"),
            ("$GITHUB_SECRET", "variable"),
            ("{{ secret }}", "variable"),
            ("${{ secrets.HOOK }}", "variable"),
        ] {
            let doubts = doubts(secret.as_bytes(), SHORT);
            assert_eq!(doubts.len(), 1, "{secret}");
            assert!(doubts[0].contains(word), "{secret}: {doubts:?}");
            assert!(!doubts[0].contains(secret) || secret.len() == 1, "{doubts:?}");
        }
        for blank in ["\n", " ", "\r\n", "\t"] {
            for secret in [format!("{fine}{blank}"), format!("{blank}{fine}")] {
                let doubts = doubts(secret.as_bytes(), SHORT);
                assert_eq!(doubts.len(), 1, "{secret:?}");
                assert!(doubts[0].contains("blank"), "{doubts:?}");
            }
        }
        // A secret may begin with a dollar sign.
        for secret in [
            "$2b$10$N9qo8uLOickgx2ZMRZoMye",
            "$aBcDeFgHiJkLmNoP",
            "${unfinished-secret",
        ] {
            assert_eq!(doubts(secret.as_bytes(), SHORT), [""; 0], "{secret}");
        }
    }
}
