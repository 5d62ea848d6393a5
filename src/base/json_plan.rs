//! Plan of the values that a reader keeps of a JSON text.
//!
//! A plan is a trie: paths with a common beginning share it, so that reading costs what the text
//! costs, whatever the number of paths. `json/reader.rs` reads by it.

use std::collections::BTreeMap;

/// Values to keep.
///
/// A plan without anything below it keeps a scalar. Of a list or an object it keeps only the type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    names: BTreeMap<Box<str>, Self>,
    indices: BTreeMap<usize, Self>,
    /// Plan for all elements of a list and all members of an object. Never together with `names` or
    /// `indices`, so that each value has one plan.
    every: Option<Box<Self>>,
    /// True if the whole value is kept. Then there is nothing below.
    whole: bool,
}

impl Plan {
    /// The plan that keeps everything.
    pub fn everything() -> Self {
        Self {
            whole: true,
            ..Self::default()
        }
    }

    /// Adds the member with this name, and returns its plan.
    pub fn name(&mut self, name: &str) -> &mut Self {
        if self.whole || self.every.is_some() {
            return self.all();
        }
        self.names.entry(name.into()).or_default()
    }

    /// Adds the element at this index, and returns its plan.
    ///
    /// A negative index counts from the end, so it requires the whole list.
    pub fn index(&mut self, index: i64) -> &mut Self {
        match usize::try_from(index) {
            Ok(index) if !self.whole && self.every.is_none() => self.indices.entry(index).or_default(),
            _ => self.all(),
        }
    }

    /// Adds all elements of a list and all members of an object, and returns their plan.
    ///
    /// If single ones are planned too, the whole value is kept.
    pub fn every(&mut self) -> &mut Self {
        if self.whole || !self.names.is_empty() || !self.indices.is_empty() {
            return self.all();
        }
        self.every.get_or_insert_default()
    }

    /// Keeps the whole value.
    pub fn all(&mut self) -> &mut Self {
        *self = Self::everything();
        self
    }

    /// True if the whole value is kept.
    pub fn is_whole(&self) -> bool {
        self.whole
    }

    /// The plan of the member with this name, if it is kept.
    pub fn of_name(&self, name: &str) -> Option<&Self> {
        if self.whole {
            return Some(self);
        }
        self.names.get(name).or(self.every.as_deref())
    }

    /// The plan of the element at this index, if it is kept.
    pub fn of_index(&self, index: usize) -> Option<&Self> {
        if self.whole {
            return Some(self);
        }
        self.indices.get(&index).or(self.every.as_deref())
    }

    /// The plan of all elements and members, if they are kept.
    pub fn of_every(&self) -> Option<&Self> {
        if self.whole {
            return Some(self);
        }
        self.every.as_deref()
    }

    /// Number of elements to keep of a list. An element that is not planned is null if a later one
    /// is kept.
    pub fn length(&self) -> usize {
        if self.whole || self.every.is_some() {
            return usize::MAX;
        }
        let last = self.indices.last_key_value();
        last.map_or(0, |(index, _)| index.saturating_add(1))
    }
}
