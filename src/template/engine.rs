//! The minijinja environments behind all templates of a rule set: functions, filters, and the limit
//! on work.
//!
//! `secret('NAME')` and `jsonpath('$.…')` look up what was resolved at load. A `JSONPath` that a
//! payload could make cost seconds is rejected at load.

use std::collections::HashMap;
use std::sync::Arc;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, ValueKind};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, State, UndefinedBehavior, Value};
use parking_lot::{Mutex, RwLock};
use regex::Regex;

use crate::base::clock::Clock;
use crate::base::json_plan::Plan;
use crate::base::jsonpath::{JsonPath, Refused};
use crate::base::patterns::Patterns;
use crate::base::secret::Secret;
use crate::template::json::{self, JsonObject};
use crate::template::{filters, output};

/// Work limit of a render: about this many steps, or 64 bytes of data per step.
const FUEL: u64 = 100_000;
/// A context with this name masks secrets. No template can write the name.
pub const MASKED: &str = "secrets are masked";
/// Replaces a masked secret.
pub const MASK: &str = "***";

/// Secrets and paths that templates look up, resolved at load.
#[derive(Clone, Default)]
pub struct Resolved {
    secrets: Arc<RwLock<HashMap<String, Secret>>>,
    paths: Arc<RwLock<HashMap<String, Arc<JsonPath>>>>,
    /// Patterns of `regex_replace`, each with its work.
    regexes: Arc<RwLock<HashMap<String, (Regex, u64)>>>,
    /// Compiles the paths and bounds the work of all of them.
    patterns: Arc<Mutex<Patterns>>,
}

impl Resolved {
    /// Stores a secret under the name that templates use.
    pub fn add_secret(&self, name: &str, secret: Secret) {
        let mut secrets = self.secrets.write();
        secrets.insert(name.to_owned(), secret);
    }

    /// Compiles a `JSONPath` under the text that templates use.
    pub fn add_path(&self, text: &str) -> Result<(), Refused> {
        let known = self.paths.read();
        if known.contains_key(text) {
            return Ok(());
        }
        drop(known);
        let patterns = self.patterns.lock();
        let query = patterns.path(text)?;
        drop(patterns);
        let mut paths = self.paths.write();
        paths.insert(text.to_owned(), query);
        Ok(())
    }

    /// Compiles a pattern of `regex_replace`. Returns the reason for refusing it.
    pub fn add_regex(&self, pattern: &str) -> Result<(), String> {
        let compiled = self.patterns.lock().search(pattern)?;
        if compiled.1 > filters::MAX_COST {
            return Err(format!(
                "more than {} characters, with repetitions written out",
                filters::MAX_COST
            ));
        }
        self.regexes.write().insert(pattern.to_owned(), compiled);
        Ok(())
    }

    fn regex(&self, pattern: &str) -> Result<(Regex, u64), Error> {
        let known = self.regexes.read().get(pattern).cloned();
        known.ok_or_else(|| {
            Error::new(
                ErrorKind::InvalidOperation,
                format!("the pattern `{pattern}` was not read at load"),
            )
        })
    }

    /// Adds the values that a path reads of a JSON payload to `plan`.
    pub fn add_to(&self, path: &str, plan: &mut Plan) {
        if let Some(path) = self.paths.read().get(path) {
            path.add_to(plan);
        }
    }

