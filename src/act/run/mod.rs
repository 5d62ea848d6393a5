//! Run a command: `run` (a list of arguments, no shell) and `shell` (a fixed text for `/bin/sh -eu`).
//!
//! Everything that can be known at load is checked at load: the program is there and may be executed, the folder
//! is there, the names of variables are names. Values reach a shell through its environment alone: text that a
//! stranger sent is never part of a script.

mod group;
mod perform;
mod program;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use minijinja::Value;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::json;

use crate::act::outcome::Verdict;
use crate::act::{Workshop, settings};
use crate::diagnostic::{Finding, Findings};
use crate::template::{NAMES, RenderError, Scope, Template};
use crate::units::Period;
use crate::yaml::Node;

/// How long a command may take where the rule does not say. Deploys take minutes; one that hangs is noticed today.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10 * 60);
/// How long a command has between TERM and KILL where the rule does not say.
pub const DEFAULT_GRACE: Duration = Duration::from_secs(10);
/// The longest text of a `shell`: the kernel takes no longer argument.
const MAX_SCRIPT: usize = 128 << 10;
/// Where programs are looked up if the daemon has no `PATH`.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// The prefix of the variables that every command gets.
const RESERVED: &str = "HOOKYARD_";

/// A command.
#[derive(Debug)]
pub struct Run {
    /// Absolute: only so is the program started without a copy of the whole daemon being made first.
    program: PathBuf,
    arguments: Vec<Template>,
    /// What is the same for every event: `PATH`, `HOME`, `LANG`.
    surroundings: Vec<(&'static str, OsString)>,
    environment: Vec<(String, Template)>,
    cwd: PathBuf,
    stdin: Stdin,
    timeout: Duration,
    grace: Duration,
    exit: Exit,
    /// The text, if this is a `shell`.
    script: Option<String>,
}

/// What a command reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Stdin {
    /// The raw body.
    #[default]
    Body,
    /// The event record.
    Json,
    /// Nothing.
    None,
}

/// What the exit codes of a command mean; one that is not listed means that it failed and may be retried.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Exit {
    /// It is done.
    #[serde(default = "zero")]
    done: Vec<u8>,
    /// It failed, and another try may help.
    #[serde(default)]
    retry: Vec<u8>,
    /// It failed, and another try cannot help.
    #[serde(default)]
    dead: Vec<u8>,
}

/// The code that means done where nothing else is said.
fn zero() -> Vec<u8> {
    vec![0]
}

/// The keys of the action.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    #[serde(rename = "run")]
    _run: Option<IgnoredAny>,
    #[serde(rename = "shell")]
    _shell: Option<IgnoredAny>,
    #[serde(rename = "env")]
    _env: Option<IgnoredAny>,
    #[serde(rename = "cwd")]
    _cwd: Option<IgnoredAny>,
    stdin: Option<Stdin>,
    timeout: Option<Period>,
    grace: Option<Period>,
    exit: Option<Exit>,
}

impl Exit {
    /// What this code means.
    fn verdict(&self, code: u8) -> Verdict {
        if self.done.contains(&code) {
            Verdict::Done
        } else if self.dead.contains(&code) {
            Verdict::Dead
        } else {
            Verdict::FAILED
        }
    }

    /// A code that stands in two lists.
    fn ambiguous(&self) -> Option<u8> {
        let twice = |code: &&u8| {
            [&self.done, &self.retry, &self.dead]
                .iter()
                .filter(|list| list.contains(code))
                .count()
                > 1
        };
        self.retry.iter().chain(&self.dead).find(twice).copied()
    }
}

