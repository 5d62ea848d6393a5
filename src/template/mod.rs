//! Text with values in it: compiled once, rendered often.
//!
//! All templates of a rule set share one minijinja environment ([`Templates`]). A [`Template`] is compiled at load
//! and tried there against an event that holds nothing, so that an unknown filter, function or name is a finding.
//! Rendering is strict: what is undefined is an error that names the expression, never an empty text. It is
//! bounded in work and in output ([`MAX_RENDERED`]). Text comes out as it is, everything else as JSON. Which
//! values there are is left to the rooms that render.

mod compile;
mod embedding;
mod engine;
mod expression;
mod fixed;
mod json;
mod pieces;
mod place;
mod scan;

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use minijinja::value::Object;
use minijinja::{Environment, ErrorKind, UndefinedBehavior, Value};

use crate::template::engine::{MASKED, Resolved, environment};
use crate::template::scan::scan;

pub use embedding::warn_of_values;
pub use expression::{Form, Value as PieceValue};
pub use fixed::fixed;
pub use json::{exact_value, value as json_value};
pub use pieces::{Piece, pieces};
pub use place::{Place, Step};
pub use scan::{PartRead, is_template};

/// The largest text that a render may yield, in bytes.
pub const MAX_RENDERED: usize = 1 << 20;
/// The largest source of a template, in bytes.
pub const MAX_SOURCE: usize = 64 << 10;
/// Maximum number of words, texts and signs in one tag. minijinja nests a chain such as `a.b.c` once per link, and
/// compiles it recursively: a longer one would overflow the stack.
pub const MAX_TAG: usize = 500;
/// Maximum number of `{% elif %}` in a template. Each nests in the one before.
pub const MAX_ELIFS: usize = 100;
/// The names of the values in every template.
pub const NAMES: [&str; 11] = [
    "payload", "headers", "query", "path", "body", "event", "rule", "endpoint", "attempt", "replay",
    "verified",
];

/// What a template is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// An action: [`NAMES`].
    Action,
    /// Part of a URL: as an action, and what is written out is percent-encoded, unless it comes from `urlencode`
    /// or is marked `| safe`.
    Url,
    /// A line of a file: as an action, and what is written out has no line break and no control character.
    Line,
    /// The body of an answer: as an action, and `actions`.
    Answer,
}

/// The templates of one rule set.
#[derive(Clone)]
pub struct Templates {
    shared: Arc<SharedEnvironment>,
    /// Whether those that are compiled next see `failure` too.
    of_failures: bool,
}

/// What all templates of a rule set share.
struct SharedEnvironment {
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
    shared: Arc<SharedEnvironment>,
    name: Arc<str>,
    /// Whether it looks into the payload.
    reads_payload: bool,
}

/// What is wrong with a template, for its author.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateError {
    /// The code of the diagnostic.
    pub code: &'static str,
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
            shared: Arc::new(SharedEnvironment {
                strict: RwLock::new(environment(&resolved, UndefinedBehavior::Strict)),
                lenient: environment(&resolved, UndefinedBehavior::Chainable),
                resolved,
            }),
            of_failures: false,
        }
    }

    /// The same, for templates that see `failure` too: those of `on_failure`.
    #[must_use]
    pub fn for_failures(&self) -> Self {
        Self {
            of_failures: true,
            ..self.clone()
        }
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

    /// Whether a secret may stand in the text.
    pub fn names_secret(&self) -> bool {
        self.compiled.is_some() && !scan(&self.source).secrets.is_empty()
    }

    /// The text as it stands in the rules file.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The parts of a request that it reads, with the names; for the loader, for it reads the text again.
    pub fn parts(&self) -> Vec<PartRead> {
        match self.compiled {
            Some(_) => scan(&self.source).parts,
            None => Vec::new(),
        }
    }

    /// Whether it looks into the payload, so that it yields nothing where that cannot be read.
    pub fn reads_payload(&self) -> bool {
        self.compiled
            .as_ref()
            .is_some_and(|compiled| compiled.reads_payload)
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
        let Some(Compiled { shared, name, .. }) = &self.compiled else {
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
            code: "template",
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

#[cfg(test)]
mod tests;
