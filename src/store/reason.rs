//! The stable part of a reason, by which dead letters and refusals are grouped.

/// Replaces the parts of a reason that differ from one time to the next.
const OMITTED: char = '…';
/// Minimum digits of a number that is a port, a process or a time, rather than a status or an exit
/// code.
const LONG_NUMBER: usize = 5;
/// Minimum digits of a hexadecimal id or digest.
const LONG_HEX: usize = 8;

/// The stable part of the reason of a dead letter. Ids, digests, times, numbers of at least
/// five digits and the number of attempts are omitted. Exit codes and statuses stay.
pub fn of_dead_letter(reason: &str) -> String {
    let (reason, end) = match reason.rsplit_once(", after ") {
        Some((start, end)) if is_attempts(end) => (start, ", after … attempts"),
        _ => (reason, ""),
    };
    let mut stable = stable(reason, LONG_NUMBER);
    stable.push_str(end);
    stable
}

/// The stable part of the reason of a refusal. All numbers that are words are omitted.
pub fn of_refusal(reason: &str) -> String {
    stable(reason, 1)
}

fn is_attempts(text: &str) -> bool {
    text.strip_suffix(" attempts")
        .is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Omits words of digits that are long enough, ids and times.
fn stable(reason: &str, long_number: usize) -> String {
    let mut stable = String::with_capacity(reason.len());
    let mut rest = reason;
    while let Some(first) = rest.chars().next() {
        let in_word = |letter: char| letter.is_alphanumeric() || letter == '-' || letter == '_';
        let length = rest.find(|letter| !in_word(letter)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(if length == 0 { first.len_utf8() } else { length });
        if length > 0 && varies(word, long_number) {
            stable.push(OMITTED);
        } else {
            stable.push_str(word);
        }
        rest = after;
    }
    // A time is several words: `2026-11-30T12`, `00`, `00.123Z`.
    stable
}

/// True if a word is a long number, an id, a digest or a time.
fn varies(word: &str, long_number: usize) -> bool {
    let digits = word.bytes().filter(u8::is_ascii_digit).count();
    if digits == word.len() {
        return digits >= long_number;
    }
    let is_hex = |byte: u8| byte.is_ascii_hexdigit() || byte == b'-';
    let hex = word.bytes().filter(u8::is_ascii_hexdigit).count();
    let is_id = digits > 0 && hex >= LONG_HEX && word.bytes().all(is_hex);
    let is_date = digits >= 8
        && word
            .bytes()
            .all(|byte| byte.is_ascii_digit() || b"-TZ".contains(&byte));
    is_id || is_date
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_of_one_cause_have_the_same_stable_part() {
        for (reason, stable) in [
            ("exit 3", "exit 3"),
            ("exit 3, after 4 attempts", "exit 3, after … attempts"),
            ("HTTP 503, after 12 attempts", "HTTP 503, after … attempts"),
            ("stopped by ann, after work", "stopped by ann, after work"),
            (
                "cannot connect to 127.0.0.1:41234: refused (os error 111)",
                "cannot connect to 127.0.0.1:…: refused (os error 111)",
            ),
            (
                "duplicate of 019a2b3c-0000-7000-8000-00000000000a",
                "duplicate of …",
            ),
            ("no file `/tmp/build-1234567/x`", "no file `/tmp/build-1234567/x`"),
            ("sha256 0badcafe does not match", "sha256 … does not match"),
            ("déjà vu – 12345", "déjà vu – …"),
            ("effaced", "effaced"),
            ("", ""),
        ] {
            assert_eq!(of_dead_letter(reason), stable, "{reason}");
        }
    }

    #[test]
    fn reasons_of_refusals_omit_every_number() {
        for (reason, stable) in [
            ("the timestamp is 312 s old", "the timestamp is … s old"),
            (
                "X-Hub-Signature-256: the signature does not match",
                "X-Hub-Signature-256: the signature does not match",
            ),
            ("10 requests in 1 s", "… requests in … s"),
        ] {
            assert_eq!(of_refusal(reason), stable, "{reason}");
        }
    }
}
