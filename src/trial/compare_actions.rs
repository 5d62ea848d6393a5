//! Comparison of rendered actions with those that a test expects, each in part.

use std::path::Path;

use super::expect::{At, ExpectedAction, ExpectedKind};
use super::failure::{Failure, Failures};
use super::found::FoundAction;
use super::text_test::TextTest;
use super::yaml;
use crate::act::{RenderedAction, RenderedCommand};

/// Begin of an event record.
const RECORD: &str = r#"{"id":""#;

/// Compares a list of actions: as many as there are, each in part.
pub(super) fn actions(
    what: &str,
    (expected, place): &At<Vec<ExpectedAction>>,
    found: &[&FoundAction],
    failures: &mut Failures,
) {
    if expected.len() != found.len() {
        let named: Vec<String> = found.iter().map(|action| kind(action)).collect();
        failures.push(Failure {
            place: place.clone(),
            what: what.to_owned(),
            expected: counted(expected.len()),
            found: format!("{}: [{}]", counted(found.len()), named.join(", ")),
            hint: None,
            replacement: Some(rendered_list(found)),
        });
        return;
    }
    for (index, (expected, found)) in expected.iter().zip(found).enumerate() {
        action(&format!("{what}[{index}]"), expected, found, failures);
    }
}

fn counted(number: usize) -> String {
    crate::base::count::counted(number, "action")
}

fn action(what: &str, expected: &ExpectedAction, found: &FoundAction, failures: &mut Failures) {
    let rendered = match found {
        Ok(rendered) => rendered,
        Err(why) => {
            failures.add(
                &expected.place,
                what,
                "an action".to_owned(),
                format!("a failure: {why}"),
            );
            return;
        }
    };
    match (&expected.kind, rendered) {
        (
            ExpectedKind::Command {
                words,
                is_script,
                env,
                stdin,
                cwd,
            },
            RenderedAction::Run(command),
        ) if *is_script == command.is_script => {
            self::words(what, words, *is_script, command, failures);
            for (name, test) in env {
                let value = command.env.iter().find(|(known, _)| known == name);
                let value = value.map(|(_, value)| value.as_bytes());
                failures.text(&format!("{what}.env.{name}"), Some(test), value);
            }
            failures.text(&format!("{what}.stdin"), stdin.as_ref(), Some(&command.stdin));
            path(&format!("{what}.cwd"), cwd.as_ref(), &command.cwd, failures);
        }
        (
            ExpectedKind::Forward {
                url,
                method,
                headers,
                body,
            },
            RenderedAction::Forward {
                method: found_method,
                url: found_url,
                headers: found_headers,
                body: found_body,
            },
        ) => {
            failures.text(
                &format!("{what}.forward.url"),
                url.as_ref(),
                Some(found_url.as_bytes()),
            );
            let found_method = found_method.to_string();
            failures.scalar(&format!("{what}.forward.method"), method.as_ref(), &found_method);
            for (name, test) in headers {
                let value = found_headers.get(name.as_str()).map(http::HeaderValue::as_bytes);
                failures.text(&format!("{what}.forward.headers.{name}"), Some(test), value);
            }
            failures.text(&format!("{what}.forward.body"), body.as_ref(), Some(found_body));
        }
        (
            ExpectedKind::Append { file, line },
            RenderedAction::Append {
                file: found_file,
                line: found_line,
            },
        ) => {
            path(&format!("{what}.append"), Some(file), found_file, failures);
            failures.text(
                &format!("{what}.line"),
                line.as_ref(),
                Some(found_line.as_bytes()),
            );
        }
        (expected_kind, _) => failures.push(Failure {
            place: expected.place.clone(),
            what: what.to_owned(),
            expected: format!("`{}`", name_of(expected_kind)),
            found: kind(found),
            hint: None,
            replacement: Some(as_yaml(rendered)),
        }),
    }
}

