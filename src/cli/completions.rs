//! `hookyard completions`: shell completions, generated from the definitions of the command line.

use clap::{Command, CommandFactory};
use clap_complete::Shell;

use super::{YES, say};

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The shell.
    shell: Shell,
}

pub fn run(arguments: &Arguments) -> u8 {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut shown(), "hookyard", &mut script);
    say(String::from_utf8_lossy(&script).trim_end(), YES)
}

/// Returns the command line without hidden commands, which clap's scripts would offer otherwise.
fn shown() -> Command {
    let all = super::Arguments::command();
    let commands = all.get_subcommands().filter(|command| !command.is_hide_set());
    Command::new("hookyard")
        .version(env!("CARGO_PKG_VERSION"))
        .subcommands(commands.cloned())
}
