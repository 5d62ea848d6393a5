//! `hookyard completions`: made of the same definitions that the command line is read by.

use clap::{Command, CommandFactory};
use clap_complete::Shell;

use super::{YES, say};

/// The arguments of `hookyard completions`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The shell.
    shell: Shell,
}

/// Runs it.
pub fn run(arguments: &Arguments) -> u8 {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut shown(), "hookyard", &mut script);
    say(String::from_utf8_lossy(&script).trim_end(), YES)
}

/// The command line without what it hides: clap's scripts would offer that, too.
fn shown() -> Command {
    let all = super::Arguments::command();
    let commands = all.get_subcommands().filter(|command| !command.is_hide_set());
    Command::new("hookyard")
        .version(env!("CARGO_PKG_VERSION"))
        .subcommands(commands.cloned())
}
