//! `hookyard docs`: writes the generated parts of the reference, for those who work on hookyard.

use std::path::PathBuf;

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
    let done = if arguments.write {
        reference::write(&arguments.folder)
    } else {
        reference::check(&arguments.folder)
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
