//! Compilation of `run` and `shell`.
//!
//! Everything that can be known at load is checked at load. The program must be executable, the
//! folder must exist, variables must have valid names, and a script must hold no template. If
//! something is missing on this machine, the rules load all the same (`needs.rs`).

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::act::run::confinement::Confinement;
use crate::act::run::environment::{base_environment, search_path, variables};
use crate::act::run::identity::RequestedAccount;
use crate::act::run::injection::{self, ScriptFile, Word};
use crate::act::run::needs::{NeedKind, Needs};
use crate::act::run::shell_script::script;
use crate::act::run::{DEFAULT_GRACE, DEFAULT_TIMEOUT, Exit, Run, Stdin, default_done, program, words};
use crate::act::settings::ActionKind;
use crate::act::{CompileContext, settings};
use crate::base::diagnostic::Diagnostics;
use crate::base::units::HumanDuration;
use crate::base::yaml::Node;
use crate::template;
use crate::template::{Scope, Template};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RunFields {
    #[serde(rename = "run")]
    _run: Option<IgnoredAny>,
    #[serde(rename = "shell")]
    _shell: Option<IgnoredAny>,
    #[serde(rename = "id")]
    _id: Option<IgnoredAny>,
    #[serde(rename = "retry")]
    _retry: Option<IgnoredAny>,
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
        let timeout = context.timeout.unwrap_or(DEFAULT_TIMEOUT);
        let timeout = settings::limit(node, "timeout", fields.timeout, timeout, diagnostics);
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
    let place = node.get("cwd").unwrap_or(node);
    cwd.map(|cwd| settings::located(place, context.keyring, cwd))
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
