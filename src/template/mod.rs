//! Text with values in it: compiled once, rendered often.
//!
//! All templates of a rule set share one minijinja environment ([`Templates`]). A [`Template`] is compiled at load
//! and tried there against an event that holds nothing, so that an unknown filter, function or name is a finding.
//! Rendering is strict: what is undefined is an error that names the expression, never an empty text. It is
//! bounded in work and in output ([`MAX_RENDERED`]). Text comes out as it is, everything else as JSON. Which
//! values there are is left to the rooms that render.

mod engine;
mod json;
mod scan;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use minijinja::value::Object;
use minijinja::{Environment, ErrorKind, UndefinedBehavior, Value};

use crate::diagnostic::{Findings, did_you_mean};
use crate::secret::Keyring;
use crate::template::engine::{MASKED, Resolved, environment};
use crate::template::scan::{Scan, scan};
use crate::yaml::Node;

pub use json::value as json_value;
pub use scan::is_template;

/// The largest text that a render may yield, in bytes.
pub const MAX_RENDERED: usize = 1 << 20;
/// The largest source of a template, in bytes.
pub const MAX_SOURCE: usize = 64 << 10;
/// The names of the values in every template.
pub const NAMES: [&str; 9] = [
    "payload", "headers", "query", "path", "body", "event", "rule", "endpoint", "attempt",
];
/// What `event` holds.
const EVENT: [&str; 2] = ["event.id", "event.received_at"];
/// What templates may call.
const FUNCTIONS: [&str; 5] = ["jsonpath", "secret", "range", "dict", "namespace"];

/// What a template is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// An action: [`NAMES`].
    Action,
    /// Part of a URL: as an action, and what is written out is percent-encoded, unless it comes from `urlencode`
    /// or is marked `| safe`.
    Url,
    /// The body of an answer: as an action, and `actions`.
    Answer,
}

/// The templates of one rule set.
#[derive(Clone)]
pub struct Templates {
    shared: Arc<Shared>,
}

/// What all templates of a rule set share.
struct Shared {
    resolved: Resolved,
    /// Holds the compiled templates; one that is written twice is there once, for its source is its name.
    strict: RwLock<Environment<'static>>,
    /// Holds none; tries templates at load.
    lenient: Environment<'static>,
}

/// A text that may hold values.
#[derive(Clone)]
pub struct Template {
    source: Arc<str>,
    /// Absent for a text without a template in it.
    compiled: Option<Compiled>,
}

/// Where a template is found.
#[derive(Clone)]
struct Compiled {
    shared: Arc<Shared>,
    name: Arc<str>,
}

/// What is wrong with a template, for its author.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateError {
    /// What is wrong.
    pub message: String,
    /// What would help.
    pub hint: Option<String>,
}

/// Why a template could not be rendered for an event. Trying again cannot help.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenderError {
    message: String,
}

impl Templates {
    /// None yet.
    pub fn new() -> Self {
        let resolved = Resolved::default();
        Self {
            shared: Arc::new(Shared {
                strict: RwLock::new(environment(&resolved, UndefinedBehavior::Strict)),
                lenient: environment(&resolved, UndefinedBehavior::Chainable),
                resolved,
            }),
        }
    }

    /// The template that `node` holds, or findings.
    pub fn read(
        &self,
        node: Node<'_>,
        scope: Scope,
        keyring: &Keyring,
        findings: &mut Findings,
    ) -> Option<Template> {
        let Some(source) = node.as_str() else {
            findings.push(
                node.error("template", "this must be text")
                    .hint("put it in quotes"),
            );
            return None;
        };
        match self.build(source, scope, keyring) {
            Ok((template, doubts)) => {
                for doubt in doubts {
                    findings.push(node.warning("secret", doubt));
                }
                Some(template)
            }
            Err(error) => {
                let finding = node.error("template", error.message);
                findings.push(match error.hint {
                    Some(hint) => finding.hint(hint),
                    None => finding,
                });
                None
            }
        }
    }

    /// Compiles a text and resolves the secrets that it names.
    pub fn compile(&self, source: &str, scope: Scope, keyring: &Keyring) -> Result<Template, TemplateError> {
        self.build(source, scope, keyring).map(|(template, _)| template)
    }

