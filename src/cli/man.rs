//! `hookyard man`: a manual page for each command and one for the rules file.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::CommandFactory;

use super::{YES, fail};
use crate::reference::man;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The folder, which must exist.
    folder: PathBuf,
}

pub fn run(arguments: &Arguments) -> u8 {
    let folder = &arguments.folder;
    match write(folder) {
        Ok(()) => YES,
        Err(error) => fail(&format!("cannot write into `{}`: {error}", folder.display())),
    }
}

/// Writes the pages of clap, adds the sections that clap does not know, and writes the page of the
/// rules file.
fn write(folder: &Path) -> io::Result<()> {
    let mut root = super::Arguments::command();
    clap_mangen::generate_to(root.clone(), folder)?;
    root.build();
    let mut pages = vec![("hookyard".to_owned(), String::new())];
    for (file, path) in below(&root, "hookyard", "") {
        pages.push((file, path));
    }
    for (file, path) in pages {
        let mut page = OpenOptions::new()
            .append(true)
            .open(folder.join(format!("{file}.1")))?;
        page.write_all(man::sections(&root, &path).as_bytes())?;
    }
    let (file, text) = man::rules();
    std::fs::write(folder.join(file), text)
}

/// The commands below one, each with the name of its file and its path.
fn below(command: &clap::Command, file: &str, path: &str) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for command in command.get_subcommands() {
        if command.is_hide_set() || command.get_name() == "help" {
            continue;
        }
        let file = format!("{file}-{}", command.get_name());
        let path = format!("{path} {}", command.get_name()).trim().to_owned();
        let further = below(command, &file, &path);
        all.push((file, path));
        all.extend(further);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::exit_codes::COMMANDS;

    #[test]
    fn every_page_says_what_its_exit_codes_mean_and_where_to_read_on() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path()).unwrap();
        let read = |file: &str| std::fs::read_to_string(folder.path().join(file)).unwrap();
        let page = read("hookyard.1");
        for section in ["\"EXIT STATUS\"", "FILES", "ENVIRONMENT", "\"SEE ALSO\""] {
            assert_eq!(page.matches(&format!(".SH {section}\n")).count(), 1, "{section}");
        }
        let rules = read("hookyard-rules.5");
        assert!(rules.contains(".TH HOOKYARD-RULES 5") && rules.contains("max_inflight"));
        let mut root = crate::cli::Arguments::command();
        root.build();
        let all = below(&root, "hookyard", "");
        for (file, path) in &all {
            let page = read(&format!("{file}.1"));
            assert!(page.contains(".SH \"EXIT STATUS\"\n"), "{file}");
            let has_rows = COMMANDS
                .iter()
                .any(|(command, _)| command.split(" --").next() == Some(path));
            let is_group = all
                .iter()
                .any(|(_, other)| other.starts_with(&format!("{path} ")));
            // `events tail` runs until a signal ends it.
            let is_endless = path == "events tail";
            assert!(has_rows || is_group || is_endless, "{path} has no exit codes");
        }
        for (command, _) in COMMANDS {
            let path = command.split(" --").next().unwrap();
            assert!(all.iter().any(|(_, known)| known == path), "{command}");
        }
    }
}
