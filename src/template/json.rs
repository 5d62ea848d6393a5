//! JSON values in templates: read without copying.
//!
//! A payload is never converted as a whole. A [`JsonObject`] refers to a value inside a shared one.
//! A lookup returns another reference, or the scalar. `output.rs` writes them.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use minijinja::value::{DynObject, Enumerator, Object, ObjectRepr};
use minijinja::{Error, Value};

use crate::base::json::{JsonDocument, JsonTree};
use crate::base::json_plan::Plan;
use crate::base::jsonpath::{JsonNode, JsonPath};
use crate::template::json_text::as_text;
use crate::template::work;

/// An object or a list in a shared JSON value.
///
/// Of a payload, only planned parts may be in memory. What a plan does not tell is looked up in the
/// whole value, so that a template renders the same text with any plan.
pub struct JsonObject {
    /// The value that holds the place. A lookup outside of the plan goes on in the whole value.
    root: JsonDocument,
    /// `None` for the root.
    place: Option<Arc<JsonPlace>>,
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

impl<'v> JsonNode<'v> for Located<'v> {
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

    /// The plan of the value at this path, if `plan` keeps it.
    fn plan<'p>(&self, plan: &'p Plan) -> Option<&'p Plan> {
        let parent = match &self.above {
            Some(above) => above.plan(plan)?,
            None => plan,
        };
        match &self.step {
            JsonStep::Key(key) => parent.of_name(key),
            JsonStep::Index(index) => parent.of_index(*index),
        }
    }
}

/// The value for templates. Only a scalar is copied.
pub fn value(root: &Arc<serde_json::Value>) -> Value {
    document_value(&JsonTree::from(Arc::clone(root)).into())
}

/// The value of a document, for templates.
pub fn document_value(document: &JsonDocument) -> Value {
    let root = Located {
        value: &document.parts().value,
        place: None,
    };
    convert(document, root)
}

/// The values of a document that `path` selects, for templates.
pub fn document_items(document: &JsonDocument, path: &JsonPath) -> Vec<Value> {
    let covered = document.plan().is_none_or(|plan| path.is_covered(plan));
    let whole;
    let document = if covered {
        document
    } else {
        whole = document.to_whole();
        &whole
    };
    let JsonTree { value, integers } = document.parts();
    let root = Located { value, place: None };
    let selected = path.select(root, integers).into_iter();
    selected.map(|located| convert(document, located)).collect()
}

/// A located value of `root`, for templates.
fn convert(root: &JsonDocument, located: Located<'_>) -> Value {
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
            (None, None) => match root.parts().integers.digits(located.value) {
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
    /// The value that this refers to, with all that the document holds of it.
    fn here(&self) -> &serde_json::Value {
        self.find(self.root.parts())
    }

    /// The whole value that this refers to, and the tree that it is in.
    fn whole(&self) -> (&JsonTree, &serde_json::Value) {
        let tree = if self.knows(|plan| plan.is_whole().then_some(plan)) {
            self.root.parts()
        } else {
            self.root.whole()
        };
        (tree, self.find(tree))
    }

    fn find<'v>(&self, tree: &'v JsonTree) -> &'v serde_json::Value {
        // Finding a value takes one step for each level.
        work::charge(1 + self.place.as_ref().map_or(0, |place| place.depth) / 4);
        let found = match &self.place {
            Some(place) => place.find(&tree.value),
            None => Some(&*tree.value),
        };
        found.unwrap_or(&serde_json::Value::Null)
    }

    /// True if the document holds what `below` looks up in the plan of this value.
    fn knows<'p>(&'p self, below: impl FnOnce(&'p Plan) -> Option<&'p Plan>) -> bool {
        let Some(plan) = self.root.plan() else {
            return true;
        };
        let here = match &self.place {
            Some(place) => place.plan(plan),
            None => Some(plan),
        };
        here.and_then(below).is_some()
    }

    /// The document in which to look up a part of this value. The whole one, unless the part is
    /// known.
    fn root_if(&self, known: bool) -> Cow<'_, JsonDocument> {
        if known {
            Cow::Borrowed(&self.root)
        } else {
            Cow::Owned(self.root.to_whole())
        }
    }

    /// The JSON text of the value, with all digits.
    pub fn written(&self) -> Result<String, Error> {
        let (tree, here) = self.whole();
        let written = as_text(&tree.integers.exactly(here))?;
        work::charge_text(written.len());
        Ok(written)
    }

    /// The values that `path` selects, starting at this value.
    pub fn select(&self, path: &JsonPath) -> Vec<Value> {
        let root = self.root_if(self.knows(|plan| path.is_covered(plan).then_some(plan)));
        let tree = root.parts();
        let start = Located {
            value: self.find(tree),
            place: self.place.clone(),
        };
        let selected = if path.is_singular() {
            path.select_one(start).into_iter().collect()
        } else {
            path.select(start, &tree.integers)
        };
        selected
            .into_iter()
            .map(|located| convert(&root, located))
            .collect()
    }

    /// True if both refer to the same position of the same value.
    pub fn is(&self, other: &Self) -> bool {
        let same_place = match (&self.place, &other.place) {
            (None, None) => true,
            (Some(left), Some(right)) => Arc::ptr_eq(left, right),
            _ => false,
        };
        same_place && Arc::ptr_eq(&self.root.parts().value, &other.root.parts().value)
    }

    fn below(&self, root: &JsonDocument, value: &serde_json::Value, step: JsonStep) -> Value {
        let above = self.place.clone();
        convert(
            root,
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
        let root = self.root_if(self.knows(|plan| plan.of_index(index)));
        let here = self.find(root.parts()).as_array()?.get(index)?;
        Some(self.below(&root, here, JsonStep::Index(index)))
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        let root = self.root_if(self.knows(|plan| plan.of_name(key)));
        let here = self.find(root.parts()).as_object()?.get(key)?;
        Some(self.below(&root, here, JsonStep::Key(Box::from(key))))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        match self.whole().1 {
            serde_json::Value::Array(items) => Enumerator::Seq(items.len()),
            serde_json::Value::Object(fields) => {
                work::charge(fields.len());
                Enumerator::Values(fields.keys().map(|key| Value::from(key.as_str())).collect())
            }
            _ => Enumerator::Empty,
        }
    }

    fn enumerator_len(self: &Arc<Self>) -> Option<usize> {
        match self.whole().1 {
            serde_json::Value::Array(items) => Some(items.len()),
            serde_json::Value::Object(fields) => Some(fields.len()),
            _ => Some(0),
        }
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written().map_err(|_unwritable| fmt::Error)?)
    }
}
