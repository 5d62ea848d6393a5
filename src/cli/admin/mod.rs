//! `hookyard admin`: what the operator's page needs beside the rules file.

mod password;

#[derive(Debug, clap::Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub struct Arguments {
    #[command(subcommand)]
    command: AdminCommand,
}

#[derive(Debug, clap::Subcommand)]
enum AdminCommand {
    /// Print the hash of a password for `admin.password`.
    ///
    /// The password has 12 characters or more. It is read twice from the terminal, without echo, or
    /// once from standard input.
    #[command(after_help = "Example:\n  hookyard admin password > admin.hash")]
    Password,
}

pub fn run(arguments: &Arguments) -> u8 {
    match arguments.command {
        AdminCommand::Password => password::run(),
    }
}
