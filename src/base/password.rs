//! Hash of a password, as text: PBKDF2 with HMAC-SHA256 (RFC 8018), in the PHC string format.
//!
//! `$pbkdf2-sha256$i=600000,l=32$SALT$HASH`, in Base64 without padding. Hashing takes a large part
//! of a second on purpose, so it must not run on an async worker.

use std::fmt;
use std::num::NonZeroU32;

use aws_lc_rs::pbkdf2::{self, PBKDF2_HMAC_SHA256};
use aws_lc_rs::rand;
use data_encoding::BASE64_NOPAD;
use zeroize::Zeroizing;

/// Iterations of a new hash, as OWASP recommends for this function.
pub const ITERATIONS: u32 = 600_000;
/// Fewest iterations that a hash may have. Fewer make guessing cheap.
const MIN_ITERATIONS: u32 = 100_000;
/// Most iterations that a hash may have. Each login costs this much time: about four seconds.
const MAX_ITERATIONS: u32 = 10_000_000;
/// Length of a hash, in bytes.
const HASH: usize = 32;
/// Length of a new salt, in bytes. Other hashes may have up to [`MAX_SALT`].
const SALT: usize = 16;
const MAX_SALT: usize = 64;
/// Fewest characters of a password.
pub const MIN_PASSWORD: usize = 12;
/// Maximum length of a password, in bytes.
pub const MAX_PASSWORD: usize = 1024;

/// A password's hash, which is checked against candidates.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash {
    iterations: NonZeroU32,
    salt: Vec<u8>,
    hash: [u8; HASH],
}

// Guesses can be tried against a hash, so logs do not show it.
impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[password hash]")
    }
}

impl PasswordHash {
    /// Hashes a password with a random salt. The error says why the password is not accepted.
    pub fn new(password: &str) -> Result<Self, String> {
        if password.chars().count() < MIN_PASSWORD {
            return Err(format!("it has less than {MIN_PASSWORD} characters"));
        }
        if password.len() > MAX_PASSWORD {
            return Err(format!("it has more than {MAX_PASSWORD} bytes"));
        }
        if password.chars().any(char::is_control) {
            return Err("it has a control character, which no browser sends".to_owned());
        }
        let mut salt = vec![0; SALT];
        rand::fill(&mut salt).map_err(|_unspecified| "there is no randomness".to_owned())?;
        let iterations = NonZeroU32::new(ITERATIONS).ok_or("no iterations")?;
        let mut hash = [0; HASH];
        pbkdf2::derive(
            PBKDF2_HMAC_SHA256,
            iterations,
            &salt,
            password.as_bytes(),
            &mut hash,
        );
        Ok(Self {
            iterations,
            salt,
            hash,
        })
    }

