//! JSON values in templates: read without copying.
//!
//! A payload is never converted as a whole. A [`JsonObject`] refers to a value inside a shared one.
//! A lookup returns another reference, or the scalar. `output.rs` writes them.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use minijinja::value::{DynObject, Enumerator, Object, ObjectRepr};
use minijinja::{Error, Value};

use crate::base::jsonpath::{JsonPath, LargeIntegers, Node};
use crate::template::json_text::as_text;
use crate::template::work;

/// An object or a list in a shared JSON value.
pub struct JsonObject {
    root: Root,
    /// `None` for the root.
    place: Option<Arc<JsonPlace>>,
}

/// A shared value with the digits of its large integers.
#[derive(Clone)]
struct Root {
    value: Arc<serde_json::Value>,
    integers: LargeIntegers,
}

/// An integer beyond the range of minijinja's numbers.
#[derive(Debug)]
pub struct Digits(pub Box<str>);

impl Object for Digits {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }

    fn custom_cmp(self: &Arc<Self>, other: &DynObject) -> Option<Ordering> {
        let other = other.downcast_ref::<Self>()?;
        Some(self.0.cmp(&other.0))
    }
}

/// The path from the root to a value. Values below share the path of their parent, so that a long
/// key is stored once.
struct JsonPlace {
    above: Option<Arc<Self>>,
    step: JsonStep,
    /// Number of steps from the root.
    depth: usize,
}

impl JsonPlace {
    fn below(above: Option<Arc<Self>>, step: JsonStep) -> Arc<Self> {
        let depth = above.as_ref().map_or(0, |above| above.depth) + 1;
        Arc::new(Self { above, step, depth })
    }
}

enum JsonStep {
    Key(Box<str>),
    Index(usize),
}

/// A value and its path, during the walk of a `JSONPath`.
pub struct Located<'v> {
    value: &'v serde_json::Value,
    place: Option<Arc<JsonPlace>>,
}

impl Located<'_> {
    fn below<'v>(&self, step: JsonStep, value: &'v serde_json::Value) -> Located<'v> {
        let above = self.place.clone();
        Located {
            value,
            place: Some(JsonPlace::below(above, step)),
        }
    }
}

impl<'v> Node<'v> for Located<'v> {
    fn value(&self) -> &'v serde_json::Value {
        self.value
    }

    fn member(&self, key: &'v str, value: &'v serde_json::Value) -> Self {
        self.below(JsonStep::Key(Box::from(key)), value)
    }

    fn item(&self, index: usize, value: &'v serde_json::Value) -> Self {
        self.below(JsonStep::Index(index), value)
    }
}

impl JsonPlace {
    /// The value at this path. Recursive, but no deeper than JSON may nest.
    fn find<'v>(&self, root: &'v serde_json::Value) -> Option<&'v serde_json::Value> {
        let parent = match &self.above {
            Some(above) => above.find(root)?,
            None => root,
        };
        match &self.step {
            JsonStep::Key(key) => parent.get(&**key),
            JsonStep::Index(index) => parent.get(index),
        }
    }
}

/// The value for templates. Only a scalar is copied.
pub fn value(root: &Arc<serde_json::Value>) -> Value {
    exact_value(root, LargeIntegers::NONE)
}

/// The value for templates, with the large integers of its text.
pub fn exact_value(root: &Arc<serde_json::Value>, integers: &LargeIntegers) -> Value {
    let shared = Root {
        value: Arc::clone(root),
        integers: integers.clone(),
    };
    convert(
        &shared,
        Located {
            value: root,
            place: None,
        },
    )
}

