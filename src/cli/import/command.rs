//! The action of a rule: the command of a hook with its arguments, variables and files.

use super::files::{File, script};
use super::go_template::{Named, named};
use super::hooks::{Argument, Hook, Text};
use super::notes::Notes;
use super::values::template;
use super::yaml::{Map, Yaml};
use crate::base::diagnostic::Diagnostics;
use crate::reference::hooks_file::{Property, Source};

/// Prefix of variables without a name of their own.
const PREFIX: &str = "HOOK_";

/// Translates the command of a hook. `None` if there is none.
pub(super) fn action(hook: &Hook<'_>, notes: &mut Notes, diagnostics: &mut Diagnostics) -> Option<Map> {
    let program = hook.text(Property::ExecuteCommand, diagnostics)?;
    let cwd = hook.text(Property::CommandWorkingDirectory, diagnostics);
    for text in [Some(&program), cwd.as_ref()].into_iter().flatten() {
        if named(&text.text) != Named::Nothing {
            let message = "a program and its folder are fixed text, not a variable";
            diagnostics.push(text.node.error("template", message).hint("write the path itself"));
            return None;
        }
    }
    let mut words = vec![program_path(&program, cwd.as_ref(), notes)];
    let arguments = hook.arguments(Property::PassArguments, diagnostics);
    words.extend(
        arguments
            .iter()
            .map(|argument| template(argument, "actions", notes)),
    );
    let environment = hook.arguments(Property::PassEnvironment, diagnostics);
    let mut environment = variables(&environment, notes);
    let files = files_of(&hook.arguments(Property::PassFile, diagnostics), notes);
    let mut action = Map::new();
    if files.is_empty() {
        action.add("run", Yaml::List(words.into_iter().map(Yaml::Text).collect()));
    } else {
        let (script, values) = script(&words, &files, cwd.is_some());
        action.add("shell", Yaml::Script(script));
        for entry in values.entries {
            environment.entries.retain(|known| known.key != entry.key);
            environment.entries.push(entry);
        }
    }
    if !environment.is_empty() {
        action.add("env", environment.into());
    }
    if let Some(cwd) = cwd {
        action.add_text("cwd", cwd.text);
    }
    action.add_text("stdin", "none");
    Some(action)
}

/// The program as `run` finds it where adnanh/webhook did: below the working directory, if there is
/// one.
fn program_path(program: &Text<'_>, cwd: Option<&Text<'_>>, notes: &mut Notes) -> String {
    let written = program.text.as_str();
    if written.starts_with('/') {
        return written.to_owned();
    }
    if cwd.is_some() {
        return if written.contains('/') {
            written.to_owned()
        } else {
            format!("./{written}")
        };
    }
    if written.contains('/') {
        let message = format!("`{written}` was looked up in the folder in which the daemon was started");
        notes.warn(
            program.node,
            "actions",
            "program",
            &message,
            "it is looked up in the folder of the rules file: write the whole path",
        );
    }
    written.to_owned()
}

/// The variables of a command.
fn variables(arguments: &[Argument<'_>], notes: &mut Notes) -> Map {
    let mut map = Map::new();
    for argument in arguments {
        let value = template(argument, "actions", notes);
        let name = match &argument.envname {
            Some(name) => name.clone(),
            None => format!("{PREFIX}{}", argument.name),
        };
        if let Some(name) = variable(argument, &name, notes) {
            add(&mut map, argument, name, Yaml::text(value), notes);
        }
    }
    map
}

/// The files of a command. Each value travels in a variable, whose length the kernel bounds.
fn files_of(arguments: &[Argument<'_>], notes: &mut Notes) -> Vec<File> {
    let mut files: Vec<File> = Vec::new();
    for argument in arguments {
        let content = template(argument, "actions", notes);
        let name = match &argument.envname {
            Some(name) => name.clone(),
            None => format!("{PREFIX}{}", argument.name.to_uppercase()),
        };
        let Some(name) = variable(argument, &name, notes) else {
            continue;
        };
        files.retain(|known| known.name != name);
        files.push(File {
            name,
            content,
            is_base64: argument.is_base64,
        });
    }
    if let Some(argument) = arguments.first().filter(|_| !files.is_empty()) {
        let message = "a value of more than 128 KiB does not reach the file";
        let hint = "for larger ones take `stdin: json`, and let the command read the value itself";
        notes.warn(argument.node, "actions", "file", message, hint);
    }
    files
}

/// Adds a variable. The last of several with one name counts.
fn add(map: &mut Map, argument: &Argument<'_>, name: String, value: Yaml, notes: &mut Notes) {
    if map.has(&name) {
        let message = format!("the variable `{name}` is set twice");
        notes.warn(
            argument.node,
            "actions",
            "variable",
            &message,
            "the last value counts, as before",
        );
        map.entries.retain(|entry| entry.key != name);
    }
    map.add(name, value);
}

/// The name of a variable, as a shell knows it.
fn variable(argument: &Argument<'_>, name: &str, notes: &mut Notes) -> Option<String> {
    let node = argument.node;
    let is_letter = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let mut plain: String = name
        .chars()
        .map(|letter| if is_letter(letter) { letter } else { '_' })
        .collect();
    if plain.is_empty() || plain.starts_with(|letter: char| letter.is_ascii_digit()) {
        plain.insert(0, '_');
    }
    if plain.starts_with("HOOKYARD_") {
        let message = format!("`{name}` is a variable of hookyard's own");
        notes.changed(node, "actions", "variable", &message, "it is left out");
        return None;
    }
    if plain != name {
        let message = format!("`{name}` is no name that a shell could read");
        notes.changed(
            node,
            "actions",
            "variable",
            &message,
            &format!("the variable is called `{plain}`"),
        );
    }
    Some(plain)
}

/// True if the hook reads something of the body.
pub(super) fn reads_body(hook: &Hook<'_>) -> bool {
    // Diagnostics about these values are told where they are translated.
    let mut ignored = Diagnostics::new();
    [
        Property::PassArguments,
        Property::PassEnvironment,
        Property::PassFile,
        Property::ParseAsJson,
    ]
    .into_iter()
    .flat_map(|property| hook.arguments(property, &mut ignored))
    .any(|argument| is_of_body(argument.source))
}

/// True if a source is a part of the body.
pub(super) fn is_of_body(source: Source) -> bool {
    matches!(
        source,
        Source::Payload | Source::EntirePayload | Source::RawBody | Source::Template
    )
}
