//! `JSONPath` (RFC 9535): one parser and one bounded walk, for `match`, templates and verification.
//!
//! `jsonpath-rust` parses the text. [`JsonPath::parse`] translates its tree once, at load, and
//! rejects a path that a payload could make cost seconds. The walk over the payload is our own, for
//! three reasons:
//!
//! - Results carry no path strings. Those copy every key on the way for every node below it: a body
//!   of 1 MB with one long key takes 100 GB.
//! - Regular expressions are compiled once, not once per node.
//! - Numbers compare exactly, integers beyond 64 bits too.
//!
//! A selection costs at most a small multiple of the payload's size. The walk is generic over
//! [`JsonNode`]: plain references for `match`, values with their paths for templates.

mod large;
mod number;
mod operands;
mod pattern;
mod planned;
mod singular;
mod translate;
mod walk;

use regex::Regex;
use serde_json::Value;

pub use large::{Exactly, LargeIntegers};
pub use number::{NumericValue, same};
pub use singular::SingularPath;

/// A node of a payload during a walk.
pub trait JsonNode<'v>: Sized {
    fn value(&self) -> &'v Value;
    /// The member `value` of this object, under `key`.
    #[must_use]
    fn member(&self, key: &'v str, value: &'v Value) -> Self;
    /// The item `value` of this list, at `index`.
    #[must_use]
    fn item(&self, index: usize, value: &'v Value) -> Self;
}

impl<'v> JsonNode<'v> for &'v Value {
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

/// A compiled path.
#[derive(Debug)]
pub struct JsonPath {
    steps: Vec<PathSegment>,
}

/// A compiled pattern of `match()` or `search()`.
#[derive(Debug)]
struct FilterPattern {
    regex: Regex,
    /// The work of compiling it.
    work: u64,
}

#[derive(Debug)]
struct PathSegment {
    /// True for `..`: the segment visits the node and everything below it.
    descends: bool,
    picks: Vec<Pick>,
}

/// A selector of a segment.
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

/// The condition of a filter selector. Two-valued, as in the RFC.
#[derive(Debug)]
enum Filter {
    Any(Vec<Filter>),
    All(Vec<Filter>),
    Not(Box<Filter>),
    /// True if the query selects at least one node.
    Exists(Query),
    /// The functions `search()` and `match()`.
    Pattern(Operand, FilterPattern),
    Compare(Operand, Comparison, Operand),
}

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
    /// The query begins with `$`, not with `@`.
    from_root: bool,
    path: JsonPath,
}

/// A side of a comparison, or an argument.
#[derive(Debug)]
enum Operand {
    Literal(Value),
    /// The value that the query selects, or nothing: singular queries and `value()`.
    Single(Query),
    Length(Box<Operand>),
    Count(Query),
}

/// The reason for rejecting a path.
#[derive(Debug)]
pub struct Refused {
    /// The code of the diagnostic.
    pub code: &'static str,
    pub message: String,
    pub hint: Option<String>,
}

impl JsonPath {
    /// Compiles a path, which begins with `$`.
    pub fn parse(text: &str) -> Result<Self, Refused> {
        translate::parse(text)
    }

    /// True if the path selects at most one value in any payload.
    pub fn is_singular(&self) -> bool {
        let names_one = |pick: &Pick| matches!(pick, Pick::Name(_) | Pick::Index(_));
        self.steps
            .iter()
            .all(|step| !step.descends && step.picks.len() == 1 && step.picks.iter().all(names_one))
    }

    /// The work of compiling the patterns in the filters of this path.
    pub fn pattern_work(&self) -> u64 {
        let picks = self.steps.iter().flat_map(|step| &step.picks);
        picks
            .map(|pick| match pick {
                Pick::Filter(filter) => filter.pattern_work(),
                _ => 0,
            })
            .fold(0, u64::saturating_add)
    }

    /// True for `$` alone.
    pub fn is_root(&self) -> bool {
        self.steps.is_empty()
    }
}

impl Filter {
    fn pattern_work(&self) -> u64 {
        match self {
            Self::Any(filters) | Self::All(filters) => filters
                .iter()
                .map(Self::pattern_work)
                .fold(0, u64::saturating_add),
            Self::Not(filter) => filter.pattern_work(),
            Self::Exists(query) => query.path.pattern_work(),
            Self::Pattern(operand, pattern) => operand.pattern_work().saturating_add(pattern.work),
            Self::Compare(left, _, right) => left.pattern_work().saturating_add(right.pattern_work()),
        }
    }
}

impl Operand {
    fn pattern_work(&self) -> u64 {
        match self {
            Self::Literal(_) => 0,
            Self::Single(query) | Self::Count(query) => query.path.pattern_work(),
            Self::Length(operand) => operand.pattern_work(),
        }
    }
}
