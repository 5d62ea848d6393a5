//! Step 2 of the pipeline: which rules match an event?
//!
//! A [`Condition`] is a compiled `match:`. A [`Matcher`] holds the conditions of all rules of an
//! endpoint. It returns the rules that match an [`Event`](crate::payload::Event), in the order of
//! the file, and explains the others ([`Explanation`]). All of it is pure.
//!
//! **Three answers.** A condition is true, false or *unknown*. It is unknown if the selector finds
//! nothing, or if the operator does not support the value's type. The negation of unknown is
//! unknown. `all` and `any` follow Kleene's logic. Only true matches, so a rule never matches
//! because something is missing, unless it says `exists: false`. Types are strict: `"1"` compared
//! with `1` is unknown, for `equals` too. Null is comparable with every value. `every` and `none`
//! over nothing are unknown. With `as`, text is read as a number or a time first.
//!
//! **Elements.** With `for_each`, a rule matches if one of the elements does ([`ForEach`]).
//!
//! **Cost.** Each selector is evaluated at most once per event, for any number of rules. A rule
//! that requires an exact value is evaluated only if the event has that value: see [`Matcher`].

mod answer;
mod condition;
mod contradiction;
mod coverage;
mod exclusion;
mod explanation;
mod facts;
mod for_each;
#[cfg(test)]
mod in_part;
mod index;
mod operand;
mod operator;
mod reading;
#[cfg(test)]
mod rfc9535;
mod scalar;
mod selected;
mod selector;
mod term;
#[cfg(test)]
pub(crate) mod testing;
mod threshold;

pub use condition::{Condition, READING_OPERATORS};
pub use coverage::TestAnswers;
pub use explanation::{Explanation, Miss};
pub use for_each::{ELEMENTS_EXPLAINED, Elements, ForEach};
pub use index::{Matcher, NEAREST_LOOKED_AT};
pub use operand::{LENGTH_OPERATORS, MODIFIERS, OPERATORS, Operand, is_operator, types};
pub use reading::Reading;
pub use selector::{GROUPS, NAMED, WORDS, suggests_credential};