fn words(
    what: &str,
    (expected, place): &At<Vec<TextTest>>,
    is_script: bool,
    found: &RenderedCommand,
    failures: &mut Failures,
) {
    let misses = expected
        .iter()
        .zip(&found.words)
        .any(|(test, word)| test.check(word.as_bytes()).is_err());
    if expected.len() == found.words.len() && !misses {
        return;
    }
    if is_script || expected.len() == found.words.len() {
        let key = if is_script { "shell" } else { "run" };
        for (index, (test, word)) in expected.iter().zip(&found.words).enumerate() {
            let what = if is_script {
                format!("{what}.{key}")
            } else {
                format!("{what}.{key}[{index}]")
            };
            failures.text(&what, Some(test), Some(word.as_bytes()));
        }
        return;
    }
    let replacement = yaml::list(found.words.iter().map(|word| yaml::text(word)));
    failures.push(Failure {
        place: place.clone(),
        what: format!("{what}.run"),
        expected: crate::base::count::counted(expected.len(), "word"),
        found: replacement.clone(),
        hint: None,
        replacement: Some(replacement),
    });
}

fn path(what: &str, expected: Option<&At<std::path::PathBuf>>, found: &Path, failures: &mut Failures) {
    let Some((expected, place)) = expected else { return };
    if expected != found {
        let found = found.display().to_string();
        failures.push(Failure {
            place: place.clone(),
            what: what.to_owned(),
            expected: format!("`{}`", expected.display()),
            found: format!("`{found}`"),
            hint: None,
            replacement: Some(yaml::text(&found)),
        });
    }
}

fn name_of(kind: &ExpectedKind) -> &'static str {
    match kind {
        ExpectedKind::Command { is_script: true, .. } => "shell",
        ExpectedKind::Command { .. } => "run",
        ExpectedKind::Forward { .. } => "forward",
        ExpectedKind::Append { .. } => "append",
    }
}

/// The kind of a performed action, in backticks.
fn kind(action: &FoundAction) -> String {
    let name = match action {
        Ok(RenderedAction::Run(command)) if command.is_script => "shell",
        Ok(RenderedAction::Run(_)) => "run",
        Ok(RenderedAction::Forward { .. }) => "forward",
        Ok(RenderedAction::Append { .. }) => "append",
        Err(why) => return format!("a failure ({why})"),
    };
    format!("`{name}`")
}

/// Performed actions as YAML. An action that failed before it was rendered is left out.
pub(super) fn rendered_list(found: &[&FoundAction]) -> String {
    yaml::list(
        found
            .iter()
            .filter_map(|action| action.as_ref().ok())
            .map(as_yaml),
    )
}

/// A rendered action as YAML.
fn as_yaml(action: &RenderedAction) -> String {
    let pair = |key: &str, value: String| (key.to_owned(), value);
    match action {
        RenderedAction::Run(command) => {
            let mut entries = Vec::new();
            if command.is_script {
                entries.extend(
                    command
                        .words
                        .first()
                        .map(|script| pair("shell", yaml::text(script))),
                );
            } else {
                let words = yaml::list(command.words.iter().map(|word| yaml::text(word)));
                entries.push(pair("run", words));
            }
            if !command.env.is_empty() {
                let env = command
                    .env
                    .iter()
                    .map(|(name, value)| (name.clone(), yaml::text(value)));
                entries.push(pair("env", yaml::mapping(env)));
            }
            yaml::mapping(entries)
        }
        RenderedAction::Forward {
            method, url, body, ..
        } => {
            let mut entries = vec![pair("url", yaml::text(url)), pair("method", method.to_string())];
            let body = std::str::from_utf8(body).ok();
            entries.extend(body.map(|body| pair("body", yaml::text(body))));
            yaml::mapping([pair("forward", yaml::mapping(entries))])
        }
        RenderedAction::Append { file, line } => {
            let mut entries = vec![pair("append", yaml::text(&file.display().to_string()))];
            // The event record is long, and states nothing that the request does not.
            if !line.starts_with(RECORD) {
                entries.push(pair("line", yaml::text(line)));
            }
            yaml::mapping(entries)
        }
    }
}
