//! The command line: one file a command.
//!
//! Results go to stdout, everything else to stderr. Exit codes: 0 yes, 1 no (findings, no match, refused), 2 could
//! not find out (bad usage, unreachable).

mod check;
mod completions;
mod events;
mod exec;
mod explain;
mod man;
mod place;
mod secrets;
mod send;
mod serve;
mod status;
mod store;
mod table;

use std::io::{ErrorKind, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};

use crate::base::diagnostic::Diagnostics;
use crate::base::escape;
use crate::config;

/// The answer is yes.
const YES: u8 = 0;
/// The answer is no: findings, no match, refused.
const NO: u8 = 1;
/// There is no answer: bad usage, unreachable.
const UNKNOWN: u8 = 2;

/// What `hookyard --help` begins with. No doc comment: rustdoc would have its URL and its secret marked up.
const ABOUT: &str = "\
Turns incoming webhooks into actions: verified, durable, explainable.

A YAML rules file says which requests to trust, which events to act on, and what to do. Begin with:

  hookyard check rules.yaml     what is wrong with it, if anything
  hookyard serve rules.yaml     run it
  hookyard send http://127.0.0.1:9000/github --as github --secret env:GITHUB_SECRET --body push.json";

/// The command line.
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

/// What to do.
#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon.
    ///
    /// The rules file is reloaded when it changes, and at once on SIGHUP; a broken one changes nothing. SIGTERM stops
    /// in order: what was taken and is not done stays in the store and goes on at the next start.
    Serve(serve::Arguments),
    /// Say everything that is wrong with a rules file, with file, line, caret and hint.
    ///
    /// It loads the file as `serve` would, secrets and programs included, and starts nothing. Exit code 0: it loads (there
    /// may be warnings); 1: it does not.
    Check(check::Arguments),
    /// Say which rules would take an event, and why; and what would then run, rendered.
    ///
    /// Nothing is verified, stored or run: the event is taken to be genuine. Exit code 0: a rule takes it; 1: none does.
    #[command(
        after_help = "Example:\n  hookyard explain rules.yaml --endpoint /github --header 'X-GitHub-Event: push' --body push.json"
    )]
    Explain(explain::Arguments),
    /// Sign a request as a sender would, post it, and print the answer.
    ///
    /// Exit code 0: it was answered with success; 1: it was refused; 2: nobody answered.
    #[command(
        after_help = "Example:\n  hookyard send http://127.0.0.1:9000/github --as github --secret env:GITHUB_SECRET --event push --body push.json"
    )]
    Send(send::Arguments),
    /// See what arrived and what became of it; deliver it again, or drop it.
    ///
    /// It looks at the store itself, with a daemon running on it or not. Exit code 0: there was something to tell or to do;
    /// 1: nothing; 2: the store cannot be read.
    #[command(
        after_help = "Examples:\n  hookyard events list --state dead --since 1d\n  hookyard events show 01a20988-20c9\n  hookyard events replay --dead --rule payments --dry-run"
    )]
    Events(events::Arguments),
    /// Say how the daemon is: rules in force, queue, store, last reload, last arrivals.
    ///
    /// It asks by the daemon's socket, which the daemon's user and group may use. Exit code 0: it answers, and with `--check` it
    /// is well; 1: it is not; 2: nobody answers.
    Status(status::Arguments),
    /// Look after the store: check it, back it up, make it smaller.
    ///
    /// Exit code 0: it is sound, or it is done; 1: it is not, or not while a daemon runs; 2: the store cannot be read.
    Store(store::Arguments),
    /// Print what completes hookyard's command line in a shell.
    #[command(
        after_help = "Example:\n  hookyard completions bash > ~/.local/share/bash-completion/completions/hookyard"
    )]
    Completions(completions::Arguments),
    /// Write the manual pages into a folder.
    Man(man::Arguments),
    /// Become a command; for the daemon's own use.
    #[command(name = crate::act::exec::COMMAND, hide = true)]
    Exec(exec::Arguments),
}

/// How a result is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// Runs the command that the arguments name.
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
        Command::Send(arguments) => send::run(&arguments),
        Command::Events(arguments) => events::run(&arguments),
        Command::Status(arguments) => status::run(&arguments),
        Command::Store(arguments) => store::run(&arguments),
        Command::Completions(arguments) => completions::run(&arguments),
        Command::Man(arguments) => man::run(&arguments),
        Command::Exec(arguments) => exec::run(&arguments),
    })
}

/// Writes a result to stdout, without what would control the terminal; the exit code is `code`, unless it cannot be
/// written.
fn say(text: &str, code: u8) -> u8 {
    say_styled(&escape::text(text), code)
}

/// As [`say`], for text that is escaped already and may have colours. Who closes the pipe has read enough (`hookyard
/// explain … | head`), and that is no failure.
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

/// Writes to stderr, without what would control the terminal.
fn complain(text: &str) {
    complain_styled(&escape::text(text));
}

/// As [`complain`], for text that is escaped already and may have colours. A closed stderr is no failure.
fn complain_styled(text: &str) {
    drop(writeln!(std::io::stderr().lock(), "{text}"));
}

/// Prints what is wrong with the rules, or a condition, to standard error; the exit code.
fn wrong(diagnostics: &Diagnostics) -> u8 {
    complain_styled(&diagnostics.render(coloured(&std::io::stderr())));
    UNKNOWN
}

/// The findings, with a hint that names `command` if the rules file does not exist.
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

/// There is no answer, and this is why.
fn fail(message: &str) -> u8 {
    complain(&format!("error: {message}"));
    UNKNOWN
}

/// The rules file that was named, else `rules.yaml`, else `/etc/hookyard/rules.yaml`.
fn rules_path(named: Option<&PathBuf>) -> PathBuf {
    config::Layout::of_process().rules(named.map(PathBuf::as_path))
}

/// Whether a stream may be coloured: a terminal that is not dumb, and `NO_COLOR` unset (<https://no-color.org>).
fn coloured(stream: &impl IsTerminal) -> bool {
    may_be_coloured(stream.is_terminal(), config::variable)
}

/// As [`coloured`]. A terminal that `TERM` does not name understands no escapes either.
fn may_be_coloured(is_terminal: bool, variable: impl Fn(&str) -> Option<String>) -> bool {
    let term = variable("TERM");
    is_terminal && variable("NO_COLOR").is_none() && term.is_some_and(|term| term != "dumb")
}

/// The body of a file, of standard input for `-`; what was not named is empty.
fn body(path: Option<&Path>) -> Result<Vec<u8>, String> {
    let Some(path) = path else { return Ok(Vec::new()) };
    if path == Path::new("-") {
        let mut body = Vec::new();
        let read = std::io::Read::read_to_end(&mut std::io::stdin().lock(), &mut body);
        return read
            .map(|_| body)
            .map_err(|error| format!("cannot read standard input: {error}"));
    }
    std::fs::read(path).map_err(|error| format!("cannot read `{}`: {error}", path.display()))
}

/// Reads a method, however it is written.
fn method(text: &str) -> Result<http::Method, String> {
    let method = text.to_uppercase().parse();
    method.map_err(|error| format!("`{text}` is not a method: {error}"))
}

/// Reads `Name: value`.
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
    fn only_a_terminal_that_understands_colours_and_whose_user_wants_them_gets_them() {
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
