//! The reference: pages of `docs/reference/` and manual pages, made from the code.
//!
//! A page holds prose and generated parts. Each part stands between `<!-- generated: NAME -->` and
//! `<!-- end -->`. [`write`](fn@write) replaces these parts and keeps the prose, [`check`] only
//! compares. To add a key of the rules file, add its entry to `keys/keys.yaml`.

#![expect(
    clippy::format_push_string,
    reason = "easier to read, and no page is made while requests are served"
)]

mod actions;
mod answers;
mod api;
mod command_line;
mod conditions;
mod environment;
pub mod exit_codes;
pub mod hooks_file;
mod keys;
mod limits;
mod logs;
pub mod man;
mod markdown;
mod metrics;
mod record;
mod schema;
mod templates;
mod warnings;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::Command;

pub use keys::{Key, KeyType, Mapping, mappings, test_mappings};
pub use schema::Described;

/// Begin of a generated part, up to its name.
const BEGIN: &str = "<!-- generated: ";
/// End of a generated part.
const END: &str = "<!-- end -->";

/// File of the API's description, which is generated as a whole.
const DESCRIPTION: &str = "openapi.json";

/// A page with its generated parts by name.
struct Page {
    file: &'static str,
    parts: Vec<(&'static str, String)>,
}

/// Returns all pages. `command` is the definition of the command line.
fn pages(command: &Command) -> Vec<Page> {
    let page = |file, parts| Page { file, parts };
    vec![
        page(
            "rules.md",
            vec![("retries", actions::defaults()), ("keys", keys::page())],
        ),
        page("test-file.md", vec![("keys", keys::test_page())]),
        page("warnings.md", vec![("codes", warnings::codes())]),
        page("limits.md", limits::parts()),
        page("conditions.md", conditions::parts()),
        page("templates.md", templates::parts()),
        page("logs.md", logs::parts()),
        page("metrics.md", vec![("series", metrics::series())]),
        page("environment.md", environment::parts()),
        page("event-record.md", vec![("fields", record::fields())]),
        page("answers.md", vec![("answers", answers::answers())]),
        page("api.md", api::parts()),
        page("exit-codes.md", exit_codes::parts()),
        page("cli.md", vec![("commands", command_line::commands(command))]),
        page("../guides/migrate-from-adnanh-webhook.md", hooks_file::parts()),
    ]
}

/// Writes the generated parts of all pages in `folder`. Returns the files that have changed.
pub fn write(folder: &Path, command: &Command) -> io::Result<Vec<PathBuf>> {
    let changed = differing(folder, command)?;
    for (path, text) in &changed {
        fs::write(path, text)?;
    }
    Ok(changed.into_iter().map(|(path, _)| path).collect())
}

/// Returns the pages in `folder` whose generated parts are out of date.
pub fn check(folder: &Path, command: &Command) -> io::Result<Vec<PathBuf>> {
    Ok(differing(folder, command)?
        .into_iter()
        .map(|(path, _)| path)
        .collect())
}

/// Returns the pages that differ from the code, each with its new text.
fn differing(folder: &Path, command: &Command) -> io::Result<Vec<(PathBuf, String)>> {
    let mut changed = Vec::new();
    for page in pages(command) {
        let path = folder.join(page.file);
        let named =
            |error: &dyn std::fmt::Display| io::Error::other(format!("`{}`: {error}", path.display()));
        let old = fs::read_to_string(&path).map_err(|error| named(&error))?;
        let new = fill(&old, &page.parts).map_err(|error| named(&error))?;
        if old != new {
            changed.push((path, new));
        }
    }
    let path = folder.join(DESCRIPTION);
    let new = api::description();
    if fs::read_to_string(&path).ok().as_ref() != Some(&new) {
        changed.push((path, new));
    }
    Ok(changed)
}

/// Replaces the generated parts of a page. Every part must stand in the page once.
fn fill(page: &str, parts: &[(&str, String)]) -> Result<String, String> {
    let mut filled = String::with_capacity(page.len());
    let mut rest = page;
    let mut open = parts.to_vec();
    while let Some((before, after)) = rest.split_once(BEGIN) {
        let (name, after) = after
            .split_once(" -->")
            .ok_or("a marker has no end: write `<!-- generated: NAME -->`")?;
        let (_, after) = after
            .split_once(END)
            .ok_or_else(|| format!("the part `{name}` has no `{END}`"))?;
        let at = open
            .iter()
            .position(|(known, _)| *known == name)
            .ok_or_else(|| format!("there is no part `{name}`, or it stands there twice"))?;
        let (_, text) = open.swap_remove(at);
        filled += &format!("{before}{BEGIN}{name} -->\n\n{}\n\n{END}", text.trim());
        rest = after;
    }
    filled.push_str(rest);
    match open.first() {
        Some((name, _)) => Err(format!(
            "the part `{name}` is missing: add `{BEGIN}{name} -->` and `{END}`"
        )),
        None => Ok(filled),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_parts_are_replaced_and_prose_stays() {
        let page = "# A\n\nProse.\n\n<!-- generated: a -->\nold\n<!-- end -->\n\nMore.\n";
        let filled = fill(page, &[("a", "new\n".to_owned())]).unwrap();
        assert_eq!(
            filled,
            "# A\n\nProse.\n\n<!-- generated: a -->\n\nnew\n\n<!-- end -->\n\nMore.\n"
        );
        assert_eq!(fill(&filled, &[("a", "new".to_owned())]).unwrap(), filled);
        for (page, parts, words) in [
            ("no marker", vec![("a", String::new())], "is missing"),
            (page, vec![], "there is no part `a`"),
            (
                "<!-- generated: a -->",
                vec![("a", String::new())],
                "has no `<!-- end -->`",
            ),
        ] {
            let error = fill(page, &parts).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }
}
