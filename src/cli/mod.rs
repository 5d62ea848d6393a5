//! The command line, with one file per command.
//!
//! Results go to stdout, everything else to stderr. Exit codes: 0 yes, 1 no (errors, no match,
//! refused), 2 unknown (bad usage, unreachable).

mod admin;
mod ask;
mod check;
mod completions;
mod docs;
mod events;
mod exec;
mod explain;
mod fire;
mod import;
mod init;
mod location;
mod man;
mod open;
mod plan;
mod poll;
mod rules;
mod schema;
mod schemes;
mod secrets;
mod send;
mod serve;
mod status;
mod status_views;
mod store;
mod table;
mod test;

use std::fs::File;
use std::io::{ErrorKind, IsTerminal, Read, Write};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};

use crate::base::diagnostic::Diagnostics;
use crate::base::escape;
use crate::base::file::{self, ReadError};
use crate::config;

/// Exit code: yes.
const YES: u8 = 0;
/// Exit code: no (errors, no match, refused).
const NO: u8 = 1;
/// Exit code: unknown (bad usage, unreachable).
const UNKNOWN: u8 = 2;

/// Introduction of `hookyard --help`. Not a doc comment, since rustdoc would mark up its URL and
/// secret.
const ABOUT: &str = "\
Turns incoming webhooks into actions: verified, durable, explainable.

A YAML rules file says which requests to trust, which events to act on, and what to do. Begin with:

  hookyard check rules.yaml     what is wrong with it, if anything
  hookyard serve rules.yaml     run it
  hookyard send http://127.0.0.1:9000/github --as github --secret env:GITHUB_SECRET --body push.json";

