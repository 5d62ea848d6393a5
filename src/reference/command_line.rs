//! The generated part of `cli.md`: every command with its options, from the definitions of clap.

use clap::{Arg, Command};

use crate::reference::markdown::{table, wrapped};

/// Returns a heading for each command, below its parent.
pub fn commands(root: &Command) -> String {
    let mut root = root.clone();
    root.build();
    let mut page = String::new();
    describe(&root, "", &mut page);
    page
}

fn describe(command: &Command, above: &str, page: &mut String) {
    let name = format!("{above}{}", command.get_name());
    if !above.is_empty() {
        *page += &format!("### {name}\n\n");
        let about = command.get_long_about().or(command.get_about());
        for paragraph in about.map(ToString::to_string).unwrap_or_default().split("\n\n") {
            *page += &format!("{}\n\n", wrapped(&paragraph.replace('\n', " "), 0));
        }
        *page += &arguments(command);
    }
    for below in command.get_subcommands().filter(|below| shown(below)) {
        describe(below, &format!("{name} "), page);
    }
}

/// True for commands that a user types.
pub fn shown(command: &Command) -> bool {
    !command.is_hide_set() && command.get_name() != "help"
}

/// Returns the table of a command's arguments and options.
fn arguments(command: &Command) -> String {
    let general = ["help", "version"];
    let arguments: Vec<&Arg> = command
        .get_arguments()
        .filter(|argument| !argument.is_hide_set() && !general.contains(&argument.get_id().as_str()))
        .collect();
    if arguments.is_empty() {
        return String::new();
    }
    let rows = arguments.into_iter().map(|argument| {
        let help = argument.get_long_help().or(argument.get_help());
        let help = help.map(ToString::to_string).unwrap_or_default();
        [
            format!("`{}`", written(argument)),
            help.split_whitespace().collect::<Vec<_>>().join(" "),
            values(argument),
            defaults(argument),
        ]
    });
    let table = table(["argument", "meaning", "values", "default"], rows);
    format!("{table}\n")
}

/// The argument as a user types it.
fn written(argument: &Arg) -> String {
    let takes_value = argument.get_action().takes_values();
    let names: Vec<String> = argument
        .get_value_names()
        .unwrap_or_default()
        .iter()
        .map(ToString::to_string)
        .collect();
    let value = names.join(" ");
    match (argument.get_long(), argument.get_short()) {
        (Some(long), _) if takes_value => format!("--{long} {value}"),
        (Some(long), _) => format!("--{long}"),
        (None, Some(short)) if takes_value => format!("-{short} {value}"),
        (None, Some(short)) => format!("-{short}"),
        (None, None) if argument.is_required_set() => value,
        (None, None) => format!("[{value}]"),
    }
}

/// The words that an argument takes, if there are few.
fn values(argument: &Arg) -> String {
    if !argument.get_action().takes_values() {
        return String::new();
    }
    let values = argument.get_possible_values();
    let values: Vec<String> = values
        .iter()
        .filter(|value| !value.is_hide_set())
        .map(|value| format!("`{}`", value.get_name()))
        .collect();
    values.join(", ")
}

fn defaults(argument: &Arg) -> String {
    if !argument.get_action().takes_values() {
        return String::new();
    }
    let defaults = argument.get_default_values().iter();
    let defaults: Vec<String> = defaults
        .map(|value| format!("`{}`", value.to_string_lossy()))
        .collect();
    defaults.join(", ")
}
