//! Table of programs that run text as code, and of those that start other programs.
//!
//! A program that is not listed is assumed to read its arguments as data. Listed interpreters are
//! also found behind programs that are not listed (`docker exec web sh -c …`).

mod containers;
mod interpreters;
mod shells;
mod starters;
mod tools;

/// Program, and the position of its code.
#[derive(Debug)]
pub(super) struct Row {
    /// Names without a version: `python` also stands for `python3.11`.
    pub(super) names: &'static [&'static str],
    /// Options whose value is code. A letter may stand among other short options.
    pub(super) code: &'static [&'static str],
    /// Options whose value names a file with code, or standard input.
    pub(super) files: &'static [&'static str],
    /// Options whose value names code beside the script.
    pub(super) libraries: &'static [&'static str],
    /// Options behind whose value all words are operands.
    pub(super) ends: &'static [&'static str],
    /// Options with a value of another kind, which may be the next word.
    pub(super) values: &'static [&'static str],
    /// Options with two values.
    pub(super) pairs: &'static [&'static str],
    /// Short options whose value can only be the rest of their word.
    pub(super) attached: &'static str,
    /// True if short options may share a word: `-lc`.
    pub(super) clusters: bool,
    /// Condition for running standard input as code, if the operands are of another kind.
    pub(super) input: Option<Input>,
    /// Commands of the program, which its first operand names. They have names and options of their
    /// own.
    pub(super) commands: &'static [Row],
    /// True if the program that is started runs in a container. It gets standard input only if an
    /// option says so.
    pub(super) inside: bool,
    pub(super) operands: Operands,
}

/// Condition under which a program runs its standard input as code.
#[derive(Debug)]
pub(super) struct Input {
    /// Maximum number of operands.
    pub(super) operands: usize,
    /// Options of which none may be present.
    pub(super) unless: &'static [&'static str],
    /// Options of which one must be present, unless the list is empty.
    pub(super) only: &'static [&'static str],
}

/// Condition that is always met.
const ALWAYS: Input = Input {
    operands: usize::MAX,
    unless: &[],
    only: &[],
};

/// Kind of a program's operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operands {
    /// File with code as the first operand, or code itself behind an option of `code`, which has no
    /// value of its own. Without operands, the code is read from standard input.
    Shell,
    /// File with code as the first operand, unless an option holds the code. Without operands, the
    /// code is read from standard input.
    File,
    /// Code as the first operand, unless an option holds the code.
    Code,
    /// Code after this many other operands, all words joined.
    Joined(usize),
    /// Command for another machine after this many other operands, all words joined.
    Remote(usize),
    /// Command behind each of these words.
    Behind(&'static [&'static str]),
    /// Data, which options may follow. A word that begins with `+` is code.
    Plus,
    /// Command after this many other operands, and assignments of variables.
    Command(usize),
    /// Data, which options may follow.
    Data,
}

/// Row without options.
const PLAIN: Row = Row {
    names: &[],
    code: &[],
    files: &[],
    libraries: &[],
    ends: &[],
    values: &[],
    pairs: &[],
    attached: "",
    clusters: true,
    input: None,
    commands: &[],
    inside: false,
    operands: Operands::Data,
};

/// Returns all known programs.
pub(super) fn rows() -> impl Iterator<Item = &'static Row> {
    [
        interpreters::INTERPRETERS,
        starters::STARTERS,
        containers::CONTAINERS,
        shells::SHELLS,
        tools::TOOLS,
    ]
    .into_iter()
    .flatten()
}