    /// A template, and what is doubtful about its secrets.
    fn build(
        &self,
        source: &str,
        scope: Scope,
        keyring: &Keyring,
    ) -> Result<(Template, Vec<String>), TemplateError> {
        if !is_template(source) {
            return Ok((Template::fixed(source), Vec::new()));
        }
        if source.len() > MAX_SOURCE {
            return Err(TemplateError::new(format!(
                "a template of {} bytes; at most {MAX_SOURCE} are read",
                source.len()
            )));
        }
        let name = format!(
            "{}:{source}",
            if scope == Scope::Url { json::URL } else { "text" }
        );
        let found = scan(source);
        self.try_out(source, &name, scope, &found)?;
        let doubts = self.resolve(&found, keyring)?;
        let mut strict = self.shared.strict.write().unwrap_or_else(PoisonError::into_inner);
        strict
            .add_template_owned(name.clone(), source.to_owned())
            .map_err(|error| TemplateError::new(words(&error, source)))?;
        let compiled = Compiled {
            shared: Arc::clone(&self.shared),
            name: Arc::from(name),
        };
        let template = Template {
            source: Arc::from(source),
            compiled: Some(compiled),
        };
        Ok((template, doubts))
    }

    /// Finds what minijinja would find only when a render gets there.
    fn try_out(&self, source: &str, name: &str, scope: Scope, found: &Scan) -> Result<(), TemplateError> {
        let lenient = &self.shared.lenient;
        let template = lenient.template_from_named_str(name, source).map_err(|error| {
            TemplateError::new(words(&error, source))
                .hint("for `{{` as it stands write `{% raw %}…{% endraw %}`")
        })?;
        let mut names: BTreeSet<&str> = NAMES.into_iter().chain(FUNCTIONS).collect();
        if scope == Scope::Answer {
            names.insert("actions");
        }
        for used in template.undeclared_variables(true) {
            let top = used.split('.').next().unwrap_or_default();
            if !names.contains(top) {
                return Err(unknown("name", top, names));
            }
            if top == "event" && used != "event" && !EVENT.contains(&used.as_str()) {
                return Err(unknown("name", &used, EVENT));
            }
        }
        let known = |kind: &str, name: &str| {
            lenient
                .compile_expression(&format!("name is {kind}"))
                .and_then(|expression| expression.eval(Value::from_pairs([("name", name)])))
                .is_ok_and(|known| known.is_true())
        };
        if let Some(filter) = found.filters.iter().find(|name| !known("filter", name)) {
            return Err(unknown("filter", filter, COMMON_FILTERS));
        }
        if let Some(test) = found.tests.iter().find(|name| !known("test", name)) {
            return Err(unknown("test", test, COMMON_TESTS));
        }
        if let Some(method) = found.methods.first() {
            return Err(
                TemplateError::new(format!("values have no method `{method}`")).hint(format!(
                    "use a filter: `value | {method}`, or a test: `'x' in value`"
                )),
            );
        }
        if let Some(function) = found.not_literal.first() {
            return Err(TemplateError::new(format!(
                "`{function}` takes one text, written out, for it is resolved at load"
            ))
            .hint(if function == "secret" {
                "write `secret('NAME')`"
            } else {
                "write `jsonpath('$.path')`"
            }));
        }
        match template.render(Value::from_object(Masked(nothing()))) {
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::UnknownFilter
                        | ErrorKind::UnknownTest
                        | ErrorKind::UnknownFunction
                        | ErrorKind::TooManyArguments
                        | ErrorKind::MissingArgument
                ) =>
            {
                Err(TemplateError::new(words(&error, source)))
            }
            // What else fails against an event without content may go well with one.
            _ => Ok(()),
        }
    }

    /// Resolves what a template names; returns what is doubtful.
    fn resolve(&self, found: &Scan, keyring: &Keyring) -> Result<Vec<String>, TemplateError> {
        for path in &found.paths {
            self.shared
                .resolved
                .add_path(path)
                .map_err(|why| TemplateError::new(format!("invalid JSONPath `{path}`: {why}")))?;
        }
        let mut doubts = Vec::new();
        for name in &found.secrets {
            let sourced = ["env:", "file:", "credential:"]
                .iter()
                .any(|source| name.starts_with(source));
            let place = if sourced {
                name.clone()
            } else {
                format!("env:{name}")
            };
            let (secret, doubt) = keyring.resolve(&place).map_err(TemplateError::new)?;
            if std::str::from_utf8(secret.expose()).is_err() {
                return Err(TemplateError::new(format!("the secret `{name}` is not text")));
            }
            doubts.extend(doubt);
            self.shared.resolved.add_secret(name, secret);
        }
        Ok(doubts)
    }
}

