//! Action `append`: adds a line to a file.
//!
//! The content of the line is decided here. Writing is left to `appender.rs`, and rotation to
//! `rotate.rs`.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use minijinja::Value;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::json;
use tokio::time::{Instant, timeout};

use crate::act::action_context::ActionContext;
use crate::act::appender::{Appender, LineOutcome};
use crate::act::outcome::{Outcome, Verdict};
use crate::act::rendered::RenderedAction;
use crate::act::rotate::Rotate;
use crate::act::settings::ActionKind;
use crate::act::{CompileContext, record, settings};
use crate::base::diagnostic::Diagnostics;
use crate::base::escape;
use crate::base::units::HumanDuration;
use crate::base::yaml::Node;
use crate::template;
use crate::template::{RenderError, Scope, Template, warn_of_values};

/// Maximum time for a write. A network file system that hangs must not block the delivery forever.
pub const LIMIT: Duration = Duration::from_mins(1);

/// Compiled `append` action.
#[derive(Debug)]
pub struct Append {
    appender: Arc<Appender>,
    line: LineTemplate,
}

/// Content of the line.
#[derive(Debug)]
enum LineTemplate {
    /// Event record.
    Json,
    /// Text, in which line breaks are written as `\n`.
    Template(Template),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AppendFields {
    #[serde(rename = "append")]
    _append: IgnoredAny,
    #[serde(rename = "id")]
    _id: Option<IgnoredAny>,
    #[serde(rename = "retry")]
    _retry: Option<IgnoredAny>,
    line: Option<IgnoredAny>,
    #[serde(rename = "rotate")]
    _rotate: Option<IgnoredAny>,
    sync: Option<bool>,
}

impl Append {
    /// Returns the file and its rotation.
    pub(super) fn file(&self) -> (&Path, Option<Rotate>) {
        (self.appender.path(), self.appender.rotate())
    }

    /// Returns the template of the line. `None` if the line is the event record.
    pub(super) fn template(&self) -> Option<&Template> {
        match &self.line {
            LineTemplate::Json => None,
            LineTemplate::Template(template) => Some(template),
        }
    }

    /// Reads `append` with its fields.
    pub fn compile(
        node: Node<'_>,
        context: &CompileContext<'_>,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        let before = diagnostics.errors();
        let fields: AppendFields = settings::read(node, ActionKind::Append, diagnostics)?;
        let path = node
            .get("append")
            .and_then(|node| file(node, context, diagnostics));
        let line = match fields.line.and_then(|_| node.get("line")) {
            None => Some(LineTemplate::Json),
            Some(node) if node.as_str() == Some("json") => Some(LineTemplate::Json),
            Some(node) => {
                warn_of_values(node, None, diagnostics);
                let line = context
                    .templates
                    .read(node, Scope::Line, context.keyring, diagnostics);
                if line.as_ref().is_some_and(Template::names_secret) {
                    let message = "a secret in the line can be read by every reader of the file";
                    diagnostics.push(node.warning("secret", message));
                }
                line.map(LineTemplate::Template)
            }
        };
        let rotate = node
            .get("rotate")
            .and_then(|node| Rotate::compile(node, diagnostics));
        let append = Self {
            appender: Arc::new(Appender::new(path?, fields.sync.unwrap_or(false), rotate)),
            line: line?,
        };
        (diagnostics.errors() == before).then_some(append)
    }

    /// Describes what is missing on this machine. Reads the file system: not for an async worker.
    pub fn missing(&self) -> Option<String> {
        missing(self.appender.path()).map(|(message, _)| message)
    }

    /// True if the line uses the payload.
    pub(super) fn reads_payload(&self) -> bool {
        match &self.line {
            LineTemplate::Json => true,
            LineTemplate::Template(template) => template.reads_payload(),
        }
    }

    /// Describes the line that would be appended, and its file.
    pub fn describe(&self, values: &Value) -> Result<serde_json::Value, RenderError> {
        let line = match &self.line {
            LineTemplate::Json => "json".to_owned(),
            LineTemplate::Template(template) => one_line(&template.render_masked(values)?),
        };
        Ok(json!({"append": self.appender.path().display().to_string(), "line": line}))
    }

