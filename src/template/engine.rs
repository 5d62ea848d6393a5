//! The machine behind all templates of a rule set: what they may call, and how much they may do.
//!
//! `secret('NAME')` and `jsonpath('$.…')` look up what was resolved at load. A `JSONPath` that the evaluator could
//! be made to spend seconds on is refused there.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use jsonpath_rust::parser::model::JpQuery;
use jsonpath_rust::parser::parse_json_path;
use jsonpath_rust::query::js_path_process;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Kwargs;
use minijinja::{AutoEscape, Environment, Error, ErrorKind, State, UndefinedBehavior, Value};

use crate::secret::Secret;
use crate::template::json::{self, Json};

/// How much one render may do: about this many steps, or 64 bytes of data for each.
const FUEL: u64 = 100_000;
/// Under this name a context says that secrets are to be masked. No template can write it.
pub const MASKED: &str = "secrets are masked";
/// What stands in the place of a secret.
pub const MASK: &str = "***";
/// The longest `JSONPath` in a template.
const MAX_PATH: usize = 512;

/// What templates look up, resolved at load.
#[derive(Clone, Default)]
pub struct Resolved {
    secrets: Arc<RwLock<HashMap<String, Secret>>>,
    paths: Arc<RwLock<HashMap<String, Arc<JpQuery>>>>,
}

impl Resolved {
    /// Keeps a secret under the name that templates use.
    pub fn add_secret(&self, name: &str, secret: Secret) {
        let mut secrets = self.secrets.write().unwrap_or_else(PoisonError::into_inner);
        secrets.insert(name.to_owned(), secret);
    }

    /// Compiles a `JSONPath`; the error says what is wrong with it.
    pub fn add_path(&self, text: &str) -> Result<(), String> {
        let query = compile_path(text)?;
        let mut paths = self.paths.write().unwrap_or_else(PoisonError::into_inner);
        paths.insert(text.to_owned(), Arc::new(query));
        Ok(())
    }

    /// The text with every secret masked, for messages.
    pub fn mask(&self, mut text: String) -> String {
        let secrets = self.secrets.read().unwrap_or_else(PoisonError::into_inner);
        for secret in secrets.values() {
            if let Ok(secret) = std::str::from_utf8(secret.expose())
                && text.contains(secret)
            {
                text = text.replace(secret, MASK);
            }
        }
        text
    }

    fn secret(&self, state: &State<'_, '_>, name: &str) -> Result<Value, Error> {
        if state.lookup(MASKED).is_some_and(|masked| masked.is_true()) {
            return Ok(Value::from(MASK));
        }
        let secrets = self.secrets.read().unwrap_or_else(PoisonError::into_inner);
        let secret = secrets.get(name).ok_or_else(|| {
            Error::new(
                ErrorKind::InvalidOperation,
                format!("the secret `{name}` was not read at load"),
            )
        })?;
        let text = std::str::from_utf8(secret.expose()).ok();
        text.map(Value::from).ok_or_else(|| {
            Error::new(
                ErrorKind::InvalidOperation,
                format!("the secret `{name}` is not text"),
            )
        })
    }

    fn jsonpath(&self, state: &State<'_, '_>, path: &str) -> Result<Value, Error> {
        let query = {
            let paths = self.paths.read().unwrap_or_else(PoisonError::into_inner);
            paths.get(path).map(Arc::clone)
        };
        let query = query.ok_or_else(|| {
            Error::new(
                ErrorKind::InvalidOperation,
                format!("the JSONPath `{path}` was not read at load"),
            )
        })?;
        let Some(payload) = state.lookup("payload") else {
            return Ok(Value::UNDEFINED);
        };
        let root = match payload.downcast_object_ref::<Json>().and_then(Json::whole) {
            Some(root) => Arc::clone(root),
            None => Arc::new(serde_json::to_value(&payload).unwrap_or_default()),
        };
        let found = js_path_process(&query, &*root)
            .map_err(|error| Error::new(ErrorKind::InvalidOperation, format!("`{path}`: {error}")))?;
        let mut values: Vec<Value> = found
            .into_iter()
            .map(|found| json::value(&Arc::new(found.val().clone())))
            .collect();
        Ok(match values.len() {
            0 => Value::UNDEFINED,
            1 => values.remove(0),
            _ => Value::from(values),
        })
    }
}

