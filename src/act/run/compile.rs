//! Compilation of `run` and `shell`.
//!
//! Everything that can be known at load is checked at load. The program must be executable, the
//! folder must exist, variables must have valid names, and a script must hold no template. If
//! something is missing on this machine, the rules load all the same (`needs.rs`).

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::act::run::confinement::Confinement;
use crate::act::run::identity::{self, RequestedAccount};
use crate::act::run::injection::{self, BY_ENVIRONMENT, ScriptFile, Word, steers};
use crate::act::run::needs::{NeedKind, Needs};
use crate::act::run::{DEFAULT_GRACE, DEFAULT_TIMEOUT, Exit, Run, Stdin, default_done, program, words};
use crate::act::settings::ActionKind;
use crate::act::{CompileContext, settings};
use crate::base::diagnostic::{Diagnostic, Diagnostics};
use crate::base::units::HumanDuration;
use crate::base::yaml::Node;
use crate::template;
use crate::template::{NAMES, Scope, Template, TemplatePiece, pieces};

/// Maximum bytes of a `shell` script. The kernel takes no longer argument.
const MAX_SCRIPT: usize = 128 << 10;
/// Search path for programs if the daemon has no `PATH`.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Prefix of the variables that every command gets.
const RESERVED: &str = "HOOKYARD_";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RunFields {
    #[serde(rename = "run")]
    _run: Option<IgnoredAny>,
    #[serde(rename = "shell")]
    _shell: Option<IgnoredAny>,
    #[serde(rename = "env")]
    _env: Option<IgnoredAny>,
    #[serde(rename = "cwd")]
    _cwd: Option<IgnoredAny>,
    stdin: Option<Stdin>,
    timeout: Option<HumanDuration>,
    grace: Option<HumanDuration>,
    exit: Option<Exit>,
    #[serde(rename = "user")]
    _user: Option<IgnoredAny>,
    #[serde(rename = "group")]
    _group: Option<IgnoredAny>,
    nice: Option<u8>,
    #[serde(rename = "limits")]
    _limits: Option<IgnoredAny>,
}

impl Run {
    /// Compiles `run` or `shell`, as `kind` says, with its fields.
    pub fn compile(
        node: Node<'_>,
        kind: ActionKind,
        context: &CompileContext<'_>,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        let before = diagnostics.errors();
        let fields: RunFields = settings::read(node, kind, diagnostics)?;
        let what = node.get(kind.name())?;
        let cwd = folder(node, context, diagnostics);
        let environment = match node.get("env") {
            Some(node) => variables(node, context, diagnostics),
            None => Vec::new(),
        };
        let timeout = settings::limit(node, "timeout", fields.timeout, DEFAULT_TIMEOUT, diagnostics);
        let grace = fields.grace.map_or(DEFAULT_GRACE, |HumanDuration(grace)| grace);
        let exit = exit_codes(node, fields.exit, diagnostics);
        let account = RequestedAccount::compile(node.get("user"), node.get("group"), diagnostics);
        let confinement = Confinement::compile(node, fields.nice, diagnostics);
        let base_environment = base_environment(context);
        let search = search_path(&environment, &base_environment);
        let stdin = fields.stdin.unwrap_or_default();
        let command = if kind == ActionKind::Shell {
            script(what, diagnostics).map(|text| {
                let arguments = ["-eu", "-c", text].map(Template::fixed).to_vec();
                ("/bin/sh", arguments, Some(text.to_owned()), None)
            })
        } else {
            let location = (cwd.as_deref(), search.as_deref());
            let command = arguments(what, location, stdin != Stdin::None, context, diagnostics);
            command.map(|(program, arguments, file)| (program, arguments, None, file))
        };
        let (program, arguments, script, file) = command?;
        let needs = Needs {
            program: program.to_owned(),
            search,
            script: file,
            cwd: cwd?,
            account: account?,
            confinement,
            base_environment,
            resolved: OnceLock::new(),
        };
        if !context.keyring.is_offline() {
            missing(node, what, &needs, diagnostics);
        }
        let run = Self {
            needs: Arc::new(needs),
            arguments,
            environment,
            stdin,
            timeout,
            grace,
            exit,
            script,
        };
        (diagnostics.errors() == before).then_some(run)
    }
}

/// Returns the folder in which the command runs. The default is that of the rules file.
fn folder(node: Node<'_>, context: &CompileContext<'_>, diagnostics: &mut Diagnostics) -> Option<PathBuf> {
    let cwd = match node.get("cwd") {
        None => Some("."),
        Some(node) => template::fixed(node, "`cwd`", diagnostics),
    };
    cwd.map(|cwd| settings::located(context.keyring, cwd))
}

