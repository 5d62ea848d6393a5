//! Append a line to a file.
//!
//! One line is one `write` to a file opened with `O_APPEND`, so that lines of many writers never mix. The file is
//! opened for every line: one that was rotated away or deleted comes back. A line that did not fit on the disk is
//! taken back, so that no later line is glued to half of it.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use minijinja::Value;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::json;
use tokio::time::{Instant, timeout};

use crate::act::occasion::Occasion;
use crate::act::outcome::{Outcome, Verdict};
use crate::act::settings::Kind;
use crate::act::{Workshop, record, settings};
use crate::diagnostic::Findings;
use crate::template::{RenderError, Scope, Template};
use crate::yaml::Node;

/// How long a write may take: a network file system that hangs must not hold the delivery for ever.
const LIMIT: Duration = Duration::from_mins(1);
/// The permissions of a new file.
const MODE: u32 = 0o640;

/// One line, appended to one file.
#[derive(Debug)]
pub struct Append {
    path: PathBuf,
    line: Line,
    sync: bool,
}

/// What the line holds.
#[derive(Debug)]
enum Line {
    /// The event record.
    Json,
    /// A text; line breaks in it are written `\n`.
    Template(Template),
}

/// The keys of the action.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    #[serde(rename = "append")]
    _append: IgnoredAny,
    line: Option<IgnoredAny>,
    sync: Option<bool>,
}

impl Append {
    /// Reads `append` with its fields.
    pub fn compile(node: Node<'_>, workshop: &Workshop<'_>, findings: &mut Findings) -> Option<Self> {
        let before = findings.errors();
        let fields: Fields = settings::read(node, Kind::Append, findings)?;
        let path = node.get("append").and_then(|node| file(node, workshop, findings));
        let line = match fields.line.and_then(|_| node.get("line")) {
            None => Some(Line::Json),
            Some(node) if node.as_str() == Some("json") => Some(Line::Json),
            Some(node) => workshop
                .templates
                .read(node, Scope::Action, workshop.keyring, findings)
                .map(Line::Template),
        };
        let append = Self {
            path: path?,
            line: line?,
            sync: fields.sync.unwrap_or(false),
        };
        (findings.errors() == before).then_some(append)
    }

    /// What would be appended where.
    pub fn describe(&self, values: &Value) -> Result<serde_json::Value, RenderError> {
        let line = match &self.line {
            Line::Json => "json".to_owned(),
            Line::Template(template) => one_line(&template.render_masked(values)?),
        };
        Ok(json!({"append": self.path.display().to_string(), "line": line}))
    }

    /// Appends the line.
    pub async fn perform(&self, occasion: &Occasion<'_>) -> Outcome {
        let started = Instant::now();
        let mut line = match self.content(occasion) {
            Ok(line) => line,
            Err(why) => return Outcome::new(Verdict::Dead, why, started.elapsed()),
        };
        line.push(b'\n');
        let (path, sync) = (self.path.clone(), self.sync);
        let written = tokio::task::spawn_blocking(move || write(&path, &line, sync));
        let (verdict, detail) = match timeout(LIMIT, written).await {
            Ok(Ok(Ok(length))) => (Verdict::Done, format!("{length} bytes appended")),
            Ok(Ok(Err(error))) => (
                Verdict::FAILED,
                format!("cannot append to `{}`: {error}", self.path.display()),
            ),
            Ok(Err(_)) => (Verdict::FAILED, "the write was given up".to_owned()),
            Err(_) => (
                Verdict::FAILED,
                format!("timed out after {}", humantime::format_duration(LIMIT)),
            ),
        };
        Outcome::new(verdict, detail, started.elapsed())
    }

    fn content(&self, occasion: &Occasion<'_>) -> Result<Vec<u8>, String> {
        match &self.line {
            Line::Json => record::json(occasion).map_err(|error| format!("no event record: {error}")),
            Line::Template(template) => template
                .render(&occasion.values())
                .map(|line| one_line(&line).into_bytes())
                .map_err(|error| error.to_string()),
        }
    }
}

/// The file to append to. Its folder must be there: a mistyped folder must not be found out by the first event.
fn file(node: Node<'_>, workshop: &Workshop<'_>, findings: &mut Findings) -> Option<PathBuf> {
    let text = settings::fixed(node, "the file to append to", findings)?;
    let path = settings::located(workshop.keyring, text);
    if path.is_dir() {
        findings.push(node.error("append", format!("`{}` is a folder", path.display())));
        return None;
    }
    match path.parent() {
        Some(folder) if folder.is_dir() => Some(path),
        folder => {
            let folder = folder.unwrap_or(&path).display();
            let finding = node.error("append", format!("there is no folder `{folder}`"));
            findings.push(finding.hint(format!("mkdir -p {folder}")));
            None
        }
    }
}

/// A text as one line: without the line break at its end, and with others written as `\n` and `\r`.
fn one_line(text: &str) -> String {
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.replace('\r', "\\r").replace('\n', "\\n")
}

/// Appends the line, in one write.
fn write(path: &Path, line: &[u8], sync: bool) -> io::Result<usize> {
    let mut file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(MODE)
        // A named pipe that nobody reads would hold the thread for ever.
        .custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed())
        .open(path)?;
    let written = file.write(line)?;
    if written < line.len() {
        take_back(&mut file, written);
        return Err(io::Error::new(
            io::ErrorKind::WriteZero,
            format!("{written} of {} bytes could be written", line.len()),
        ));
    }
    if sync {
        file.sync_data()?;
    }
    Ok(written)
}

/// Takes half a line back, if it is still the end of the file. If it cannot be, the error of the write is told all
/// the same, and half a line stays.
fn take_back(file: &mut File, written: usize) {
    let written = u64::try_from(written).unwrap_or(u64::MAX);
    let (Ok(end), Ok(metadata)) = (file.stream_position(), file.metadata()) else {
        return;
    };
    if metadata.is_file()
        && metadata.len() == end
        && let Some(start) = end.checked_sub(written)
    {
        drop(file.set_len(start));
    }
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

    #[test]
    fn half_a_line_is_taken_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        write(&path, b"whole\n", false).unwrap();
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        assert_eq!(file.write(b"ha").unwrap(), 2);
        take_back(&mut file, 2);
        write(&path, b"next\n", true).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "whole\nnext\n");
        // Somebody else has written behind it: it stays.
        assert_eq!(file.write(b"ha").unwrap(), 2);
        write(&path, b"other\n", false).unwrap();
        take_back(&mut file, 2);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "whole\nnext\nhaother\n");
    }

    #[test]
    fn a_full_disk_and_a_pipe_without_reader_are_errors() {
        assert!(write(Path::new("/dev/full"), b"x\n", false).is_err());
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
        assert!(made.success());
        assert!(write(&pipe, b"x\n", false).is_err());
    }
}
