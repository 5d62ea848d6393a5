//! Which rules want it?
//!
//! A [`Condition`] is a compiled `match:`; a [`Matcher`] holds those of all rules of one endpoint and says which of
//! them want an [`Event`](crate::payload::Event), in the order of the file, and why the others do not
//! ([`Explanation`]). All of it is pure.
//!
//! **Three answers.** A condition is true, false or *unknown*: the selector finds nothing, or the value has a type
//! that the operator does not know. Not unknown is unknown; `all` and `any` are Kleene's; only true fires. So a rule
//! never fires because something is missing, unless it asks with `exists: false`. Types are strict: `"1"` beside `1` is
//! unknown, for `equals`, too; null is a value, which everything can be compared with. `every` and `none` over
//! nothing are unknown.
//!
//! **Cost.** Each selector is evaluated at most once an event, whatever the number of rules, and of the rules that
//! ask for an exact value only those are looked at whose value it is: see [`Matcher`].

mod answer;
mod condition;
mod contradiction;
mod exclusion;
mod explanation;
mod facts;
mod index;
mod operand;
mod operator;
#[cfg(test)]
mod rfc9535;
mod scalar;
mod selector;
mod term;
#[cfg(test)]
mod testing;

pub use condition::Condition;
pub use explanation::{Explanation, Miss};
pub use index::{Matcher, NEAREST_LOOKED_AT};