/// Returns the meaning of the exit codes.
fn exit_codes(node: Node<'_>, exit: Option<Exit>, diagnostics: &mut Diagnostics) -> Exit {
    let exit = exit.unwrap_or(Exit {
        done: default_done(),
        retry: Vec::new(),
        dead: Vec::new(),
    });
    if let (Some(code), Some(node)) = (exit.ambiguous(), node.get("exit")) {
        let diagnostic = node.error("wrong-value", format!("exit code {code} stands in two lists"));
        diagnostics.push(diagnostic.hint("without `done` it is `done: [0]`"));
    }
    exit
}

/// Looks for what the command needs on this machine, and reports what is missing.
fn missing(node: Node<'_>, what: Node<'_>, needs: &Needs, diagnostics: &mut Diagnostics) {
    let Err(missing) = needs.find() else { return };
    for (kind, message, hint) in missing {
        let (code, location) = match kind {
            NeedKind::Program => ("program", what.items().first().copied()),
            NeedKind::Script(at) => ("script", what.items().get(at).copied()),
            NeedKind::Cwd => ("cwd", node.get("cwd")),
            NeedKind::User => ("user", node.get("user").or(node.get("group"))),
        };
        diagnostics.push(location.unwrap_or(what).unavailable(code, message).hint(hint));
    }
}

/// Returns the variables that every command gets, from the daemon's environment and its user's
/// account.
fn base_environment(context: &CompileContext<'_>) -> Vec<(&'static str, OsString)> {
    let home = || identity::home().unwrap_or_else(|| "/".into());
    let defaults: [(&str, &dyn Fn() -> OsString); 3] = [
        ("PATH", &|| DEFAULT_PATH.into()),
        ("HOME", &home),
        ("LANG", &|| "C.UTF-8".into()),
    ];
    defaults
        .map(|(name, default)| {
            let own = context.keyring.variable(name).filter(|value| !value.is_empty());
            (name, own.cloned().unwrap_or_else(default))
        })
        .to_vec()
}

