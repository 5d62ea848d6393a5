//! Rules, commands and target of the crash test.

use std::path::Path;

use crate::scenario::{Daemon, Scenario, Target};

/// The secret of the senders.
pub const SECRET: &str = "k";
/// The variable that marks commands of this test.
pub const MARK: &str = "CRASH_MARK";
/// Maximum attempts of a rule.
pub const fn attempts(kind: Kind) -> u32 {
    match kind {
        // These may fail because of a full disk, and many commands are killed.
        Kind::Record => 100,
        Kind::Run | Kind::Turns | Kind::Forward => 40,
        Kind::Failing => 3,
    }
}

/// Kind of an event. Every event is recorded. All kinds except the first also have their own rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Two lines in two files, one after the other.
    Record,
    /// A command.
    Run,
    /// A command in a group with limit 1.
    Turns,
    /// A command that always fails.
    Failing,
    /// A request to a target that refuses some requests and drops others.
    Forward,
}

impl Kind {
    pub const ALL: [Self; 5] = [Self::Record, Self::Run, Self::Turns, Self::Failing, Self::Forward];

    /// Distribution of the kinds. Events that wait for each other are rarer.
    pub const MIX: [Self; 10] = [
        Self::Record,
        Self::Record,
        Self::Record,
        Self::Run,
        Self::Run,
        Self::Forward,
        Self::Forward,
        Self::Failing,
        Self::Failing,
        Self::Turns,
    ];

    /// Name of the kind's rule.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Record => "record",
            Self::Run => "run",
            Self::Turns => "turns",
            Self::Failing => "failing",
            Self::Forward => "forward",
        }
    }
}

/// Writes its begin and end, each in one write, and exits as told. Some wait a moment, so that they
/// can be killed.
const COMMAND: &str = r#"
read LIFE < life
echo "begin $N $HOOKYARD_ATTEMPT $PPID $LIFE $$" >> "$1.txt"
case $((N % 8)) in 0) sleep 0.1;; 1 | 2) sleep 0.02;; esac
echo "end $N $HOOKYARD_ATTEMPT $PPID $LIFE $$" >> "$1.txt"
exit "$2"
"#;

/// Never ends by itself while the test runs, and neither do its children. If the test fails, it
/// ends after a while.
const HANGING: &str = "
trap '' TERM
echo begin >> hanging.txt
sleep 120 &
sleep 120
";

/// A target that sometimes answers 503 and sometimes disconnects, but never so often in a row that
/// it counts as down.
pub fn target() -> Target {
    Target::new(|number| match number % 8 {
        2 => "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_owned(),
        6 => String::new(),
        _ => "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_owned(),
    })
}

/// Starts the first daemon.
pub fn start(target: &Target) -> Daemon {
    let scenario = Scenario::new()
        .script("command", COMMAND)
        .script("hanging", HANGING)
        .file("life", "0\n");
    let rules = rules(scenario.folder(), &target.url(), 0);
    scenario.file("rules.yaml", rules).start()
}

/// The rules. Editions differ in a comment.
pub fn rules(folder: &Path, target: &str, edition: u64) -> String {
    let command = |kind: Kind, exit: u8, more: &str| {
        format!(
            r#"
  - name: {kind}
    endpoint: /in
    match: {{$.kind: {kind}}}
    actions:
      - run: [{{dir}}/command, {kind}, "{exit}"]
        env: {{N: "{{{{ payload.n }}}}", {MARK}: "{{dir}}"}}
    retry: {{attempts: {attempts}, backoff: [20ms, 60ms]}}
{more}"#,
            kind = kind.name(),
            attempts = attempts(kind),
        )
    };
    let text = format!(
        r#"# Edition {edition}.
server: {{listen: 127.0.0.1:0, stop_grace: 1s}}
endpoints:
  /in: {{verify: {{github: {{secret: {SECRET}}}}}}}
rules:
  - name: record
    endpoint: /in
    actions:
      - {{append: first.txt, line: "{{{{ payload.n }}}}"}}
      - {{append: second.txt, line: "{{{{ payload.n }}}}"}}
    retry: {{attempts: {record}, backoff: [50ms]}}
  - name: forward
    endpoint: /in
    match: {{$.kind: forward}}
    actions: [forward: {target}]
    retry: {{attempts: {forward}, backoff: [30ms]}}
  - name: hanging
    endpoint: /in
    match: {{$.kind: hanging}}
    actions:
      - run: [{{dir}}/hanging]
        env: {{{MARK}: "{{dir}}"}}
        timeout: 500ms
        grace: 200ms
    retry: {{attempts: 1}}
  - name: endless
    endpoint: /in
    match: {{$.kind: endless}}
    actions:
      - run: [{{dir}}/hanging]
        env: {{{MARK}: "{{dir}}"}}
        grace: 200ms
{commands}"#,
        record = attempts(Kind::Record),
        forward = attempts(Kind::Forward),
        commands = [
            command(Kind::Run, 0, ""),
            command(Kind::Turns, 0, "    concurrency: {limit: 1}\n"),
            command(Kind::Failing, 1, ""),
        ]
        .concat(),
    );
    text.replace("{dir}", folder.to_str().unwrap())
}
