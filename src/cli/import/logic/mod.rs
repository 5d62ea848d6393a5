//! Trigger rules as conditions, with the meaning that adnanh/webhook gives to a missing value.
//!
//! There, a missing value is an error. `and` fails by it, `or` goes on to the next rule, and `not`
//! turns the answer round and keeps the error. So `not` over a missing value holds at the top and
//! inside `or`, and fails inside `and`. In hookyard a condition on a missing value is unknown, and so
//! is its `not`. [`Formula::fires`] writes `exists: false` where a missing value counted.

use super::yaml::{Map, Yaml};

/// A test of one value.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Test {
    pub(super) selector: String,
    /// Operators below the selector.
    pub(super) operators: Yaml,
    /// False if the value is always there.
    pub(super) may_be_missing: bool,
}

/// A trigger rule.
#[derive(Clone, Debug)]
pub(super) enum Formula {
    Constant(bool),
    Test(Test),
    /// A condition outside of `match`, by its number.
    Outside(usize),
    All(Vec<Self>),
    Any(Vec<Self>),
    Not(Box<Self>),
}

/// A condition of `match`.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Condition {
    Always,
    Never,
    Holds(Test),
    Fails(Test),
    /// The value is missing.
    Missing(String),
    All(Vec<Self>),
    Any(Vec<Self>),
}

/// A question about a formula.
#[derive(Clone, Copy)]
enum Asked {
    /// It holds without an error.
    Holds,
    /// It holds, perhaps with an error.
    HoldsAtLeast,
    /// It fails without an error.
    Fails,
    /// It does not hold without an error.
    NotHolds,
    /// It does not hold, neither with an error.
    NotHoldsAtLeast,
    /// It ends with an error.
    Missing,
}

impl Formula {
    /// The condition under which the hook fires.
    pub(super) fn fires(&self) -> Condition {
        self.condition(Asked::HoldsAtLeast)
    }

    /// The formula with the outer conditions replaced.
    pub(super) fn with(&self, replacement: &impl Fn(usize) -> Self) -> Self {
        let each = |parts: &[Self]| parts.iter().map(|part| part.with(replacement)).collect();
        match self {
            Self::Outside(number) => replacement(*number),
            Self::All(parts) => Self::All(each(parts)),
            Self::Any(parts) => Self::Any(each(parts)),
            Self::Not(part) => Self::Not(Box::new(part.with(replacement))),
            Self::Constant(_) | Self::Test(_) => self.clone(),
        }
    }

    fn condition(&self, asked: Asked) -> Condition {
        use Asked::{Fails, Holds, HoldsAtLeast, Missing, NotHolds, NotHoldsAtLeast};
        match (self, asked) {
            // What was not replaced asks nothing of `match`.
            (Self::Outside(_), _) => Self::Constant(true).condition(asked),
            (Self::Constant(_) | Self::Any(_), Missing) => Condition::Never,
            (Self::Constant(value), Holds | HoldsAtLeast) => Condition::constant(*value),
            (Self::Constant(value), Fails | NotHolds | NotHoldsAtLeast) => Condition::constant(!value),
            (Self::Test(test), Holds | HoldsAtLeast) => Condition::Holds(test.clone()),
            (Self::Test(test), Fails) => test.fails(),
            (Self::Test(test), NotHolds | NotHoldsAtLeast) => {
                Condition::any(vec![test.fails(), test.missing()])
            }
            (Self::Test(test), Missing) => test.missing(),
            (Self::All(parts), Holds | HoldsAtLeast) => {
                Condition::all(parts.iter().map(|part| part.condition(Holds)).collect())
            }
            (Self::All(parts), NotHolds | NotHoldsAtLeast) => {
                Condition::any(parts.iter().map(|part| part.condition(NotHolds)).collect())
            }
            // The first that does not hold decides.
            (Self::All(parts), Fails | Missing) => {
                let first = |at: usize| {
                    let before = parts.iter().take(at).map(|part| part.condition(Holds));
                    let decides = parts.get(at).map(|part| part.condition(asked));
                    Condition::all(before.chain(decides).collect())
                };
                Condition::any((0..parts.len()).map(first).collect())
            }
            (Self::Any(parts), Holds | HoldsAtLeast) => {
                Condition::any(parts.iter().map(|part| part.condition(HoldsAtLeast)).collect())
            }
            (Self::Any(parts), Fails | NotHolds | NotHoldsAtLeast) => {
                Condition::all(parts.iter().map(|part| part.condition(NotHoldsAtLeast)).collect())
            }
            (Self::Not(part), Holds) => part.condition(Fails),
            (Self::Not(part), HoldsAtLeast) => part.condition(NotHoldsAtLeast),
            (Self::Not(part), Fails) => part.condition(Holds),
            (Self::Not(part), NotHoldsAtLeast) => part.condition(HoldsAtLeast),
            (Self::Not(part), NotHolds) => {
                Condition::any(vec![part.condition(Holds), part.condition(Missing)])
            }
            (Self::Not(part), Missing) => part.condition(Missing),
        }
    }
}