/// Returns the search path of the command. `None` if its `PATH` depends on the event.
fn search_path(
    environment: &[(String, Template)],
    base_environment: &[(&'static str, OsString)],
) -> Option<OsString> {
    match environment.iter().find(|(name, _)| name == "PATH") {
        Some((_, template)) => template.literal().map(OsString::from),
        None => base_environment
            .iter()
            .find(|(name, _)| *name == "PATH")
            .map(|(_, path)| path.clone()),
    }
}

/// Compiles the variables under `env`.
fn variables(
    node: Node<'_>,
    context: &CompileContext<'_>,
    diagnostics: &mut Diagnostics,
) -> Vec<(String, Template)> {
    if !node.is_mapping() {
        diagnostics.push(node.error("wrong-value", "`env` is a mapping of names to texts"));
    }
    let mut variables = Vec::new();
    for (name, value) in node.entries() {
        let mut letters = name.chars();
        let begins = letters
            .next()
            .is_some_and(|letter| letter.is_ascii_alphabetic() || letter == '_');
        if !begins || !letters.all(|letter| letter.is_ascii_alphanumeric() || letter == '_') {
            let message = format!("`{name}` is not the name of a variable");
            let diagnostic = Diagnostic::error(value.key_origin(), "env", message);
            diagnostics.push(diagnostic.hint("letters, digits and `_`, not beginning with a digit"));
        } else if name.starts_with(RESERVED) {
            let message = format!("`{name}` is set by hookyard itself");
            diagnostics.push(Diagnostic::error(value.key_origin(), "env", message));
        }
        let template = context
            .templates
            .read(value, Scope::Action, context.keyring, diagnostics);
        let is_of_event = |template: &Template| {
            pieces(template.source())
                .iter()
                .any(TemplatePiece::is_of_the_event)
        };
        if steers(name) && template.as_ref().is_some_and(is_of_event) {
            let diagnostic = value.error("env", injection::steered(name));
            diagnostics.push(diagnostic.hint("give the variable a name of your own, and read that"));
        }
        variables.extend(template.map(|template| (name.to_owned(), template)));
    }
    variables
}

/// Compiles the program and its arguments.
fn arguments<'d>(
    node: Node<'d>,
    (cwd, search): (Option<&Path>, Option<&OsStr>),
    input: bool,
    context: &CompileContext<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<(&'d str, Vec<Template>, Option<ScriptFile>)> {
    let items = node.items();
    let Some((first, rest)) = items.split_first() else {
        diagnostics.push(
            node.error(
                "wrong-value",
                "`run` is a list: the program, and its arguments one by one",
            )
            .hint("write `run: [/path/to/program, \"--option\", \"{{ payload.ref }}\"]`, or use `shell`"),
        );
        return None;
    };
    let program = template::fixed(*first, "the program", diagnostics).and_then(|program| {
        if search.is_some() || program.contains('/') {
            return Some(program);
        }
        let message = format!("`{program}` cannot be looked up, for `PATH` depends on the event");
        let hint = format!("write the program's whole path, such as `/usr/bin/{program}`");
        diagnostics.push(first.error("program", message).hint(hint));
        None
    });
    let arguments: Vec<Template> = rest
        .iter()
        .filter_map(|node| {
            context
                .templates
                .read(*node, Scope::Action, context.keyring, diagnostics)
        })
        .collect();
    let found = program
        .zip(cwd)
        .filter(|_| !context.keyring.is_offline())
        .and_then(|(program, cwd)| program::find(program, cwd, search).ok());
    let reading = read_as_code(&items, found.as_deref(), input, diagnostics);
    words::warn_of_arguments(&items, &arguments, &reading, context, diagnostics);
    // Words that `env -S` splits stand in no item of their own.
    let is_item = |script: &ScriptFile| items.get(script.at).and_then(Node::as_str) == Some(&script.text);
    Some((program?, arguments, reading.script.filter(is_item)))
}

/// Reports words that an interpreter would run although an event writes them.
fn read_as_code(
    items: &[Node<'_>],
    program: Option<&Path>,
    input: bool,
    diagnostics: &mut Diagnostics,
) -> injection::Reading {
    let words: Vec<Word<'_>> = items
        .iter()
        .enumerate()
        .map(|(at, node)| Word::new(node.as_str().unwrap_or_default(), at))
        .collect();
    // A link of another name may lead to an interpreter.
    let real = program.and_then(|program| program.canonicalize().ok());
    let real = real.as_deref().and_then(Path::file_name).and_then(OsStr::to_str);
    let reading = injection::read(&words, real, input);
    for error in &reading.errors {
        if let Some(node) = items.get(error.at) {
            diagnostics.push(node.error("template", error.message.as_str()).hint(error.hint));
        }
    }
    reading
}

/// Reads the script of a `shell`.
fn script<'d>(node: Node<'d>, diagnostics: &mut Diagnostics) -> Option<&'d str> {
    let Some(text) = node.as_str().filter(|text| !text.trim().is_empty()) else {
        diagnostics.push(node.error("wrong-value", "`shell` is the text of a script"));
        return None;
    };
    if text.len() > MAX_SCRIPT {
        let message = format!(
            "the script has {} bytes; at most {MAX_SCRIPT} are taken",
            text.len()
        );
        diagnostics.push(
            node.error("wrong-value", message)
                .hint("put it in a file and `run` that"),
        );
        return None;
    }
    if text.contains('\0') {
        diagnostics.push(node.error("wrong-value", "the script holds a NUL byte"));
        return None;
    }
    if let Some(name) = templated(text) {
        diagnostics.push(
            node.error(
                "template",
                format!("a script is fixed: `{name}` would not be filled in"),
            )
            .hint(BY_ENVIRONMENT),
        );
        return None;
    }
    Some(text)
}

/// Returns text that looks like a hookyard template. Other braces are valid in a script, as in
/// `docker ps --format '{{.Names}}'` and `${#name}`.
fn templated(text: &str) -> Option<String> {
    if text.contains("{%") {
        return Some("{%".to_owned());
    }
    text.split("{{").skip(1).find_map(|inside| {
        let inside = inside.trim_start_matches('-').trim_start();
        let end = inside
            .find(|letter: char| !letter.is_alphanumeric() && letter != '_')
            .unwrap_or(inside.len());
        let word = inside.get(..end)?;
        let is_own = NAMES.contains(&word) || ["secret", "jsonpath", "actions", "failure"].contains(&word);
        is_own.then(|| format!("{{{{ {word}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_distinguished_from_other_braces() {
        for script in [
            "echo {{ payload.ref }}",
            "echo {{ failure.reason }}",
            "echo {{- secret('X') }}",
            "{% if x %}",
            "{{jsonpath('$')}}",
        ] {
            assert!(templated(script).is_some(), "{script}");
        }
        for script in [
            "docker ps --format '{{.Names}}'",
            "echo ${#name} ${x%%.*}",
            "{{ json . }}",
            "{{",
        ] {
            assert!(templated(script).is_none(), "{script}");
        }
    }
}
