//! `hookyard docs`: writes the generated parts of the reference, for those who work on hookyard.

use std::path::PathBuf;

use clap::CommandFactory;

use super::{NO, YES, complain, fail, say};
use crate::reference;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Write the pages.
    #[arg(long, required_unless_present = "check", conflicts_with = "check")]
    write: bool,
    /// Only say which pages are out of date.
    #[arg(long)]
    check: bool,
    /// The folder of the pages.
    #[arg(default_value = "docs/reference")]
    folder: PathBuf,
}

pub fn run(arguments: &Arguments) -> u8 {
    let command = super::Arguments::command();
    let done = if arguments.write {
        reference::write(&arguments.folder, &command)
    } else {
        reference::check(&arguments.folder, &command)
    };
    let pages = match done {
        Ok(pages) => pages,
        Err(error) => return fail(&format!("the reference cannot be made: {error}")),
    };
    let names: Vec<String> = pages.iter().map(|page| page.display().to_string()).collect();
    if arguments.write {
        if names.is_empty() {
            YES
        } else {
            say(&names.join("\n"), YES)
        }
    } else if names.is_empty() {
        YES
    } else {
        complain("out of date, run `hookyard docs --write`:");
        say(&names.join("\n"), NO)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_pages_of_the_manual_are_those_that_the_code_makes() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference");
        let stale = reference::check(&folder, &crate::cli::Arguments::command()).unwrap();
        assert!(
            stale.is_empty(),
            "out of date: {stale:?}; run `cargo run -- docs --write`"
        );
    }
}
