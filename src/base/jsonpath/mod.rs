//! `JSONPath` (RFC 9535): one parser and one bounded walk, for `match`, templates and verification.
//!
//! `jsonpath-rust` parses the text. [`JsonPath::parse`] translates its tree once, at load, and refuses a path that a
//! payload could make cost seconds. The walk over the payload is not the crate's, for three reasons. Results carry no
//! path strings: those copy every key on the way for every node below it, so that a body of 1 MB with one long key
//! takes 100 GB. Regular expressions are compiled once, not once per node. Numbers compare exactly, integers beyond 64 bits too. A selection costs
//! at most a small multiple of the payload's size.
//!
//! The walk yields whatever [`Node`] it is given: plain references for `match`, values with their place for templates.

mod large;
mod number;
mod operands;
mod pattern;
mod singular;
mod translate;
mod walk;

use regex::Regex;
use serde_json::Value;

pub use large::{Exactly, LargeIntegers};
pub use number::{NumericValue, same};
pub use pattern::reason;
pub use singular::SingularPath;

/// A node of a payload during a walk.
pub trait Node<'v>: Sized {
    /// The value of the node.
    fn value(&self) -> &'v Value;
    /// The member `value` of this object, whose name is `key`.
    #[must_use]
    fn member(&self, key: &'v str, value: &'v Value) -> Self;
    /// The item `value` of this list, which stands at `index`.
    #[must_use]
    fn item(&self, index: usize, value: &'v Value) -> Self;
}

impl<'v> Node<'v> for &'v Value {
    fn value(&self) -> &'v Value {
        self
    }

    fn member(&self, _key: &'v str, value: &'v Value) -> Self {
        value
    }

    fn item(&self, _index: usize, value: &'v Value) -> Self {
        value
    }
}

/// A path, ready to be walked.
#[derive(Debug)]
pub struct JsonPath {
    steps: Vec<PathSegment>,
}

/// One segment.
#[derive(Debug)]
struct PathSegment {
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
pub struct Refused {
    /// The code of the diagnostic.
    pub code: &'static str,
    /// The fault.
    pub message: String,
    /// The remedy.
    pub hint: Option<String>,
}

impl JsonPath {
    /// Reads a path, which begins with `$`.
    pub fn parse(text: &str) -> Result<Self, Refused> {
        translate::parse(text)
    }

    /// Whether it selects at most one value, whatever the payload.
    pub fn is_singular(&self) -> bool {
        let names_one = |pick: &Pick| matches!(pick, Pick::Name(_) | Pick::Index(_));
        self.steps
            .iter()
            .all(|step| !step.descends && step.picks.len() == 1 && step.picks.iter().all(names_one))
    }

    /// Whether it is `$` alone.
    pub fn is_root(&self) -> bool {
        self.steps.is_empty()
    }
}