    /// Reads a hash. The error says what is wrong, without the text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let shape = || "it is not `$pbkdf2-sha256$i=…,l=32$SALT$HASH`".to_owned();
        let mut parts = text.split('$');
        let mut next = || parts.next().ok_or_else(shape);
        let (before, function, settings, salt, hash) = (next()?, next()?, next()?, next()?, next()?);
        if !before.is_empty() || function != "pbkdf2-sha256" || parts.next().is_some() {
            return Err(shape());
        }
        let iterations = settings
            .strip_prefix("i=")
            .and_then(|rest| rest.strip_suffix(",l=32"));
        let iterations = iterations
            .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0'))
            .ok_or_else(shape)?;
        let iterations = iterations
            .parse()
            .ok()
            .filter(|count| (MIN_ITERATIONS..=MAX_ITERATIONS).contains(count));
        let iterations = iterations
            .and_then(NonZeroU32::new)
            .ok_or_else(|| format!("its iterations are not between {MIN_ITERATIONS} and {MAX_ITERATIONS}"))?;
        let decoded = |text: &str| BASE64_NOPAD.decode(text.as_bytes()).map_err(|_invalid| shape());
        let salt = decoded(salt)?;
        if !(8..=MAX_SALT).contains(&salt.len()) {
            return Err(format!("its salt has not between 8 and {MAX_SALT} bytes"));
        }
        let hash = decoded(hash)?.try_into().map_err(|_length| shape())?;
        Ok(Self {
            iterations,
            salt,
            hash,
        })
    }

    /// True if this is the hash of `candidate`. Takes the same time for every candidate.
    pub fn is_of(&self, candidate: &Zeroizing<String>) -> bool {
        let candidate = candidate.as_bytes();
        pbkdf2::verify(
            PBKDF2_HMAC_SHA256,
            self.iterations,
            &self.salt,
            candidate,
            &self.hash,
        )
        .is_ok()
    }

    /// The hash as text.
    pub fn to_phc(&self) -> String {
        format!(
            "$pbkdf2-sha256$i={},l={HASH}${}${}",
            self.iterations,
            BASE64_NOPAD.encode(&self.salt),
            BASE64_NOPAD.encode(&self.hash)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_that_of_its_password_only() {
        let hash = PasswordHash::new("correct horse battery").unwrap();
        let text = hash.to_phc();
        assert!(text.starts_with("$pbkdf2-sha256$i=600000,l=32$"), "{text}");
        let read = PasswordHash::parse(&text).unwrap();
        assert!(read == hash);
        let is_of = |candidate: &str| read.is_of(&Zeroizing::new(candidate.to_owned()));
        assert!(is_of("correct horse battery"));
        for wrong in ["", "correct horse batterY", "correct horse battery "] {
            assert!(!is_of(wrong), "{wrong}");
        }
        // Not the same hash again: the salt is random.
        assert_ne!(PasswordHash::new("correct horse battery").unwrap().to_phc(), text);
        assert_eq!(format!("{hash:?}"), "[password hash]");
    }

    /// Of Python's `hashlib.pbkdf2_hmac("sha256", b"correct horse battery", b"0123456789abcdef", 100000)`.
    #[test]
    fn a_hash_of_another_implementation_is_understood() {
        let text =
            "$pbkdf2-sha256$i=100000,l=32$MDEyMzQ1Njc4OWFiY2RlZg$hLne8TouGCTQgICXM2UlnguGPFJk6wzUwaafCbSR+18";
        let hash = PasswordHash::parse(text).unwrap();
        assert!(hash.is_of(&Zeroizing::new("correct horse battery".to_owned())));
    }

    #[test]
    fn passwords_have_a_least_and_a_greatest_length() {
        assert!(PasswordHash::new("elevenchars").is_err());
        assert!(PasswordHash::new(&"a".repeat(MAX_PASSWORD + 1)).is_err());
        assert!(PasswordHash::new("twelve\nchars").is_err());
        // Characters, not bytes.
        assert!(PasswordHash::new("ääääääää").is_err());
    }

    #[test]
    fn a_text_that_is_no_hash_is_refused() {
        let salt = BASE64_NOPAD.encode(&[1; 16]);
        let hash = BASE64_NOPAD.encode(&[2; 32]);
        let good = format!("$pbkdf2-sha256$i=600000,l=32${salt}${hash}");
        assert!(PasswordHash::parse(&good).is_ok());
        for wrong in [
            String::new(),
            "correct horse battery".to_owned(),
            format!("{good}$"),
            format!(" {good}"),
            format!("{good}\n"),
            format!("x{good}"),
            good.replace("sha256", "sha512"),
            good.replace("pbkdf2-sha256", "argon2id"),
            good.replace("600000", "99999"),
            good.replace("600000", "10000001"),
            good.replace("600000", "99999999999999999999"),
            good.replace("600000", "+600000"),
            good.replace("600000", "0600000"),
            good.replace("600000", ""),
            good.replace("l=32", "l=64"),
            good.replace("i=600000,l=32", "l=32,i=600000"),
            good.replace(",l=32", ""),
            good.replace(&salt, ""),
            good.replace(&salt, &BASE64_NOPAD.encode(&[1; 7])),
            good.replace(&salt, &BASE64_NOPAD.encode(&[1; 65])),
            good.replace(&hash, ""),
            good.replace(&hash, &BASE64_NOPAD.encode(&[2; 31])),
            good.replace(&hash, &BASE64_NOPAD.encode(&[2; 33])),
            good.replace(&hash, &format!("{hash}=")),
        ] {
            assert!(PasswordHash::parse(&wrong).is_err(), "{wrong}");
        }
    }
}
