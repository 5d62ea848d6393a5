//! `hookyard schema`: JSON Schema of the rules file or of the test file, for editors.

use super::{YES, say};
use crate::reference::Described;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The file that the schema describes.
    #[arg(value_enum, default_value_t)]
    file: File,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum File {
    /// The rules file.
    #[default]
    Rules,
    /// The test file.
    Test,
}

pub fn run(arguments: &Arguments) -> u8 {
    let described = match arguments.file {
        File::Rules => Described::Rules,
        File::Test => Described::Tests,
    };
    say(&format!("{:#}", described.schema()), YES)
}
