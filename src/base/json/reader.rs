//! Strict readers for JSON values: of a whole value, of a part of it by a [`Plan`], and of nothing.
//!
//! All three reject the same texts, whatever they keep. `IgnoredAny` of serde accepts lone
//! surrogates, numbers out of range and any depth, and is not used here.
//!
//! The reader of a whole value is no `serde_json::Value::deserialize`. That one takes an object
//! with a certain name for JSON inside a string, so a sender could choose what it becomes.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::base::json_plan::Plan;

/// Reads a text by a plan. The rest of the text is validated and dropped.
pub(super) fn read(text: &str, plan: &Plan) -> Result<Value, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = if plan.is_whole() {
        Reader::<Value>::NEW.deserialize(&mut deserializer)?
    } else {
        PlannedReader(plan).deserialize(&mut deserializer)?
    };
    deserializer.end()?;
    Ok(value)
}

/// A result of reading: the value, or nothing.
trait Kept: Sized {
    /// The elements of a list.
    type Elements: Default;
    /// The members of an object.
    type Members: Default;
    /// The name of a member.
    type Name;

    fn scalar(value: impl Into<Value>) -> Self;
    fn text(text: &str) -> Self;
    fn name(name: &str) -> Self::Name;
    fn add_element(list: &mut Self::Elements, element: Self);
    fn add_member(object: &mut Self::Members, name: Self::Name, value: Self);
    fn list(list: Self::Elements) -> Self;
    fn object(object: Self::Members) -> Self;
}

impl Kept for Value {
    type Elements = Vec<Self>;
    type Members = Map<String, Self>;
    type Name = String;

    fn scalar(value: impl Into<Value>) -> Self {
        value.into()
    }
    fn text(text: &str) -> Self {
        text.into()
    }
    fn name(name: &str) -> String {
        name.to_owned()
    }
    fn add_element(list: &mut Self::Elements, element: Self) {
        list.push(element);
    }
    fn add_member(object: &mut Self::Members, name: String, value: Self) {
        // If a name occurs more than once, the last member counts.
        object.insert(name, value);
    }
    fn list(list: Self::Elements) -> Self {
        Self::Array(list)
    }
    fn object(object: Self::Members) -> Self {
        Self::Object(object)
    }
}

impl Kept for () {
    type Elements = ();
    type Members = ();
    type Name = ();

    fn scalar(_value: impl Into<Value>) {}
    fn text(_text: &str) {}
    fn name(_name: &str) {}
    fn add_element(_list: &mut (), _element: ()) {}
    fn add_member(_object: &mut (), _name: (), _value: ()) {}
    fn list(_list: ()) {}
    fn object(_object: ()) {}
}

/// Reader of a value, which keeps all of it or nothing.
struct Reader<K>(PhantomData<K>);

impl<K> Reader<K> {
    const NEW: Self = Self(PhantomData);
}

impl<'de, K: Kept> DeserializeSeed<'de> for Reader<K> {
    type Value = K;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<K, D::Error> {
        // Not `deserialize_ignored_any`, which validates less.
        deserializer.deserialize_any(self)
    }
}

impl<'de, K: Kept> Visitor<'de> for Reader<K> {
    type Value = K;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }
    fn visit_unit<E: Error>(self) -> Result<K, E> {
        Ok(K::scalar(()))
    }
    fn visit_bool<E: Error>(self, value: bool) -> Result<K, E> {
        Ok(K::scalar(value))
    }
    fn visit_i64<E: Error>(self, value: i64) -> Result<K, E> {
        Ok(K::scalar(value))
    }
    fn visit_u64<E: Error>(self, value: u64) -> Result<K, E> {
        Ok(K::scalar(value))
    }
    fn visit_f64<E: Error>(self, value: f64) -> Result<K, E> {
        Ok(K::scalar(value))
    }
    fn visit_str<E: Error>(self, value: &str) -> Result<K, E> {
        Ok(K::text(value))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<K, A::Error> {
        let mut list = K::Elements::default();
        while let Some(element) = elements.next_element_seed(Self::NEW)? {
            K::add_element(&mut list, element);
        }
        Ok(K::list(list))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<K, A::Error> {
        let mut object = K::Members::default();
        while let Some(name) = members.next_key_seed(NameReader(K::name))? {
            K::add_member(&mut object, name, members.next_value_seed(Self::NEW)?);
        }
        Ok(K::object(object))
    }
}

/// Reader of a value by its plan.
struct PlannedReader<'p>(&'p Plan);

impl<'de> DeserializeSeed<'de> for PlannedReader<'_> {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        if self.0.is_whole() {
            return Reader::<Value>::NEW.deserialize(deserializer);
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for PlannedReader<'_> {
    type Value = Value;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }
    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let (length, mut list) = (self.0.length(), Vec::new());
        while list.len() < length {
            let element = match self.0.of_index(list.len()) {
                Some(plan) => elements.next_element_seed(PlannedReader(plan))?,
                None => elements
                    .next_element_seed(Reader::<()>::NEW)?
                    .map(|()| Value::Null),
            };
            match element {
                Some(element) => list.push(element),
                None => return Ok(Value::Array(list)),
            }
        }
        while elements.next_element_seed(Reader::<()>::NEW)?.is_some() {}
        Ok(Value::Array(list))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        let planned = |name: &str| self.0.of_name(name).map(|plan| (name.to_owned(), plan));
        while let Some(found) = members.next_key_seed(NameReader(planned))? {
            match found {
                // The last member of a name counts, as in a whole value.
                Some((name, plan)) => {
                    object.insert(name, members.next_value_seed(PlannedReader(plan))?);
                }
                None => members.next_value_seed(Reader::<()>::NEW)?,
            }
        }
        Ok(Value::Object(object))
    }
}

/// Reader of a member's name, which returns what the function makes of it.
struct NameReader<F>(F);

impl<'de, T, F: FnOnce(&str) -> T> DeserializeSeed<'de> for NameReader<F> {
    type Value = T;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<T, F: FnOnce(&str) -> T> Visitor<'_> for NameReader<F> {
    type Value = T;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a member")
    }
    fn visit_str<E: Error>(self, name: &str) -> Result<T, E> {
        Ok((self.0)(name))
    }
}
