//! Tables of environment variables.

use crate::reference::markdown::table;

/// Variables that every command gets.
pub const COMMAND: [(&str, &str); 18] = [
    (
        "PATH",
        "`/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`, unless the daemon has another",
    ),
    ("HOME", "as the daemon has it, else the home of its user"),
    ("LANG", "as the daemon has it, else `C.UTF-8`"),
    ("HOOKYARD_EVENT_ID", "the event's id"),
    (
        "HOOKYARD_DELIVERY_ID",
        "the delivery's id; it stays the same over retries and replays",
    ),
    ("HOOKYARD_RULE", "the name of the rule"),
    ("HOOKYARD_ENDPOINT", "the path of the endpoint"),
    ("HOOKYARD_ATTEMPT", "the number of the attempt, from 1"),
    ("HOOKYARD_REPLAY", "the number of replays by the operator, from 0"),
    ("HOOKYARD_VERIFIED", "`true`, or `false` with `mode: observe`"),
    ("HOOKYARD_METHOD", "the method of the request, such as `POST`"),
    (
        "HOOKYARD_CLIENT_IP",
        "the address of the client; not set if it came by a unix socket",
    ),
    (
        "HOOKYARD_EVENT_NAME",
        "the sender's name of the event; not set if its scheme does not say where it stands",
    ),
    (
        "HOOKYARD_FIRED_BY",
        "the user who made the event by `hookyard fire`; not set if it arrived",
    ),
    (
        "HOOKYARD_ITEM",
        "with `for_each`: the element as JSON; not set if it is longer than 64 KiB",
    ),
    (
        "HOOKYARD_ITEM_INDEX",
        "with `for_each`: the index of the element, from 0",
    ),
    (
        "HOOKYARD_FAILURE_ACTION",
        "in `on_failure`: the action that failed",
    ),
    ("HOOKYARD_FAILURE_REASON", "in `on_failure`: why"),
];

/// Variables that the daemon and the commands read.
pub const DAEMON: [(&str, &str); 11] = [
    ("STATE_DIRECTORY", "the folder of the store, as systemd sets it"),
    (
        "RUNTIME_DIRECTORY",
        "the folder of the daemon's socket, as systemd sets it",
    ),
    (
        "CREDENTIALS_DIRECTORY",
        "the folder of `credential:NAME`, as systemd sets it",
    ),
    (
        "NOTIFY_SOCKET",
        "where systemd is told that the daemon is ready, see `sd_notify(3)`",
    ),
    (
        "WATCHDOG_USEC",
        "how often systemd wants a sign of life, with `WATCHDOG_PID`",
    ),
    ("LISTEN_FDS", "sockets from systemd, with `LISTEN_PID`"),
    (
        "HTTPS_PROXY",
        "the proxy for forwards by `https`, also in lower case",
    ),
    (
        "HTTP_PROXY",
        "the proxy for forwards by `http`, also in lower case",
    ),
    (
        "NO_PROXY",
        "hosts that are reached without it, also in lower case",
    ),
    ("NO_COLOR", "if it is set, output has no colours"),
    (
        "TERM",
        "output has colours on a terminal unless it is unset or `dumb`",
    ),
];

/// Returns the parts of `environment.md`.
pub fn parts() -> Vec<(&'static str, String)> {
    let rows = |rows: &[(&str, &str)]| {
        let cells = rows
            .iter()
            .map(|(name, value)| [format!("`{name}`"), (*value).to_owned()]);
        cells.collect::<Vec<_>>()
    };
    let named = [[
        "a variable that a rule names (`env:NAME`)".to_owned(),
        "a secret".to_owned(),
    ]];
    let daemon = rows(&DAEMON).into_iter().chain(named);
    vec![
        ("command", table(["variable", "value"], rows(&COMMAND))),
        ("daemon", table(["variable", "meaning"], daemon)),
    ]
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// The text of all source files below a folder.
    fn source(folder: &Path) -> String {
        let entries = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path());
        let read = |path: std::path::PathBuf| {
            if path.is_dir() {
                source(&path)
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                std::fs::read_to_string(path).unwrap()
            } else {
                String::new()
            }
        };
        entries
            .filter(|path| !path.ends_with("reference"))
            .map(read)
            .collect()
    }

    #[test]
    fn every_variable_of_the_tables_is_read_or_set_by_the_source() {
        let source = source(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
        let mentioned = DAEMON
            .iter()
            .flat_map(|(_, meaning)| meaning.split('`').skip(1).step_by(2));
        let mentioned =
            mentioned.filter(|word| word.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_'));
        let names = DAEMON.iter().chain(&COMMAND).map(|(name, _)| *name);
        for name in names.chain(mentioned) {
            assert!(source.contains(&format!("\"{name}\"")), "{name}");
        }
    }
}