    /// The text with every secret masked, for errors.
    pub fn mask(&self, mut text: String) -> String {
        let secrets = self.secrets.read();
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
        let secrets = self.secrets.read();
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

    fn jsonpath(&self, state: &mut State<'_, '_>, text: &str) -> Result<Value, Error> {
        let path = {
            let paths = self.paths.read();
            paths.get(text).map(Arc::clone)
        };
        let path = path.ok_or_else(|| {
            Error::new(
                ErrorKind::InvalidOperation,
                format!("the JSONPath `{text}` was not read at load"),
            )
        })?;
        let Some(payload) = state.lookup("payload") else {
            return Ok(Value::UNDEFINED);
        };
        if payload.kind() == ValueKind::Invalid {
            // The payload could not be decoded: every use of it is the same error.
            return Ok(payload);
        }
        let known = state.get_extension::<Selections>().and_then(|selections| {
            let (of, selected) = selections.0.get(text)?;
            same_payload(of, &payload).then(|| selected.clone())
        });
        if let Some(selected) = known {
            return Ok(selected);
        }
        let mut values = if let Some(json) = payload.downcast_object_ref::<JsonObject>() {
            json.select(&path)
        } else {
            let root = json::value(&Arc::new(serde_json::to_value(&payload).unwrap_or_default()));
            match root.downcast_object_ref::<JsonObject>() {
                Some(json) => json.select(&path),
                // A scalar: only `$` selects anything.
                None if path.is_root() => vec![root],
                None => Vec::new(),
            }
        };
        let selected = match values.len() {
            0 => Value::UNDEFINED,
            1 => values.remove(0),
            _ => Value::from(values),
        };
        let selections = state.get_or_insert_extension(Selections::default());
        selections.0.insert(text.to_owned(), (payload, selected.clone()));
        Ok(selected)
    }
}

/// The cached selections of one render: by path, with the payload that they come from. Without this
/// cache a `jsonpath(…)` in a loop over a list of the payload would walk the whole payload once per
/// item.
#[derive(Default)]
struct Selections(HashMap<String, (Value, Value)>);

/// True if both are the same payload object.
fn same_payload(left: &Value, right: &Value) -> bool {
    match (
        left.downcast_object_ref::<JsonObject>(),
        right.downcast_object_ref::<JsonObject>(),
    ) {
        (Some(left), Some(right)) => left.is(right),
        _ => false,
    }
}

/// An environment for templates. `undefined` sets the behavior of missing values.
pub fn environment(resolved: &Resolved, undefined: UndefinedBehavior) -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(undefined);
    environment.set_fuel(Some(FUEL));
    // With debug on, an error names the undefined expression. This costs nothing while nothing
    // fails.
    environment.set_debug(true);
    environment.set_auto_escape_callback(|name| match name.split_once(':') {
        Some((output::URL, _)) => AutoEscape::Custom(output::URL.into()),
        Some((output::LINE, _)) => AutoEscape::Custom(output::LINE.into()),
        _ => AutoEscape::None,
    });
    environment.set_formatter(output::write);
    if let Ok(syntax) = SyntaxConfig::builder().keep_trailing_newline(true).build() {
        environment.set_syntax(syntax);
    }
    // `debug` would print all values.
    environment.remove_global("debug");
    environment.add_filter("tojson", tojson);
    environment.add_filter("urlencode", urlencode);
    environment.add_filter("join", join);
    environment.add_filter("fromjson", filters::from_json);
    environment.add_filter("b64decode", filters::b64decode);
    environment.add_filter("b64encode", filters::b64encode);
    environment.add_filter("sha256", filters::sha256);
    environment.add_filter("datetimeformat", filters::datetimeformat);
    let regexes = resolved.clone();
    environment.add_filter(
        "regex_replace",
        move |value: &Value, pattern: &str, replacement: &str| {
            let (pattern, cost) = regexes.regex(pattern)?;
            filters::regex_replace(value, (&pattern, cost), replacement)
        },
    );
    environment.add_function("now", || Clock::system().now().to_string());
    let (secrets, paths) = (resolved.clone(), resolved.clone());
    environment.add_function("secret", move |state: &State<'_, '_>, name: &str| {
        secrets.secret(state, name)
    });
    environment.add_function("jsonpath", move |state: &mut State<'_, '_>, path: &str| {
        paths.jsonpath(state, path)
    });
    environment
}

/// `| tojson`: plain JSON, so that in a URL it is percent-encoded like any text. `indent` makes it
/// readable.
#[expect(
    clippy::needless_pass_by_value,
    reason = "minijinja hands options over by value"
)]
fn tojson(value: &Value, options: Kwargs) -> Result<String, Error> {
    let indent: Option<bool> = options.get("indent")?;
    options.assert_all_used()?;
    let compact = output::as_json(value)?;
    if indent == Some(true) {
        output::indented(&compact)
    } else {
        Ok(compact)
    }
}

/// Maximum size of what `| join` writes, in bytes. A longer text fails the rendering. The engine
/// charges for the result only, and a separator from the event multiplies it.
const MAX_JOINED: usize = 4 << 20;

/// `| join`: an undefined value is an error, and values other than text are written as JSON.
fn join(values: &Value, between: Option<&str>) -> Result<String, Error> {
    let mut joined = String::new();
    output::defined(values)?;
    for (index, value) in values.try_iter()?.enumerate() {
        output::defined(&value)?;
        if index > 0 {
            joined.push_str(between.unwrap_or_default());
        }
        joined.push_str(&output::text(&value)?);
        if joined.len() > MAX_JOINED {
            return Err(Error::new(ErrorKind::OutOfFuel, "`join` writes more than 4 MiB"));
        }
    }
    Ok(joined)
}

/// `| urlencode`: marked as safe, so that a URL template does not encode it twice.
fn urlencode(value: &Value) -> Result<Value, Error> {
    output::defined(value)?;
    Ok(Value::from_safe_string(output::percent_encoded(&output::text(
        value,
    )?)))
}