impl Default for Templates {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Templates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Templates")
    }
}

impl Template {
    /// A text without values, whatever braces it holds.
    pub fn fixed(text: &str) -> Self {
        Self {
            source: Arc::from(text),
            compiled: None,
        }
    }

    /// The text, if no value is in it.
    pub fn literal(&self) -> Option<&str> {
        self.compiled.is_none().then_some(&*self.source)
    }

    /// The text as it stands in the rules file.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The text with the values in their places.
    pub fn render(&self, values: &Value) -> Result<String, RenderError> {
        self.render_with(values.clone())
    }

    /// As [`Template::render`], with `***` for every secret: to be shown.
    pub fn render_masked(&self, values: &Value) -> Result<String, RenderError> {
        self.render_with(Value::from_object(Masked(values.clone())))
    }

    fn render_with(&self, values: Value) -> Result<String, RenderError> {
        let Some(Compiled { shared, name }) = &self.compiled else {
            return Ok(self.source.to_string());
        };
        let strict = shared.strict.read().unwrap_or_else(PoisonError::into_inner);
        let text = strict
            .get_template(name)
            .and_then(|template| template.render(values))
            // A filter may have put the value that it could not take into its error.
            .map_err(|error| RenderError::new(shared.resolved.mask(words(&error, &self.source))))?;
        if text.len() > MAX_RENDERED {
            return Err(RenderError::new(format!(
                "the template yields {} bytes; at most {MAX_RENDERED} are taken",
                text.len()
            )));
        }
        Ok(text)
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.source.fmt(f)
    }
}

impl TemplateError {
    fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            hint: None,
        }
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl RenderError {
    /// One in these words.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
        }
    }
}

impl fmt::Display for RenderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for RenderError {}

/// Filters that a mistyped one may have meant.
const COMMON_FILTERS: [&str; 22] = [
    "tojson",
    "urlencode",
    "default",
    "lower",
    "upper",
    "trim",
    "replace",
    "join",
    "split",
    "first",
    "last",
    "length",
    "int",
    "float",
    "string",
    "list",
    "items",
    "sort",
    "unique",
    "map",
    "select",
    "indent",
];
/// Tests that a mistyped one may have meant.
const COMMON_TESTS: [&str; 10] = [
    "defined",
    "undefined",
    "none",
    "string",
    "number",
    "mapping",
    "sequence",
    "startingwith",
    "endingwith",
    "in",
];

/// "unknown filter `x`", with the nearest that is known.
fn unknown<'k>(noun: &str, typed: &str, known: impl IntoIterator<Item = &'k str>) -> TemplateError {
    let known: Vec<&str> = known.into_iter().collect();
    let list = known.join(", ");
    TemplateError::new(format!("unknown {noun} `{typed}` in a template")).hint(
        match did_you_mean(typed, known) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("known are {list}"),
        },
    )
}

/// minijinja's error in our words, with the expression that it is about.
fn words(error: &minijinja::Error, source: &str) -> String {
    let message = match (error.kind(), error.detail()) {
        (ErrorKind::OutOfFuel, _) => "the template does more work than is allowed".to_owned(),
        (ErrorKind::UndefinedError, None) => "undefined value".to_owned(),
        (ErrorKind::UndefinedError | ErrorKind::SyntaxError, Some(detail)) => detail.to_owned(),
        (kind, Some(detail)) => format!("{kind}: {detail}"),
        (kind, None) => kind.to_string(),
    };
    let place = error.range().and_then(|range| source.get(range));
    match place {
        Some(place) if !place.trim().is_empty() && !message.contains(place) && place.len() <= 80 => {
            format!("{message} in `{place}`")
        }
        _ => message,
    }
}

/// Values among which every secret is masked.
#[derive(Debug)]
struct Masked(Value);

impl Object for Masked {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        if key == MASKED {
            return Some(Value::from(true));
        }
        self.0.get_attr(key).ok().filter(|value| !value.is_undefined())
    }
}

/// The values of an event that holds nothing.
fn nothing() -> Value {
    Value::from_pairs(NAMES.map(|name| (name, Value::UNDEFINED)))
}

#[cfg(test)]
mod tests;
