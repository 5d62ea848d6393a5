//! Weaknesses of a secret, as far as the text shows them.
//!
//! A weak secret is a warning, not an error. The warnings never repeat the secret.

use crate::base::count::counted;

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
pub fn weaknesses(secret: &[u8], least: usize) -> Vec<String> {
    let mut weaknesses = Vec::new();
    if secret.trim_ascii().len() < secret.len() {
        weaknesses.push("the secret begins or ends with a blank or a line break, which counts".to_owned());
    }
    weaknesses.extend(pasted(secret).map(str::to_owned));
    if is_unexpanded(secret) {
        weaknesses.push("the secret looks like a variable that was not replaced".to_owned());
    } else if is_famous(secret) {
        weaknesses.push("the secret is a word out of examples, which strangers try first".to_owned());
    } else if secret.len() < least {
        weaknesses.push(format!(
            "the secret has {}: use {least} or more, which cannot be guessed",
            counted(secret.len(), "byte")
        ));
    }
    weaknesses
}

/// A trace of the place from which a secret was copied. It counts as a part of the secret.
pub fn pasted(secret: &[u8]) -> Option<&'static str> {
    let text = std::str::from_utf8(secret.trim_ascii()).ok()?;
    if is_quoted(text) {
        Some("the secret stands in quotes, which count: leave them out")
    } else if is_assigned(text) {
        Some("the secret begins with a name and `=`, which count: give what stands behind them")
    } else if is_doubled(text) {
        Some("the secret has its prefix twice: leave one out")
    } else {
        None
    }
}

/// True if the text stands in quotes, as in a file for a shell.
fn is_quoted(text: &str) -> bool {
    const QUOTES: [(char, char); 5] = [
        ('"', '"'),
        ('\'', '\''),
        ('`', '`'),
        ('\u{201c}', '\u{201d}'),
        ('\u{2018}', '\u{2019}'),
    ];
    let inside = |(open, close)| text.strip_prefix(open)?.strip_suffix(close);
    QUOTES.into_iter().any(|quotes| inside(quotes).is_some())
}

/// True if the text is a line of an environment file: `NAME=value`. Base64 has `=` only at its end.
fn is_assigned(text: &str) -> bool {
    let text = text.strip_prefix("export ").unwrap_or(text);
    let Some((name, value)) = text.split_once('=') else {
        return false;
    };
    let name = name.trim_end();
    let is_variable = name.len() > 1
        && name.starts_with(|letter: char| letter.is_ascii_uppercase() || letter == '_')
        && name
            .bytes()
            .all(|letter| letter.is_ascii_uppercase() || letter.is_ascii_digit() || letter == b'_');
    let is_key = ["secret", "token", "key", "password"]
        .iter()
        .any(|word| name.to_ascii_lowercase().ends_with(word));
    (is_variable || is_key) && !value.trim_matches('=').trim().is_empty()
}

/// True if the text begins twice with the same prefix: `whsec_whsec_…`.
pub fn is_doubled(text: &str) -> bool {
    let prefix = text.find('_').and_then(|end| text.get(..=end));
    let named = |prefix: &&str| {
        let bare = prefix.trim_end_matches('_');
        bare.len() > 1 && bare.bytes().all(|letter| letter.is_ascii_alphanumeric())
    };
    prefix.filter(named).is_some_and(|prefix| {
        text.strip_prefix(prefix)
            .is_some_and(|rest| rest.starts_with(prefix))
    })
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
    fn a_weak_secret_gets_a_warning_that_does_not_repeat_it() {
        let fine = "5f2c1e0b9a8d7c6b5a49382716f5e4d3";
        assert_eq!(weaknesses(fine.as_bytes(), SHORT), [""; 0]);
        assert_eq!(weaknesses(fine.as_bytes(), 32), [""; 0]);
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
            let weaknesses = weaknesses(secret.as_bytes(), SHORT);
            assert_eq!(weaknesses.len(), 1, "{secret}");
            assert!(weaknesses[0].contains(word), "{secret}: {weaknesses:?}");
            assert!(
                !weaknesses[0].contains(secret) || secret.len() == 1,
                "{weaknesses:?}"
            );
        }
        for blank in ["\n", " ", "\r\n", "\t"] {
            for secret in [format!("{fine}{blank}"), format!("{blank}{fine}")] {
                let weaknesses = weaknesses(secret.as_bytes(), SHORT);
                assert_eq!(weaknesses.len(), 1, "{secret:?}");
                assert!(weaknesses[0].contains("blank"), "{weaknesses:?}");
            }
        }
        for (secret, words) in [
            (format!("\"{fine}\""), "quotes"),
            (format!("'{fine}'\n"), "quotes"),
            (format!("`{fine}`"), "quotes"),
            (format!("\u{201c}{fine}\u{201d}"), "quotes"),
            (format!("GITHUB_SECRET={fine}"), "a name and `=`"),
            (format!("export GITHUB_SECRET=\"{fine}\""), "a name and `=`"),
            (format!("SECRET = {fine}"), "a name and `=`"),
            (format!("webhook_secret={fine}"), "a name and `=`"),
            (format!("whsec_whsec_{fine}"), "its prefix twice"),
            (format!("sk_sk_{fine}"), "its prefix twice"),
        ] {
            let weaknesses = weaknesses(secret.as_bytes(), SHORT);
            assert!(
                weaknesses.iter().any(|doubt| doubt.contains(words)),
                "{secret}: {weaknesses:?}"
            );
            assert!(
                weaknesses.iter().all(|doubt| !doubt.contains(fine)),
                "{weaknesses:?}"
            );
        }
        for secret in [
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSx",
            "AAECAwQFBgcICQoLDA0ODw==",
            "ABCDEFGHIJKLMNOP====",
            "a=b&c=dkjkljlkjlkjlk",
            "5f2c\"1e0b9a8d7c6b5a49",
            "'tis-a-fine-secret-phrase",
            "a_a_a_a_a_a_a_a_a_a_",
        ] {
            assert_eq!(pasted(secret.as_bytes()), None, "{secret}");
        }
        // A secret may begin with a dollar sign.
        for secret in [
            "$2b$10$N9qo8uLOickgx2ZMRZoMye",
            "$aBcDeFgHiJkLmNoP",
            "${unfinished-secret",
        ] {
            assert_eq!(weaknesses(secret.as_bytes(), SHORT), [""; 0], "{secret}");
        }
    }
}