impl Test {
    /// The condition that the value is there, and the test does not hold for it.
    fn fails(&self) -> Condition {
        let exists = Yaml::Map(Map::new().with("exists", Yaml::word("true")));
        if self.operators == exists {
            Condition::Never
        } else {
            Condition::Fails(self.clone())
        }
    }

    fn missing(&self) -> Condition {
        if self.may_be_missing {
            Condition::Missing(self.selector.clone())
        } else {
            Condition::Never
        }
    }
}

impl Condition {
    fn constant(value: bool) -> Self {
        if value { Self::Always } else { Self::Never }
    }

    fn all(parts: Vec<Self>) -> Self {
        let mut flat = Vec::new();
        for part in parts {
            match part {
                Self::Never => return Self::Never,
                Self::Always => {}
                Self::All(inner) => flat.extend(inner),
                part => flat.push(part),
            }
        }
        dedup(&mut flat);
        match flat.len() {
            0 => Self::Always,
            1 => flat.remove(0),
            _ => Self::All(flat),
        }
    }

    fn any(parts: Vec<Self>) -> Self {
        let mut flat: Vec<Self> = Vec::new();
        for part in parts {
            match part {
                Self::Always => return Self::Always,
                Self::Never => {}
                Self::Any(inner) => flat.extend(inner),
                part => flat.push(part),
            }
        }
        dedup(&mut flat);
        let mut merged: Vec<Self> = Vec::new();
        for part in flat {
            match (merged.last_mut(), part) {
                (Some(Self::Holds(last)), Self::Holds(next)) if last.takes(&next) => last.add(next),
                (_, part) => merged.push(part),
            }
        }
        match merged.len() {
            0 => Self::Never,
            1 => merged.remove(0),
            _ => Self::Any(merged),
        }
    }

    /// The condition as entries of a mapping. `None` if nothing is asked.
    pub(super) fn entries(&self) -> Option<Map> {
        let mut map = Map::new();
        match self {
            Self::Always | Self::Never => return None,
            Self::Holds(test) => map.add(&test.selector, test.operators.clone()),
            Self::Fails(test) => {
                let inner = Map::new().with(&test.selector, test.operators.clone());
                map.add("not", inner.into());
            }
            Self::Missing(selector) => {
                map.add(selector, Map::new().with("exists", Yaml::word("false")).into());
            }
            Self::Any(parts) => map.add("any", list(parts)),
            Self::All(parts) => {
                let mut rest = Vec::new();
                for part in parts {
                    for entry in part.entries().unwrap_or_default().entries {
                        if map.has(&entry.key) {
                            rest.push(Map::new().with(entry.key, entry.value).into());
                        } else {
                            map.entries.push(entry);
                        }
                    }
                }
                if !rest.is_empty() {
                    map.add("all", Yaml::List(rest));
                }
            }
        }
        Some(map)
    }
}

impl Test {
    /// True if the other test is an alternative for the same value: both compare for equality.
    fn takes(&self, other: &Self) -> bool {
        let is_value = |operators: &Yaml| !matches!(operators, Yaml::Map(_));
        self.selector == other.selector && is_value(&self.operators) && is_value(&other.operators)
    }

    fn add(&mut self, other: Self) {
        let mut items = match std::mem::replace(&mut self.operators, Yaml::List(Vec::new())) {
            Yaml::List(items) => items,
            item => vec![item],
        };
        match other.operators {
            Yaml::List(more) => items.extend(more),
            item => items.push(item),
        }
        self.operators = Yaml::List(items);
    }
}

fn list(parts: &[Condition]) -> Yaml {
    let items = parts.iter().filter_map(Condition::entries).map(Yaml::from);
    Yaml::List(items.collect())
}

fn dedup(parts: &mut Vec<Condition>) {
    let mut at = 0;
    while let Some(part) = parts.get(at) {
        if parts.iter().take(at).any(|earlier| earlier == part) {
            parts.remove(at);
        } else {
            at += 1;
        }
    }
}

#[cfg(test)]
mod tests;