    /// The line as an attempt would append it, without its line break.
    pub(super) fn rendered(&self, context: &ActionContext<'_>) -> Result<RenderedAction, String> {
        let line = self.content(context)?;
        Ok(RenderedAction::Append {
            file: self.appender.path().to_owned(),
            line: String::from_utf8_lossy(&line).into_owned(),
        })
    }

    /// Appends the line once.
    pub async fn perform(&self, action_context: &ActionContext<'_>) -> Outcome {
        let started = Instant::now();
        let mut line = match self.content(action_context) {
            Ok(line) => line,
            Err(why) => return Outcome::new(Verdict::Dead, why, started.elapsed()),
        };
        line.push(b'\n');
        let (verdict, detail) = match timeout(LIMIT, self.appender.append(line)).await {
            Ok(Ok(LineOutcome { length, not_rotated })) => {
                let problem = not_rotated.map(|error| format!("; the file cannot be rotated: {error}"));
                let detail = format!("{length} bytes appended{}", problem.unwrap_or_default());
                (Verdict::Done, detail)
            }
            Ok(Err(error)) => (
                Verdict::FAILED,
                format!("cannot append to `{}`: {error}", self.appender.path().display()),
            ),
            Err(_) => (
                Verdict::FAILED,
                format!("timed out after {}", HumanDuration(LIMIT)),
            ),
        };
        Outcome::new(verdict, detail, started.elapsed())
    }

    fn content(&self, action_context: &ActionContext<'_>) -> Result<Vec<u8>, String> {
        match &self.line {
            LineTemplate::Json => {
                let record =
                    record::json(action_context).map_err(|error| format!("no event record: {error}"))?;
                Ok(escaped(record))
            }
            LineTemplate::Template(template) => template
                .render(&action_context.values())
                .map(|line| one_line(&line).into_bytes())
                .map_err(|error| error.to_string()),
        }
    }
}

/// Reads the path of the file. A missing folder is reported at load, not by the first event.
fn file(node: Node<'_>, context: &CompileContext<'_>, diagnostics: &mut Diagnostics) -> Option<PathBuf> {
    let text = template::fixed(node, "the file to append to", diagnostics)?;
    let path = settings::located(node, context.keyring, text);
    if !context.keyring.is_offline()
        && let Some((message, hint)) = missing(&path)
    {
        diagnostics.push(node.unavailable("append", message).hint(hint));
    }
    Some(path)
}

/// Returns what prevents appending to this file on this machine, with a hint.
fn missing(path: &Path) -> Option<(String, String)> {
    if path.is_dir() {
        let hint = "name a file in it".to_owned();
        return Some((format!("`{}` is a folder", path.display()), hint));
    }
    let folder = path.parent().unwrap_or(path);
    if folder.is_dir() {
        return None;
    }
    let folder = folder.display();
    Some((
        format!("there is no folder `{folder}`"),
        format!("mkdir -p {folder}"),
    ))
}

/// Escapes characters that could control a terminal. The JSON value stays the same.
fn escaped(record: Vec<u8>) -> Vec<u8> {
    match String::from_utf8(record) {
        Ok(text) => match escape::line(&text) {
            Cow::Owned(escaped) => escaped.into_bytes(),
            Cow::Borrowed(_) => text.into_bytes(),
        },
        // Cannot happen, because JSON is UTF-8.
        Err(error) => error.into_bytes(),
    }
}

/// Turns a text into one line. The final line break is dropped, and others become `\n` and `\r`.
fn one_line(text: &str) -> String {
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.replace('\r', "\\r").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_is_one_line() {
        assert_eq!(one_line("a\nb\r\nc\n"), "a\\nb\\r\\nc");
        assert_eq!(one_line("\n\n"), "\\n");
        assert_eq!(one_line("é"), "é");
    }
}