/// A located value of `root`, for templates.
fn convert(root: &Root, located: Located<'_>) -> Value {
    match located.value {
        serde_json::Value::Null => Value::from(()),
        serde_json::Value::Bool(flag) => Value::from(*flag),
        serde_json::Value::String(text) => {
            work::charge_text(text.len());
            Value::from(text.as_str())
        }
        // Whole numbers stay integers: as a float 2^53 + 1 would become 2^53.
        serde_json::Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(whole), _) => Value::from(whole),
            (None, Some(whole)) => Value::from(whole),
            (None, None) => match root.integers.digits(located.value) {
                Some(digits) => large_integer(digits),
                None => Value::from(number.as_f64().unwrap_or(f64::NAN)),
            },
        },
        serde_json::Value::Array(_) | serde_json::Value::Object(_) => Value::from_object(JsonObject {
            root: root.clone(),
            place: located.place,
        }),
    }
}

/// The largest integer type of minijinja that fits, else [`Digits`].
fn large_integer(digits: &str) -> Value {
    let signed = digits.parse::<i128>().map(Value::from);
    let unsigned = signed.or_else(|_| digits.parse::<u128>().map(Value::from));
    unsigned.unwrap_or_else(|_| Value::from_object(Digits(digits.into())))
}

impl JsonObject {
    /// The JSON value that this refers to.
    fn here(&self) -> &serde_json::Value {
        // Finding a value takes one step for each level.
        work::charge(1 + self.place.as_ref().map_or(0, |place| place.depth) / 4);
        let found = match &self.place {
            Some(place) => place.find(&self.root.value),
            None => Some(&*self.root.value),
        };
        found.unwrap_or(&serde_json::Value::Null)
    }

    /// The JSON text of the value, with all digits.
    pub fn written(&self) -> Result<String, Error> {
        let written = as_text(&self.root.integers.exactly(self.here()))?;
        work::charge_text(written.len());
        Ok(written)
    }

    /// The values that `path` selects, starting at this value.
    pub fn select(&self, path: &JsonPath) -> Vec<Value> {
        let start = Located {
            value: self.here(),
            place: self.place.clone(),
        };
        let selected = if path.is_singular() {
            path.select_one(start).into_iter().collect()
        } else {
            path.select(start, &self.root.integers)
        };
        selected
            .into_iter()
            .map(|located| convert(&self.root, located))
            .collect()
    }

    /// True if both refer to the same position of the same value.
    pub fn is(&self, other: &Self) -> bool {
        let same_place = match (&self.place, &other.place) {
            (None, None) => true,
            (Some(left), Some(right)) => Arc::ptr_eq(left, right),
            _ => false,
        };
        same_place && Arc::ptr_eq(&self.root.value, &other.root.value)
    }

    fn below(&self, value: &serde_json::Value, step: JsonStep) -> Value {
        let above = self.place.clone();
        convert(
            &self.root,
            Located {
                value,
                place: Some(JsonPlace::below(above, step)),
            },
        )
    }
}

impl fmt::Debug for JsonObject {
    // Omits the payload, so that it is not printed by accident.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[payload]")
    }
}

impl Object for JsonObject {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        if self.here().is_array() {
            ObjectRepr::Seq
        } else {
            ObjectRepr::Map
        }
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        if let Some(key) = key.as_str() {
            return self.get_value_by_str(key);
        }
        let index = key.as_usize()?;
        let here = self.here().as_array()?.get(index)?;
        Some(self.below(here, JsonStep::Index(index)))
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        let here = self.here().as_object()?.get(key)?;
        Some(self.below(here, JsonStep::Key(Box::from(key))))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        match self.here() {
            serde_json::Value::Array(items) => Enumerator::Seq(items.len()),
            serde_json::Value::Object(fields) => {
                work::charge(fields.len());
                Enumerator::Values(fields.keys().map(|key| Value::from(key.as_str())).collect())
            }
            _ => Enumerator::Empty,
        }
    }

    fn enumerator_len(self: &Arc<Self>) -> Option<usize> {
        match self.here() {
            serde_json::Value::Array(items) => Some(items.len()),
            serde_json::Value::Object(fields) => Some(fields.len()),
            _ => Some(0),
        }
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written().map_err(|_unwritable| fmt::Error)?)
    }
}
