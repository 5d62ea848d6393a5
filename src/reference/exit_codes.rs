//! Tables of exit codes. `tests/it/exit_codes.rs` holds the commands to them.

use crate::reference::markdown::table;

/// Meaning of each code.
pub const CODES: [(u8, &str); 3] = [
    (0, "yes: it is so, or it is done"),
    (1, "no: diagnostics, no match, refused"),
    (2, "unknown: bad usage, nothing could be read, no answer"),
];

/// A command with the meanings of 0, 1 and 2.
pub const COMMANDS: [(&str, [&str; 3]); 34] = [
    (
        "serve",
        [
            "stopped in order",
            "the rules file does not load",
            "the rules file cannot be read; the store, a socket or an address cannot be had",
        ],
    ),
    (
        "check",
        [
            "the rules file loads",
            "it does not load, or something is missing on this machine",
            "it cannot be read",
        ],
    ),
    (
        "check --secrets",
        [
            "the secrets are listed",
            "the rules file does not load",
            "it cannot be read; there is no store, so that the last use is unknown",
        ],
    ),
    (
        "test",
        [
            "all tests pass; with `--coverage`: and everything is covered",
            "a test fails; with `--coverage`: something is not covered",
            "the test file or its rules cannot be read or are wrong; no test has the text of `--filter` in its name",
        ],
    ),
    (
        "explain",
        [
            "a rule takes the event",
            "no rule takes it",
            "the rules file does not load; the request cannot be told",
        ],
    ),
    (
        "plan",
        [
            "no rule acts otherwise on the arrivals that are kept",
            "a rule gains or loses an arrival, or does something else",
            "no arrival is kept; of an arrival it is not known; a rules file does not load; the store cannot be read",
        ],
    ),
    (
        "send",
        [
            "answered with success",
            "answered with another status",
            "no answer; the request cannot be made",
        ],
    ),
    (
        "import",
        [
            "the rules behave as the hooks did, perhaps with warnings",
            "something does not, and is reported; the rules load all the same",
            "a hooks file cannot be read; the rules cannot be written",
        ],
    ),
    (
        "fire",
        [
            "the event is stored; with `--wait`: all actions are done; with `--dry-run`: it would run",
            "a condition does not hold, or the rule is disabled; with `--wait`: it failed or was superseded",
            "no such rule; the request cannot be made; no daemon answers, or another one does; the event cannot be stored; with `--wait`: it has not ended in time",
        ],
    ),
    (
        "events list",
        [
            "there are hits",
            "there are none",
            "the store is unknown or cannot be read; none of the arrivals that were read is one, and older ones were not read",
        ],
    ),
    (
        "events show",
        [
            "shown",
            "no such event",
            "the store is unknown or cannot be read; several ids begin so",
        ],
    ),
    (
        "events replay",
        [
            "something was replayed",
            "nothing was",
            "the store is unknown or cannot be read; nothing says which, or several ids begin so",
        ],
    ),
    (
        "events drop",
        [
            "something was dropped",
            "nothing was",
            "the store is unknown or cannot be read; nothing says which, or several ids begin so",
        ],
    ),
    (
        "events stop",
        [
            "something was stopped",
            "nothing runs, or it ended by itself; no such event",
            "neither `--retry` nor `--drop`; no daemon answers, or another one does; the store is unknown or cannot be read; several ids begin so; it has not ended in time",
        ],
    ),
    (
        "events follow",
        [
            "the delivery is done",
            "the delivery is dead or superseded; no such event",
            "no daemon answers, or another one does; the store is unknown or cannot be read; several ids begin so",
        ],
    ),
    (
        "events problems",
        [
            "there are groups",
            "there are none",
            "the store is unknown or cannot be read",
        ],
    ),
    (
        "events capture",
        [
            "written",
            "no such event",
            "the store is unknown or cannot be read; several ids begin so",
        ],
    ),
    (
        "rules show",
        [
            "shown",
            "-",
            "no such rule; no daemon answers, or another one does; the store cannot be read",
        ],
    ),
    (
        "rules list",
        [
            "listed",
            "-",
            "no daemon answers, or another one does; the store cannot be read",
        ],
    ),
    (
        "open",
        [
            "the address or the command is printed; a relay has ended",
            "-",
            "no daemon answers, or the port is taken",
        ],
    ),
    (
        "admin password",
        [
            "the hash is printed",
            "-",
            "the password is too short or too long, or the two differ; it cannot be read",
        ],
    ),
    (
        "rules pause",
        [
            "it is paused now",
            "it was paused already",
            "no such rule or target; no daemon answers, or another one does; the store cannot be written",
        ],
    ),
    (
        "rules resume",
        [
            "it goes on",
            "it was not paused",
            "no such rule or target; no daemon answers, or another one does; the store cannot be written",
        ],
    ),
    (
        "status",
        [
            "the daemon answers",
            "with `--check`: it is not healthy",
            "no daemon answers, or another one does",
        ],
    ),
    (
        "store check",
        [
            "the store is sound",
            "it is damaged",
            "it is unknown or cannot be read",
        ],
    ),
    (
        "store backup",
        [
            "the copy is made",
            "-",
            "the store is unknown or cannot be read; the copy cannot be written",
        ],
    ),
    (
        "store move",
        [
            "the store is copied",
            "a daemon runs on the file",
            "a store is unknown or cannot be read; the store on the server is not empty",
        ],
    ),
    ("store schema", ["printed", "-", "the store is unknown"]),
    (
        "store vacuum",
        [
            "done",
            "a daemon runs on it",
            "the store is unknown or cannot be read",
        ],
    ),
    ("schemes", ["printed", "-", "no such scheme"]),
    (
        "init",
        [
            "written",
            "-",
            "no such sender; a file is there already; the folder cannot be written",
        ],
    ),
    ("schema", ["printed", "-", "no such schema"]),
    ("completions", ["printed", "-", "no such shell"]),
    ("man", ["written", "-", "the folder cannot be written"]),
];

/// Returns the parts of `exit-codes.md`.
pub fn parts() -> Vec<(&'static str, String)> {
    let codes = CODES.map(|(code, meaning)| [code.to_string(), meaning.to_owned()]);
    let commands = COMMANDS.map(|(command, [yes, no, unknown])| {
        [
            format!("`{command}`"),
            yes.to_owned(),
            no.to_owned(),
            unknown.to_owned(),
        ]
    });
    vec![
        ("codes", table(["code", "meaning"], codes)),
        ("commands", table(["command", "0", "1", "2"], commands)),
    ]
}
