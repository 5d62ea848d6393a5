//! `JSONPath` (RFC 9535): what does this path select from that payload?
//!
//! `jsonpath-rust` parses the text; its tree is walked once, at load, into a [`JsonPath`] of our own, and whatever
//! could be made to cost seconds by a payload is refused there. The walk over the payload is ours as well, for
//! three reasons: results here need no path strings (they copy every key on the way for every node below it, and a
//! body of 1 MB with one long key would take 100 GB), regular expressions are compiled once rather than for
//! every node, and numbers compare exactly. What is selected costs at most a small multiple of the payload's size.

mod operands;
mod pattern;
mod translate;
mod walk;

use regex::Regex;
use serde_json::Value;

/// A path, ready to be walked.
#[derive(Debug)]
pub(super) struct JsonPath {
    steps: Vec<Step>,
}

/// One segment.
#[derive(Debug)]
struct Step {
    /// Whether it looks at the node and at everything below it, rather than at the node alone.
    descends: bool,
    picks: Vec<Pick>,
}

/// One selector of a segment.
#[derive(Debug)]
enum Pick {
    Name(String),
    Index(i64),
    Wildcard,
    Slice {
        start: Option<i64>,
        end: Option<i64>,
        step: i64,
    },
    Filter(Filter),
}

/// The condition of a filter selector: two-valued, as the RFC has it.
#[derive(Debug)]
enum Filter {
    Any(Vec<Filter>),
    All(Vec<Filter>),
    Not(Box<Filter>),
    /// The query selects something.
    Exists(Query),
    /// The text contains, or is, what the pattern describes: `search()` and `match()`.
    Pattern(Operand, Regex),
    Compare(Operand, Comparison, Operand),
}

/// How two operands are compared.
#[derive(Clone, Copy, Debug)]
enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// A query inside a filter.
#[derive(Debug)]
struct Query {
    /// From `$` rather than from `@`.
    from_root: bool,
    path: JsonPath,
}

/// One side of a comparison, or an argument.
#[derive(Debug)]
enum Operand {
    Literal(Value),
    /// The one value that the query selects, or nothing: singular queries and `value()`.
    Single(Query),
    Length(Box<Operand>),
    Count(Query),
}

/// Why a path is refused.
#[derive(Debug)]
pub(super) struct Refused {
    /// The finding's code.
    pub(super) code: &'static str,
    /// What is wrong with it.
    pub(super) message: String,
    /// What would help.
    pub(super) hint: Option<String>,
}

impl JsonPath {
    /// Reads a path, which begins with `$`.
    pub(super) fn parse(text: &str) -> Result<Self, Refused> {
        translate::parse(text)
    }

    /// Whether it selects at most one value, whatever the payload.
    pub(super) fn is_singular(&self) -> bool {
        let names_one = |pick: &Pick| matches!(pick, Pick::Name(_) | Pick::Index(_));
        self.steps
            .iter()
            .all(|step| !step.descends && step.picks.len() == 1 && step.picks.iter().all(names_one))
    }

    /// Whether it is `$` alone.
    pub(super) fn is_root(&self) -> bool {
        self.steps.is_empty()
    }
}
