//! Table of the answers to senders.

use crate::pipeline::Answer;
use crate::reference::markdown::table;

/// An answer: the situation, its status, and the word in its body.
type Row = (&'static str, &'static str, &'static str);

const ANSWERS: [Row; 21] = [
    ("a rule takes the event", "200", "accepted"),
    (
        "the event was taken before",
        "200, or 409 with `on_duplicate: reject`; `respond.duplicate`",
        "duplicate",
    ),
    (
        "it was taken before with other headers or another path, which no signature covers",
        "200, or 409 with `on_duplicate: reject`; `respond.duplicate`",
        "altered",
    ),
    (
        "verified, and no rule wants it",
        "200; `respond.ignored`",
        "ignored",
    ),
    ("`respond.wait`: all actions are done", "200", "done"),
    (
        "`respond.wait`: an action failed",
        "500; `respond.failed`",
        "failed",
    ),
    ("`respond.wait`: time is up", "504; `respond.late`", "pending"),
    ("unknown path", "404", "not found"),
    ("wrong method", "405 with `Allow`", "method not allowed"),
    (
        "body too large, also once decompressed; head too large",
        "413; 431",
        "too large",
    ),
    ("head or body too slow", "408", "too slow"),
    ("the body ends early", "400", "incomplete"),
    ("no `Host`, or two; a malformed handshake", "400", "bad request"),
    (
        "a kind of request that hookyard does not support",
        "501",
        "not implemented",
    ),
    (
        "signature, token or timestamp missing, malformed or wrong; address not in `allow`",
        "403; 401 for `basic`, `bearer`, `jwt` in `Authorization`, and senders that want it",
        "refused",
    ),
    ("genuine but stale", "400", "stale"),
    (
        "genuine but not decodable",
        "400; `respond.unreadable`",
        "invalid payload",
    ),
    (
        "called more often than `rate_limit` lets",
        "429 with `Retry-After`",
        "too many requests",
    ),
    (
        "cannot be written down (disk full, or less than `min_free` left; store at `max_size`), or stopping",
        "503 with `Retry-After`",
        "unavailable",
    ),
    ("a sender's handshake", "200 or 204", ""),
    ("`OPTIONS`", "204 with `Allow`", ""),
];

/// Returns the table of the answers.
pub fn answers() -> String {
    let cells = |(situation, status, word): Row| {
        let (body, header) = match (situation, word) {
            ("`OPTIONS`", _) => ("empty".to_owned(), "options"),
            (_, "") => ("the sender's own".to_owned(), "handshake"),
            _ => (
                format!("`{word}`"),
                Answer::new(http::StatusCode::OK, word, None).outcome,
            ),
        };
        [
            situation.to_owned(),
            status.to_owned(),
            body,
            format!("`{header}`"),
        ]
    };
    table(
        ["situation", "status", "body's `status`", "`X-Hookyard-Status`"],
        ANSWERS.map(cells),
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::{Path, PathBuf};

    use super::*;

    /// Beginnings of expressions that end in the word of an answer.
    const BEGINNINGS: [&str; 5] = [
        "Answer::new(",
        "Self::new(",
        "refused(StatusCode::",
        ".success(",
        "(StatusCode::",
    ];

    /// The words of all answers in `src/pipeline` and `src/server`.
    fn words() -> BTreeSet<String> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut words = BTreeSet::new();
        for folder in ["pipeline", "server"] {
            for file in files(&root.join(folder)) {
                let text = std::fs::read_to_string(file).unwrap();
                let text = text.split("#[cfg(test)]").next().unwrap();
                for begin in BEGINNINGS {
                    for rest in text.split(begin).skip(1) {
                        let Some((before, rest)) = rest.split_once('"') else {
                            continue;
                        };
                        let plain = |letter: char| letter.is_alphanumeric() || " \n,:._".contains(letter);
                        let word = rest.split('"').next().unwrap();
                        if before.chars().all(plain)
                            && word.chars().all(|letter| letter.is_lowercase() || letter == ' ')
                        {
                            words.insert(word.to_owned());
                        }
                    }
                }
                // The word of a duplicate is chosen before its answer.
                words.extend(
                    ["\"altered\"", "\"duplicate\""]
                        .into_iter()
                        .filter(|word| text.contains(word))
                        .map(|word| word.trim_matches('"').to_owned()),
                );
            }
        }
        words
    }

    fn files(folder: &Path) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(folder).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        paths
            .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
            .collect()
    }

    #[test]
    fn the_table_has_every_word_that_the_source_answers() {
        let told: BTreeSet<String> = ANSWERS
            .iter()
            .map(|(_, _, word)| (*word).to_owned())
            .filter(|word| !word.is_empty())
            .collect();
        assert_eq!(told, words());
    }
}
