//! JSON values in templates: read without copying, written as JSON.
//!
//! A payload is never converted as a whole. A [`JsonObject`] refers to a value inside a shared one. A
//! lookup returns another reference, or the scalar. Templates write everything except text as JSON:
//! a shell script that gets `False` instead of `false` takes the wrong branch.

use std::cmp::Ordering;
use std::fmt;
use std::io;
use std::sync::Arc;

use minijinja::value::{DynObject, Enumerator, Object, ObjectRepr, ValueKind};
use minijinja::{AutoEscape, Error, ErrorKind, Output, State, Value};
use serde::Serialize;

use crate::base::escape;
use crate::base::jsonpath::{JsonPath, LargeIntegers, Node};
use crate::template::work;

/// Maximum size of a value that is written as JSON, in bytes. The engine's limit on work is
/// reached by a text of this size.
const MAX_WRITTEN: usize = 8 << 20;

/// The name of the escaping in URL templates.
pub const URL: &str = "url";
/// The name of the escaping in line templates.
pub const LINE: &str = "line";

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
struct Digits(Box<str>);

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
    fn written(&self) -> Result<String, Error> {
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

/// A value as text: text unchanged, everything else as JSON.
pub fn text(value: &Value) -> Result<String, Error> {
    if let Some(json) = value.downcast_object_ref::<JsonObject>() {
        return json.written();
    }
    if let Some(digits) = value.downcast_object_ref::<Digits>() {
        return Ok(digits.0.to_string());
    }
    match value.kind() {
        ValueKind::String => Ok(value.as_str().unwrap_or_default().to_owned()),
        ValueKind::Undefined => Ok(String::new()),
        ValueKind::Bytes => {
            let bytes = value.as_bytes().unwrap_or_default();
            std::str::from_utf8(bytes)
                .map(str::to_owned)
                .map_err(|error| Error::new(ErrorKind::InvalidOperation, format!("not text: {error}")))
        }
        ValueKind::Plain | ValueKind::Invalid => Err(Error::new(
            ErrorKind::InvalidOperation,
            "this is not a value that can be written",
        )),
        _ => as_json(value),
    }
}

/// A value as JSON, including text. An undefined value inside a list or an object is an error too.
pub fn as_json(value: &Value) -> Result<String, Error> {
    defined(value)?;
    if value.downcast_object_ref::<JsonObject>().is_some() || value.downcast_object_ref::<Digits>().is_some()
    {
        return text(value);
    }
    as_text(value)
}

/// The JSON text of a value, which ends with an error at [`MAX_WRITTEN`]. A short template can
/// describe a value of any size.
fn as_text(value: &impl Serialize) -> Result<String, Error> {
    let mut written = BoundedText(Vec::new());
    match serde_json::to_writer(&mut written, value) {
        Ok(()) => String::from_utf8(written.0).map_err(|error| {
            Error::new(ErrorKind::BadSerialization, "cannot be written as JSON").with_source(error)
        }),
        Err(error) if error.is_io() => Err(ErrorKind::OutOfFuel.into()),
        Err(error) => Err(unwritable(error)),
    }
}

/// A buffer that refuses what exceeds [`MAX_WRITTEN`].
struct BoundedText(Vec<u8>);

impl io::Write for BoundedText {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > MAX_WRITTEN {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// JSON with line breaks and indentation.
pub fn indented(compact: &str) -> Result<String, Error> {
    let value = Arc::new(serde_json::from_str(compact).map_err(unwritable)?);
    let integers = LargeIntegers::read(compact, &value);
    serde_json::to_string_pretty(&integers.exactly(&value)).map_err(unwritable)
}

fn unwritable(error: serde_json::Error) -> Error {
    Error::new(ErrorKind::BadSerialization, "cannot be written as JSON").with_source(error)
}

/// Returns an error that names the undefined value, if `value` is undefined or contains one.
pub fn defined(value: &Value) -> Result<(), Error> {
    work::charge(1);
    match value.kind() {
        // An attribute lookup on an undefined value gives the error that names its origin.
        ValueKind::Undefined => value.get_attr("").map(drop),
        _ if value.downcast_object_ref::<JsonObject>().is_some() => Ok(()),
        ValueKind::Seq => value.try_iter()?.try_for_each(|item| defined(&item)),
        ValueKind::Map => value
            .try_iter()?
            .try_for_each(|key| defined(&value.get_item(&key)?)),
        _ => Ok(()),
    }
}

/// Writes the output of a template.
pub fn write(out: &mut Output<'_>, state: &mut State<'_, '_>, value: &Value) -> Result<(), Error> {
    let text = text(value)?;
    let syntax = match state.auto_escape() {
        AutoEscape::Custom(name) => name.as_ref(),
        _ => "",
    };
    match syntax {
        URL if !value.is_safe() => out.write_str(&percent_encoded(&text))?,
        // Also for text that is marked as safe: the mark concerns URLs and markup.
        LINE => out.write_str(&escape::line(&text))?,
        _ => out.write_str(&text)?,
    }
    Ok(())
}

/// Percent-encodes everything except letters, digits and `-_.~`. The result is always a single path
/// segment or query value.
pub fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push('%');
            for digit in [byte >> 4, byte & 15] {
                let digit = char::from_digit(u32::from(digit), 16).unwrap_or('0');
                encoded.push(digit.to_ascii_uppercase());
            }
        }
    }
    encoded
}