/// An environment for templates; `undefined` is what becomes of a value that is not there.
pub fn environment(resolved: &Resolved, undefined: UndefinedBehavior) -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(undefined);
    environment.set_fuel(Some(FUEL));
    // So that an error names the expression that was undefined. Costs nothing while nothing fails.
    environment.set_debug(true);
    environment.set_auto_escape_callback(|name| match name.strip_prefix(json::URL) {
        Some(rest) if rest.starts_with(':') => AutoEscape::Custom(json::URL.into()),
        _ => AutoEscape::None,
    });
    environment.set_formatter(json::write);
    if let Ok(syntax) = SyntaxConfig::builder().keep_trailing_newline(true).build() {
        environment.set_syntax(syntax);
    }
    // It would print all there is.
    environment.remove_global("debug");
    environment.add_filter("tojson", tojson);
    environment.add_filter("urlencode", urlencode);
    environment.add_filter("join", join);
    let (secrets, paths) = (resolved.clone(), resolved.clone());
    environment.add_function("secret", move |state: &State<'_, '_>, name: &str| {
        secrets.secret(state, name)
    });
    environment.add_function("jsonpath", move |state: &State<'_, '_>, path: &str| {
        paths.jsonpath(state, path)
    });
    environment
}

/// `| tojson`: plain JSON, so that in a URL it is percent-encoded like any text. `indent` makes it readable.
#[expect(
    clippy::needless_pass_by_value,
    reason = "minijinja hands options over by value"
)]
fn tojson(value: &Value, options: Kwargs) -> Result<String, Error> {
    let indent: Option<bool> = options.get("indent")?;
    options.assert_all_used()?;
    let compact = json::as_json(value)?;
    if indent != Some(true) {
        return Ok(compact);
    }
    serde_json::from_str::<serde_json::Value>(&compact)
        .and_then(|value| serde_json::to_string_pretty(&value))
        .map_err(|error| {
            Error::new(ErrorKind::BadSerialization, "cannot be written as JSON").with_source(error)
        })
}

/// `| join`: as everywhere what is undefined is an error, and what is not text is written as JSON.
fn join(values: &Value, between: Option<&str>) -> Result<String, Error> {
    let mut joined = String::new();
    json::defined(values)?;
    for (index, value) in values.try_iter()?.enumerate() {
        json::defined(&value)?;
        if index > 0 {
            joined.push_str(between.unwrap_or_default());
        }
        joined.push_str(&json::text(&value)?);
    }
    Ok(joined)
}

/// `| urlencode`: marked as safe, so that in a URL it is not encoded twice.
fn urlencode(value: &Value) -> Result<Value, Error> {
    json::defined(value)?;
    Ok(Value::from_safe_string(json::percent_encoded(&json::text(
        value,
    )?)))
}

/// Compiles a `JSONPath` of bounded cost.
fn compile_path(text: &str) -> Result<JpQuery, String> {
    if text.len() > MAX_PATH {
        return Err(format!("longer than {MAX_PATH} bytes"));
    }
    if let Some(costly) = costly(text) {
        return Err(costly.to_owned());
    }
    parse_json_path(text).map_err(|error| error.to_string())
}

/// What makes a `JSONPath` cost more than one walk over the payload.
fn costly(text: &str) -> Option<&'static str> {
    let bare = without_texts(text);
    let (before_filter, filters) = bare.split_once('?').unwrap_or((&bare, ""));
    if bare.contains("match(") || bare.contains("search(") {
        // The evaluator compiles the expression anew for every value.
        return Some("regular expressions are not available here; let `match:` decide");
    }
    if filters.contains("..") || filters.contains('$') {
        return Some("a filter may look only below its own value");
    }
    if before_filter.matches("..").count() > 1 {
        return Some("more than one `..`");
    }
    None
}

/// A `JSONPath` with the content of its quoted texts left out.
fn without_texts(path: &str) -> String {
    let mut bare = String::with_capacity(path.len());
    let mut quote = None;
    let mut letters = path.chars();
    while let Some(letter) = letters.next() {
        match (quote, letter) {
            (None, '\'' | '"') => quote = Some(letter),
            (None, _) => bare.push(letter),
            (Some(_), '\\') => drop(letters.next()),
            (Some(open), _) if open == letter => quote = None,
            (Some(_), _) => {}
        }
    }
    bare
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_compiled_unless_it_is_wrong_or_costly() {
        for right in [
            "$",
            "$.a.b[0]",
            "$..id",
            "$.commits[?@.author.name == 'a..b$?'].id",
            "$['match(']",
        ] {
            assert!(compile_path(right).is_ok(), "{right}");
        }
        let long = format!("$.{}", "a".repeat(MAX_PATH));
        for wrong in [
            "",
            "a",
            "$.",
            "$..*..*",
            "$[?match(@.a, $.re)]",
            "$[?search(@.a,'x')]",
            "$.a[?$..b]",
            "$.a[?@..b]",
            long.as_str(),
        ] {
            assert!(compile_path(wrong).is_err(), "{wrong}");
        }
    }
}