#[derive(Debug, Parser)]
#[command(
    version,
    about = "Turns incoming webhooks into actions: verified, durable, explainable",
    long_about = ABOUT,
    arg_required_else_help = true
)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon.
    ///
    /// The daemon reloads the rules file when the file changes, and at once on SIGHUP. If the new
    /// file is broken, the old rules stay in force. SIGTERM stops the daemon in order: unfinished
    /// deliveries stay in the store and continue at the next start.
    Serve(serve::Arguments),
    /// Report all errors in a rules file, with file, line, caret and hint.
    ///
    /// The file is loaded as `serve` would load it, with secrets and programs, but nothing is
    /// started. Exit code 0: the file loads, perhaps with warnings; 1: it does not.
    Check(check::Arguments),
    /// Show which rules match an event, and why, and which actions would run.
    ///
    /// Nothing is verified, stored or run: the event counts as genuine. Exit code 0: a rule
    /// matches; 1: none does.
    #[command(
        after_help = "Example:\n  hookyard explain rules.yaml --endpoint /github --header 'X-GitHub-Event: push' --body push.json"
    )]
    Explain(explain::Arguments),
    /// Show what a change of the rules would have done with the arrivals that are kept.
    ///
    /// The latest arrivals are judged by the old and by the new rules: which rules gain or lose
    /// them, and which would do something else. Nothing is verified, run or written. Exit code 0:
    /// nothing changes; 1: something does; 2: that is not known, or a file does not load.
    #[command(
        after_help = "Examples:\n  hookyard plan rules.new.yaml\n  hookyard plan rules.new.yaml --rules /etc/hookyard/rules.yaml --since 7d"
    )]
    Plan(plan::Arguments),
    /// Run the tests of a rules file, without running an action.
    ///
    /// Each test sends requests, signed with pretended secrets, through the real way of an event, with
    /// a clock that stands still. Actions are rendered and compared; nothing runs, and nothing is sent
    /// or written. Exit code 0: all tests pass, and with `--coverage` everything is covered; 1: they do
    /// not; 2: the test file or its rules cannot be used.
    #[command(
        after_help = "Examples:\n  hookyard test\n  hookyard test rules.test.yaml --coverage\n  hookyard test --filter deploy --accept"
    )]
    Test(test::Arguments),
    /// Sign a request as a sender would, post it, and print the answer.
    ///
    /// With `--rule`, the rules file says the endpoint, the scheme and the secret.
    ///
    /// Exit code 0: the answer is a success; 1: the request was refused; 2: there was no answer.
    #[command(
        after_help = "Example:\n  hookyard send http://127.0.0.1:9000/github --as github --secret env:GITHUB_SECRET --event push --body push.json\n  hookyard send --rule deploy --event push --body push.json"
    )]
    Send(send::Arguments),
    /// Run a rule by hand, on the running daemon.
    ///
    /// The event is stored, and runs through the queue, the group and the retries of its rule. It is
    /// marked with your name. No secret of a sender is needed: every user with access to the
    /// daemon's socket may fire any rule. Exit code 0: it runs, and with `--wait` it is done; 1: a condition does not
    /// hold, or the rule is disabled, and with `--wait` it failed; 2: there is no answer.
    #[command(
        after_help = "Examples:\n  hookyard fire rebuild\n  hookyard fire deploy --event push --json push.json --wait"
    )]
    Fire(fire::Arguments),
    /// Translate the hooks files of adnanh/webhook to a rules file.
    ///
    /// The rules behave as the hooks did. What cannot be the same, or was unsafe, is reported with
    /// its place in the hooks file, and stands as a comment in the rules. The rules always load. Exit
    /// code 0: all is the same, perhaps with warnings; 1: something is not; 2: nothing could be read.
    #[command(after_help = "Example:\n  hookyard import hooks.json -o rules.yaml")]
    Import(import::Arguments),
    /// Write a first rules file for a sender, with a test, a secret and a drop-in for systemd.
    ///
    /// Prints what to do at the sender and next. No file is ever overwritten. Exit code 0: written;
    /// 2: nothing was written.
    #[command(after_help = "Example:\n  hookyard init --sender github --dir hooks")]
    Init(init::Arguments),
    /// Show events and their deliveries, replay them, or drop them.
    ///
    /// The commands read the store directly, with or without a running daemon. Exit code 0:
    /// something was found or done; 1: nothing was; 2: the store cannot be read.
    #[command(
        after_help = "Examples:\n  hookyard events list --state dead --since 1d\n  hookyard events show 01a20988-20c9\n  hookyard events replay --dead --rule payments --dry-run"
    )]
    Events(events::Arguments),
    /// Show the state of the daemon: rules in force, queue, store, last reload, last arrivals.
    ///
    /// The command asks through the daemon's socket, which is open to the daemon's user and group.
    /// Exit code 0: the daemon answers, and with `--check` it is healthy; 1: it is not healthy; 2:
    /// there is no answer.
    Status(status::Arguments),
    /// List the rules, or pause and resume one.
    ///
    /// Deliveries of a paused rule wait in the store, also across restarts, and go on in order when
    /// it is resumed. Its events are still accepted. With `--target`, the forwards to one scheme,
    /// host and port wait. The commands ask the running daemon, through its socket.
    /// Exit code 0: done; 1: it was so already; 2: no such rule or target, or no answer.
    #[command(
        after_help = "Examples:\n  hookyard rules list\n  hookyard rules show deploy\n  hookyard rules pause deploy\n  hookyard rules resume --target https://ci.example.com"
    )]
    Rules(rules::Arguments),
    /// Show the way to the operator's page, or open it.
    ///
    /// Over SSH, the command prints the `ssh -L` command for your own machine. If the page is on TCP, with
    /// `admin.password`, it opens that address. Else it relays a port of this machine to the daemon's
    /// socket until Ctrl-C, for your own user only. Exit code 0: printed; 2: there is no way.
    #[command(after_help = "Example:\n  hookyard open --port 9001")]
    Open(open::Arguments),
    /// Prepare access to the operator's page: the hash of a password.
    Admin(admin::Arguments),
    /// Check the store, back it up, or make it smaller.
    ///
    /// Exit code 0: sound, or done; 1: damaged, or a daemon runs on the store; 2: the store cannot
    /// be read.
    Store(store::Arguments),
    /// List the schemes by which senders sign, or print the definition of one.
    ///
    /// No rules file is read. Exit code 0: printed; 2: no such scheme.
    #[command(after_help = "Examples:\n  hookyard schemes\n  hookyard schemes --show github")]
    Schemes(schemes::Arguments),
    /// Print the JSON Schema of the rules file or of the test file, for editors.
    ///
    /// The schema is draft-07. The Debian package has them as `rules.schema.json` and
    /// `rules.test.schema.json` in `/usr/share/hookyard`.
    #[command(after_help = "Example:\n  hookyard schema > rules.schema.json")]
    Schema(schema::Arguments),
    /// Print a completion script for a shell.
    #[command(
        after_help = "Example:\n  hookyard completions bash > ~/.local/share/bash-completion/completions/hookyard"
    )]
    Completions(completions::Arguments),
    /// Write the manual pages to a folder.
    Man(man::Arguments),
    /// Write the generated parts of the reference.
    #[command(hide = true)]
    Docs(docs::Arguments),
    /// Become a command; for internal use by the daemon.
    #[command(name = crate::act::exec::COMMAND, hide = true)]
    Exec(exec::Arguments),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Text for people.
    #[default]
    Text,
    /// JSON for programs.
    Json,
}

