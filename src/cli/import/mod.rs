//! `hookyard import`: the hooks files of adnanh/webhook as a rules file.
//!
//! `hooks.rs` reads a hooks file with its places, after `go_template.rs` has replaced its templates.
//! `rule.rs` makes one rule of each hook, and `file.rs` writes them. Everything that is not the same,
//! or was unsafe, is a diagnostic at its place, and a comment in the rules.

#![expect(
    clippy::format_push_string,
    reason = "easier to read, and one file is written"
)]

mod answers;
mod checks;
mod choose;
mod command;
mod file;
mod files;
mod go_regex;
mod go_template;
mod hooks;
mod logic;
mod names;
mod notes;
mod rule;
mod schemes;
mod translate;
mod values;
mod yaml;

use std::io::Write;
use std::path::{Path, PathBuf};

use self::rule::Defaults;
use self::translate::Translation;
use super::{NO, UNKNOWN, YES, body, coloured, complain, complain_styled, fail, say_styled};
use crate::base::count::counted;
use crate::base::diagnostic::{Severity, Source};

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Hooks files, in JSON or YAML. `-` reads standard input.
    #[arg(required = true)]
    hooks: Vec<PathBuf>,
    /// Translate Go templates, as `webhook -template` reads them: `{{ getenv "NAME" }}` becomes
    /// `env:NAME`.
    #[arg(long)]
    template: bool,
    /// Write the rules to this file, which must not exist [default: standard output].
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The prefix of the paths, as `webhook -urlprefix`.
    #[arg(long, value_name = "PREFIX", default_value = "hooks")]
    urlprefix: String,
    /// Methods of hooks without `http-methods`, as `webhook -http-methods`: `POST,PUT`.
    #[arg(long, value_name = "METHODS", value_delimiter = ',', value_parser = super::method)]
    http_methods: Vec<http::Method>,
    /// A header of all answers, as `webhook -header`. May be repeated.
    #[arg(long, value_name = "NAME=VALUE", value_parser = header)]
    header: Vec<(String, String)>,
}

pub fn run(arguments: &Arguments) -> u8 {
    if let Some(output) = arguments.output.as_deref().filter(|output| output.exists()) {
        return fail(&format!(
            "`{}` exists, and is not overwritten: name another file",
            output.display()
        ));
    }
    let mut sources = Vec::new();
    for path in &arguments.hooks {
        match source(path) {
            Ok(source) => sources.push(source),
            Err(message) => return fail(&message),
        }
    }
    let defaults = Defaults {
        prefix: arguments.urlprefix.clone(),
        methods: arguments.http_methods.iter().map(ToString::to_string).collect(),
        headers: arguments.header.clone(),
    };
    let translation = translate::translate(sources, arguments.template, &defaults);
    if !translation.diagnostics.is_empty() {
        let rendered = translation.diagnostics.render(coloured(&std::io::stderr()));
        complain_styled(&format!("{rendered}\n"));
    }
    let Some(text) = &translation.text else {
        return UNKNOWN;
    };
    let conclusion = conclusion(&translation);
    let code = if translation.diagnostics.has_errors() {
        NO
    } else {
        YES
    };
    let Some(output) = &arguments.output else {
        complain(&conclusion);
        return say_styled(text.trim_end(), code);
    };
    let created = std::fs::File::create_new(output).and_then(|mut file| file.write_all(text.as_bytes()));
    if let Err(error) = created {
        return fail(&format!("cannot write `{}`: {error}", output.display()));
    }
    complain(&format!(
        "{conclusion}; next: `hookyard check {}`",
        output.display()
    ));
    code
}

/// The last line for the user.
fn conclusion(translation: &Translation) -> String {
    let diagnostics = &translation.diagnostics;
    format!(
        "{}, {}, {}",
        counted(translation.rules, "rule"),
        counted(diagnostics.errors(), "difference"),
        counted(diagnostics.count(Severity::Warning), "warning")
    )
}

/// Reads a hooks file.
fn source(path: &Path) -> Result<Source, String> {
    let bytes = body(Some(path))?;
    let shown = if path == Path::new("-") {
        Path::new("<stdin>")
    } else {
        path
    };
    let text =
        String::from_utf8(bytes).map_err(|error| format!("`{}` is not UTF-8: {error}", shown.display()))?;
    Ok(Source {
        path: shown.to_owned(),
        text,
    })
}

/// Parses `NAME=VALUE`.
fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text
        .split_once('=')
        .ok_or_else(|| format!("`{text}` is not `NAME=VALUE`"))?;
    let (name, value) = super::header(&format!("{name}: {value}"))?;
    let value = value.to_str().map_err(|error| error.to_string())?;
    Ok((name.to_string(), value.to_owned()))
}