impl Run {
    /// Reads `run` or `shell`, whichever `kind` says, with its fields.
    pub fn compile(
        node: Node<'_>,
        kind: &str,
        workshop: &Workshop<'_>,
        findings: &mut Findings,
    ) -> Option<Self> {
        let before = findings.errors();
        let fields: Fields = settings::read(node, kind, findings)?;
        let what = node.get(kind)?;
        let cwd = folder(node.get("cwd"), workshop, findings);
        let environment = match node.get("env") {
            Some(node) => variables(node, workshop, findings),
            None => Vec::new(),
        };
        let timeout = settings::limit(node, "timeout", fields.timeout, DEFAULT_TIMEOUT, findings);
        let grace = fields.grace.map_or(DEFAULT_GRACE, |Period(grace)| grace);
        let exit = fields.exit.unwrap_or(Exit {
            done: zero(),
            retry: Vec::new(),
            dead: Vec::new(),
        });
        if let (Some(code), Some(node)) = (exit.ambiguous(), node.get("exit")) {
            let finding = node.error("wrong-value", format!("exit code {code} stands in two lists"));
            findings.push(finding.hint("without `done` it is `done: [0]`"));
        }
        let surroundings = surroundings(workshop);
        let cwd_or_folder = cwd
            .clone()
            .unwrap_or_else(|| settings::located(workshop.keyring, "."));
        let command = if kind == "shell" {
            script(what, findings).map(|text| {
                let arguments = ["-eu", "-c", text].map(Template::fixed).to_vec();
                (PathBuf::from("/bin/sh"), arguments, Some(text.to_owned()))
            })
        } else {
            let search = search_path(&environment, &surroundings);
            arguments(what, &cwd_or_folder, search.as_ref(), workshop, findings)
                .map(|(program, arguments)| (program, arguments, None))
        };
        let (program, arguments, script) = command?;
        let run = Self {
            program,
            arguments,
            surroundings,
            environment,
            cwd: cwd?,
            stdin: fields.stdin.unwrap_or_default(),
            timeout,
            grace,
            exit,
            script,
        };
        (findings.errors() == before).then_some(run)
    }

    /// `run` or `shell`.
    pub fn name(&self) -> &'static str {
        if self.script.is_some() { "shell" } else { "run" }
    }

    /// What would be run.
    pub fn describe(&self, values: &Value) -> Result<serde_json::Value, RenderError> {
        let mut environment = serde_json::Map::new();
        for (name, template) in &self.environment {
            environment.insert(name.clone(), template.render_masked(values)?.into());
        }
        let what = match &self.script {
            Some(script) => json!(script),
            None => {
                let mut words = vec![self.program.display().to_string()];
                for argument in &self.arguments {
                    words.push(argument.render_masked(values)?);
                }
                json!(words)
            }
        };
        Ok(json!({
            self.name(): what,
            "env": environment,
            "cwd": self.cwd.display().to_string(),
            "timeout": Period(self.timeout).to_string(),
        }))
    }
}

/// The folder in which a command runs: that of the rules file, unless `cwd` says otherwise.
fn folder(node: Option<Node<'_>>, workshop: &Workshop<'_>, findings: &mut Findings) -> Option<PathBuf> {
    let Some(node) = node else {
        return Some(settings::located(workshop.keyring, "."));
    };
    let path = settings::located(workshop.keyring, settings::fixed(node, "`cwd`", findings)?);
    if path.is_dir() {
        return Some(path);
    }
    findings.push(node.error("cwd", format!("there is no folder `{}`", path.display())));
    None
}

/// What every command finds around it, of the daemon's own environment.
fn surroundings(workshop: &Workshop<'_>) -> Vec<(&'static str, OsString)> {
    [("PATH", DEFAULT_PATH), ("HOME", "/"), ("LANG", "C.UTF-8")]
        .map(|(name, default)| {
            let own = workshop.keyring.variable(name).filter(|value| !value.is_empty());
            (name, own.cloned().unwrap_or_else(|| default.into()))
        })
        .to_vec()
}