pub fn run() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let code = if error.use_stderr() { UNKNOWN } else { YES };
            drop(error.print());
            return ExitCode::from(code);
        }
    };
    ExitCode::from(match arguments.command {
        Command::Serve(arguments) => serve::run(&arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Explain(arguments) => explain::run(&arguments),
        Command::Plan(arguments) => plan::run(&arguments),
        Command::Test(arguments) => test::run(&arguments),
        Command::Send(arguments) => send::run(&arguments),
        Command::Fire(arguments) => fire::run(&arguments),
        Command::Import(arguments) => import::run(&arguments),
        Command::Init(arguments) => init::run(&arguments),
        Command::Events(arguments) => events::run(&arguments),
        Command::Status(arguments) => status::run(&arguments),
        Command::Rules(arguments) => rules::run(&arguments),
        Command::Open(arguments) => open::run(&arguments),
        Command::Admin(arguments) => admin::run(&arguments),
        Command::Store(arguments) => store::run(&arguments),
        Command::Schemes(arguments) => schemes::run(&arguments),
        Command::Schema(arguments) => schema::run(&arguments),
        Command::Completions(arguments) => completions::run(&arguments),
        Command::Man(arguments) => man::run(&arguments),
        Command::Docs(arguments) => docs::run(&arguments),
        Command::Exec(arguments) => exec::run(&arguments),
    })
}

/// Writes a result to stdout, with control characters escaped. Returns `code`, unless the write
/// fails.
fn say(text: &str, code: u8) -> u8 {
    say_styled(&escape::text(text), code)
}

/// Like [`say`], for text that is already escaped and may have colours. A closed pipe (`hookyard
/// explain … | head`) is not an error.
fn say_styled(text: &str, code: u8) -> u8 {
    let mut stdout = std::io::stdout().lock();
    match writeln!(stdout, "{text}").and_then(|()| stdout.flush()) {
        Ok(()) => code,
        Err(error) if error.kind() == ErrorKind::BrokenPipe => code,
        Err(error) => {
            complain(&format!("error: cannot write to standard output: {error}"));
            UNKNOWN
        }
    }
}

/// Writes to stderr, with control characters escaped.
fn complain(text: &str) {
    complain_styled(&escape::text(text));
}

/// Like [`complain`], for text that is already escaped and may have colours. A closed stderr is not
/// an error.
fn complain_styled(text: &str) {
    drop(writeln!(std::io::stderr().lock(), "{text}"));
}

/// Prints diagnostics of rules or of a condition to stderr. Returns the exit code.
fn wrong(diagnostics: &Diagnostics) -> u8 {
    complain_styled(&diagnostics.render(coloured(&std::io::stderr())));
    UNKNOWN
}

/// Adds a hint that names `command`, if the rules file does not exist.
fn naming(command: &str, mut diagnostics: Diagnostics) -> Diagnostics {
    if config::is_missing(&diagnostics) {
        let hint = format!("name the file: `hookyard {command}`");
        diagnostics = diagnostics
            .iter()
            .cloned()
            .map(|diagnostic| diagnostic.hint(hint.clone()))
            .collect();
    }
    diagnostics
}

/// Reports why there is no answer. Returns the exit code.
fn fail(message: &str) -> u8 {
    complain(&format!("error: {message}"));
    UNKNOWN
}

