//! JSON values of which only planned parts are in memory. The whole value is read when something
//! asks for it.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use serde_json::Value;

use super::{Json, JsonError};
use crate::base::json_plan::Plan;
use crate::base::jsonpath::{JsonPath, LargeIntegers};

/// A value with the digits of its large integers.
#[derive(Clone, Debug)]
pub struct JsonTree {
    pub value: Arc<Value>,
    /// The digits of integers that do not fit 64 bits.
    pub integers: LargeIntegers,
}

impl From<Value> for JsonTree {
    fn from(value: Value) -> Self {
        Arc::new(value).into()
    }
}

impl From<Arc<Value>> for JsonTree {
    fn from(value: Arc<Value>) -> Self {
        Self {
            value,
            integers: LargeIntegers::default(),
        }
    }
}

/// A JSON value, whole or in part. A copy shares it.
#[derive(Clone, Debug)]
pub struct JsonDocument {
    /// The whole value, or the planned parts of it.
    parts: JsonTree,
    /// `None` if `parts` is the whole value.
    rest: Option<Arc<UnreadJson>>,
}

/// The text of a value that was read in part.
#[derive(Debug)]
struct UnreadJson {
    body: Bytes,
    plan: Arc<Plan>,
    whole: OnceLock<JsonTree>,
}

impl UnreadJson {
    /// Reads the whole value, once.
    fn whole(&self) -> &JsonTree {
        // The text was valid when its parts were read.
        self.whole.get_or_init(|| {
            super::read(&self.body).map_or_else(|_valid| Value::Null.into(), |json| json.tree)
        })
    }
}

impl From<JsonTree> for JsonDocument {
    fn from(whole: JsonTree) -> Self {
        Self {
            parts: whole,
            rest: None,
        }
    }
}

impl JsonDocument {
    /// Reads the planned values of a body. The whole body is validated. Returns true with it if a
    /// part of the text was replaced, as in [`Json::is_repaired`].
    pub fn read(body: &Bytes, plan: &Arc<Plan>) -> Result<(Self, bool), JsonError> {
        let Json { tree, is_repaired } = super::read_planned(body, plan)?;
        let rest = (!plan.is_whole()).then(|| {
            Arc::new(UnreadJson {
                body: body.clone(),
                plan: Arc::clone(plan),
                whole: OnceLock::new(),
            })
        });
        Ok((Self { parts: tree, rest }, is_repaired))
    }

    /// The whole value.
    pub fn whole(&self) -> &JsonTree {
        self.rest.as_ref().map_or(&self.parts, |rest| rest.whole())
    }

    /// The values that are in memory anyway: those of [`Self::plan`], or the whole value.
    pub fn parts(&self) -> &JsonTree {
        &self.parts
    }

    /// The plan by which [`Self::parts`] were read. `None` if they are the whole value.
    pub fn plan(&self) -> Option<&Plan> {
        self.rest.as_ref().map(|rest| &*rest.plan)
    }

    /// True if the whole value is in memory.
    #[cfg(test)]
    pub fn has_read_whole(&self) -> bool {
        self.rest.as_ref().is_none_or(|rest| rest.whole.get().is_some())
    }

    /// True if [`Self::parts`] were read by this very plan.
    pub fn is_read_by(&self, plan: &Arc<Plan>) -> bool {
        self.rest
            .as_ref()
            .is_some_and(|rest| Arc::ptr_eq(&rest.plan, plan))
    }

    /// A tree in which `path` selects the same values as in the whole value.
    pub fn tree_for(&self, path: &JsonPath) -> &JsonTree {
        match &self.rest {
            Some(rest) if !path.is_covered(&rest.plan) => rest.whole(),
            _ => &self.parts,
        }
    }

    /// The same document with the whole value in memory.
    #[must_use]
    pub fn to_whole(&self) -> Self {
        self.whole().clone().into()
    }
}
