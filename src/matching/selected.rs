//! Values that a selector found in an event.

use std::borrow::Cow;

use serde_json::Value;

use crate::base::json::JsonTree;
use crate::base::jsonpath::LargeIntegers;

#[derive(Clone, Debug)]
pub(super) enum SelectedValue<'e> {
    Text(Cow<'e, str>),
    /// A value of the payload, and the payload's large integers.
    Json(&'e Value, &'e LargeIntegers),
    /// Bytes that are not UTF-8: the value exists, but every operator is unknown for it.
    Opaque,
}

/// A value of the payload for which a rule with `for_each` makes a delivery.
#[derive(Clone, Copy)]
pub(super) struct Element<'e> {
    pub(super) value: &'e Value,
    /// The tree that holds the value.
    pub(super) tree: &'e JsonTree,
}

/// All values that a selector found.
#[derive(Debug)]
pub(super) enum Selected<'e> {
    Nothing,
    One(SelectedValue<'e>),
    Many(Vec<SelectedValue<'e>>),
}

impl<'e> Selected<'e> {
    pub(super) fn values(&self) -> &[SelectedValue<'e>] {
        match self {
            Self::Nothing => &[],
            Self::One(found) => std::slice::from_ref(found),
            Self::Many(found) => found,
        }
    }
}

impl<'e> FromIterator<SelectedValue<'e>> for Selected<'e> {
    fn from_iter<I: IntoIterator<Item = SelectedValue<'e>>>(values: I) -> Self {
        let mut values = values.into_iter();
        let Some(first) = values.next() else {
            return Self::Nothing;
        };
        match values.next() {
            None => Self::One(first),
            Some(second) => Self::Many([first, second].into_iter().chain(values).collect()),
        }
    }
}

impl SelectedValue<'_> {
    /// The text, if the value is text.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Json(value, _) => value.as_str(),
            Self::Opaque => None,
        }
    }
}