/// The named rules file, else `rules.yaml`, else `/etc/hookyard/rules.yaml`.
fn rules_path(named: Option<&PathBuf>) -> PathBuf {
    config::Layout::of_process().rules(named.map(PathBuf::as_path))
}

/// True if a stream may have colours: a terminal that is not dumb, and `NO_COLOR` unset
/// (<https://no-color.org>).
fn coloured(stream: &impl IsTerminal) -> bool {
    may_be_coloured(stream.is_terminal(), config::variable)
}

/// Decides for [`coloured`]. Without `TERM`, a terminal may not understand escapes.
fn may_be_coloured(is_terminal: bool, variable: impl Fn(&str) -> Option<String>) -> bool {
    let term = variable("TERM");
    is_terminal && variable("NO_COLOR").is_none() && term.is_some_and(|term| term != "dumb")
}

/// Maximum size of a file that an argument names, and of standard input, in bytes.
const MAX_INPUT: u64 = 256 << 20;

/// Reads a body from a file, or from standard input for `-`. Without a path, it is empty.
fn body(path: Option<&Path>) -> Result<Vec<u8>, String> {
    let Some(path) = path else { return Ok(Vec::new()) };
    if path == Path::new("-") {
        return standard_input(MAX_INPUT);
    }
    let shown = path.display();
    // A pipe, such as `<(command)` of a shell, is waited for, as standard input is.
    if std::fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_fifo()) {
        let pipe = File::open(path).map_err(|error| format!("cannot read `{shown}`: {error}"))?;
        return bounded(pipe, &format!("`{shown}`"), MAX_INPUT);
    }
    let mut contents = file::read(path, MAX_INPUT).map_err(|error| match error {
        ReadError::Io(error) => format!("cannot read `{shown}`: {error}"),
        ReadError::NotAFile(kind) => format!("`{shown}` is {kind}, not a file; `-` reads standard input"),
        ReadError::TooLarge(_) => too_large(&format!("`{shown}`"), MAX_INPUT),
        ReadError::Slow => file::slow(path),
    })?;
    Ok(std::mem::take(&mut *contents.bytes))
}

/// Reads standard input, of at most `max` bytes.
fn standard_input(max: u64) -> Result<Vec<u8>, String> {
    bounded(std::io::stdin().lock(), "standard input", max)
}

/// Reads `input`, of at most `max` bytes, until it ends.
fn bounded(input: impl Read, what: &str, max: u64) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let read = input.take(max + 1).read_to_end(&mut bytes);
    let read = read.map_err(|error| format!("cannot read {what}: {error}"))?;
    if read as u64 > max {
        return Err(too_large(what, max));
    }
    Ok(bytes)
}

fn too_large(what: &str, max: u64) -> String {
    format!("{what} is larger than {} MiB", max >> 20)
}

/// Parses a method, in any case.
fn method(text: &str) -> Result<http::Method, String> {
    let method = text.to_uppercase().parse();
    method.map_err(|error| format!("`{text}` is not a method: {error}"))
}

/// Parses `NAME=VALUE`.
fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("it is not `NAME=VALUE`")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Parses `Name: value`.
fn header(line: &str) -> Result<(http::HeaderName, http::HeaderValue), String> {
    let (name, value) = line
        .split_once(':')
        .ok_or_else(|| format!("`{line}` is not `Name: value`"))?;
    let name = name
        .trim()
        .parse()
        .map_err(|error| format!("`{name}` is not the name of a header: {error}"))?;
    let value = value
        .trim()
        .parse()
        .map_err(|error| format!("the value of `{name}` cannot stand in a header: {error}"))?;
    Ok((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_terminal_with_colours_gets_them() {
        for (is_terminal, term, no_color, expected) in [
            (true, Some("xterm-256color"), None, true),
            (true, Some("dumb"), None, false),
            (true, None, None, false),
            (true, Some("xterm"), Some("1"), false),
            (false, Some("xterm"), None, false),
        ] {
            let variable = |name: &str| match name {
                "TERM" => term.map(str::to_owned),
                "NO_COLOR" => no_color.map(str::to_owned),
                _ => None,
            };
            assert_eq!(
                may_be_coloured(is_terminal, variable),
                expected,
                "{term:?} {no_color:?}"
            );
        }
    }
}