/// Where the command's programs are looked up; unknown if its `PATH` depends on the event.
fn search_path(
    environment: &[(String, Template)],
    surroundings: &[(&'static str, OsString)],
) -> Option<OsString> {
    match environment.iter().find(|(name, _)| name == "PATH") {
        Some((_, template)) => template.literal().map(OsString::from),
        None => surroundings
            .iter()
            .find(|(name, _)| *name == "PATH")
            .map(|(_, path)| path.clone()),
    }
}

/// The variables under `env`.
fn variables(node: Node<'_>, workshop: &Workshop<'_>, findings: &mut Findings) -> Vec<(String, Template)> {
    if !node.is_mapping() {
        findings.push(node.error("wrong-value", "`env` is a mapping of names to texts"));
    }
    let mut variables = Vec::new();
    for (name, value) in node.entries() {
        let mut letters = name.chars();
        let begins = letters
            .next()
            .is_some_and(|letter| letter.is_ascii_alphabetic() || letter == '_');
        if !begins || !letters.all(|letter| letter.is_ascii_alphanumeric() || letter == '_') {
            let message = format!("`{name}` is not the name of a variable");
            let finding = Finding::error(value.key_origin(), "env", message);
            findings.push(finding.hint("letters, digits and `_`, not beginning with a digit"));
        } else if name.starts_with(RESERVED) {
            let message = format!("`{name}` is set by hookyard itself");
            findings.push(Finding::error(value.key_origin(), "env", message));
        }
        let template = workshop
            .templates
            .read(value, Scope::Action, workshop.keyring, findings);
        variables.extend(template.map(|template| (name.to_owned(), template)));
    }
    variables
}

/// The program and its arguments.
fn arguments(
    node: Node<'_>,
    cwd: &Path,
    search: Option<&OsString>,
    workshop: &Workshop<'_>,
    findings: &mut Findings,
) -> Option<(PathBuf, Vec<Template>)> {
    let items = node.items();
    let Some((first, rest)) = items.split_first() else {
        findings.push(
            node.error(
                "wrong-value",
                "`run` is a list: the program, and its arguments one by one",
            )
            .hint("write `run: [/path/to/program, \"--option\", \"{{ payload.ref }}\"]`, or use `shell`"),
        );
        return None;
    };
    let program = settings::fixed(*first, "the program", findings).and_then(|text| {
        program::find(text, cwd, search.map(OsString::as_os_str))
            .map_err(|(message, hint)| findings.push(first.error("program", message).hint(hint)))
            .ok()
    });
    let arguments: Vec<Template> = rest
        .iter()
        .filter_map(|node| {
            workshop
                .templates
                .read(*node, Scope::Action, workshop.keyring, findings)
        })
        .collect();
    Some((program?, arguments))
}

/// The text of a `shell`.
fn script<'d>(node: Node<'d>, findings: &mut Findings) -> Option<&'d str> {
    let Some(text) = node.as_str().filter(|text| !text.trim().is_empty()) else {
        findings.push(node.error("wrong-value", "`shell` is the text of a script"));
        return None;
    };
    if text.len() > MAX_SCRIPT {
        let message = format!(
            "the script has {} bytes; at most {MAX_SCRIPT} are taken",
            text.len()
        );
        findings.push(
            node.error("wrong-value", message)
                .hint("put it in a file and `run` that"),
        );
        return None;
    }
    if text.contains('\0') {
        findings.push(node.error("wrong-value", "the script holds a NUL byte"));
        return None;
    }
    if let Some(name) = templated(text) {
        findings.push(
            node.error(
                "template",
                format!("a script is fixed: `{name}` would not be filled in"),
            )
            .hint("values reach a shell through its environment: `env: {COMMIT: \"{{ payload.after }}\"}`, then \"$COMMIT\""),
        );
        return None;
    }
    Some(text)
}

/// What looks like a template of ours. Not every brace is one: `docker ps --format '{{.Names}}'` and `${#name}` are
/// honest scripts.
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
        let ours = NAMES.contains(&word) || ["secret", "jsonpath", "actions"].contains(&word);
        ours.then(|| format!("{{{{ {word}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_mean_what_the_rule_says() {
        let exit: Exit = serde_json::from_str(r#"{"done": [0, 10], "retry": [75], "dead": [78]}"#).unwrap();
        for (code, verdict) in [
            (0, Verdict::Done),
            (10, Verdict::Done),
            (1, Verdict::FAILED),
            (75, Verdict::FAILED),
            (78, Verdict::Dead),
        ] {
            assert_eq!(exit.verdict(code), verdict, "{code}");
        }
        assert_eq!(exit.ambiguous(), None);
        let exit: Exit = serde_json::from_str(r#"{"dead": [0]}"#).unwrap();
        assert_eq!(exit.ambiguous(), Some(0));
    }

    #[test]
    fn templates_of_ours_are_told_from_honest_braces() {
        for script in [
            "echo {{ payload.ref }}",
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
