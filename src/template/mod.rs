//! Templates: text with values in it, compiled once and rendered often.
//!
//! All templates of a rule set share one minijinja environment ([`Templates`]). A [`Template`] is
//! compiled at load and tried against an empty event, so that an unknown filter, function or name
//! is reported there. Rendering is strict: an undefined value is an error that names the
//! expression, never an empty text. Work and output are bounded ([`MAX_RENDERED`]). Text is written
//! unchanged, everything else as JSON. The values are left to the modules that render.

mod actions;
mod compile;
mod embedding;
mod engine;
mod expression;
mod filters;
mod fixed;
mod growth;
mod json;
mod json_text;
mod output;
mod pieces;
mod place;
mod scan;
mod tags;
mod work;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use minijinja::value::Object;
use minijinja::{Environment, ErrorKind, UndefinedBehavior, Value};
use parking_lot::{Mutex, RwLock};

use crate::base::json_plan::Plan;
use crate::template::engine::{MASKED, Resolved, environment};
use crate::template::scan::Scan;

pub use actions::{ACTION_FIELDS, BODY_FIELD, KnownActions, NamedAction, STATUS_FIELD};
pub use embedding::warn_of_values;
pub use expression::{Form, Value as PieceValue};
pub use fixed::fixed;
pub use json::{document_items, document_value, value as json_value};
pub use pieces::{TemplatePiece, pieces};
pub use place::{Place, Step};
pub use scan::{PartRead, is_template};

/// Maximum size of a render's output, in bytes.
pub const MAX_RENDERED: usize = 1 << 20;
/// Maximum size of a template's source, in bytes.
pub const MAX_SOURCE: usize = 64 << 10;
/// Maximum size of all different templates of a rules file, in bytes.
pub const MAX_SOURCES: usize = 2 << 20;
/// Maximum number of words, texts and signs in one tag. minijinja nests a chain such as `a.b.c`
/// once per link and compiles it recursively. A longer chain would overflow the stack.
pub const MAX_TAG: usize = 500;
/// Maximum number of `{% elif %}` in a template. Each is nested in the previous one.
pub const MAX_ELIFS: usize = 100;
/// Names of the values in every template.
pub const NAMES: [&str; 13] = [
    "payload", "headers", "query", "path", "body", "event", "client", "method", "rule", "endpoint",
    "attempt", "replay", "verified",
];

/// The purpose of a template, which sets its names and its escaping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// An action, with the values [`NAMES`].
    Action,
    /// A part of a URL: as an action, but output is percent-encoded. Output of `urlencode` or `|
    /// safe` is not.
    Url,
    /// A line of a file: as an action, but line breaks and control characters are escaped.
    Line,
    /// The body of a response.
    Answer,
}

/// The templates of one rule set.
#[derive(Clone)]
pub struct Templates {
    shared: Arc<SharedEnvironment>,
    /// True if templates compiled next have `failure` too.
    of_failures: bool,
    /// True if templates compiled next have `silence` too.
    of_silence: bool,
    /// True if templates compiled next have `item` too.
    of_elements: bool,
    /// The actions that templates compiled next may name.
    actions: KnownActions,
}

/// The shared state of all templates of a rule set.
struct SharedEnvironment {
    resolved: Resolved,
    /// The compiled templates. The source is the name, so that identical templates are stored once.
    strict: RwLock<Environment<'static>>,
    /// Tries templates at load. Stores none.
    lenient: Environment<'static>,
    /// The templates compiled so far.
    known: Mutex<KnownTemplates>,
}

/// Name of a template, and whether it knows `failure` and `silence`.
type TemplateKey = (Arc<str>, bool, bool);

/// The templates compiled so far. An equal text is compiled once.
#[derive(Default)]
struct KnownTemplates {
    /// The values that a template reads.
    reads: HashMap<TemplateKey, (ValuesRead, Arc<Scan>)>,
    /// Size of all different sources, in bytes.
    bytes: usize,
}

/// The values that a template reads.
#[derive(Clone, Copy)]
struct ValuesRead {
    payload: bool,
    item: bool,
    actions: bool,
}

/// A text that may contain values.
#[derive(Clone)]
pub struct Template {
    source: Arc<str>,
    /// `None` for a text without a template.
    compiled: Option<Compiled>,
}

/// The name of a compiled template, with its environment.
#[derive(Clone)]
struct Compiled {
    shared: Arc<SharedEnvironment>,
    name: Arc<str>,
    reads: ValuesRead,
    /// The names that the text uses.
    scan: Arc<Scan>,
}

/// An error in a template, for its author.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateError {
    /// The code of the diagnostic.
    pub code: &'static str,
    pub message: String,
    pub hint: Option<String>,
}

/// An error while rendering a template for an event. A retry cannot help.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenderError {
    message: String,
}

impl Templates {
    pub fn new() -> Self {
        let resolved = Resolved::default();
        Self {
            shared: Arc::new(SharedEnvironment {
                strict: RwLock::new(environment(&resolved, UndefinedBehavior::Strict)),
                lenient: environment(&resolved, UndefinedBehavior::Chainable),
                resolved,
                known: Mutex::default(),
            }),
            of_failures: false,
            of_silence: false,
            of_elements: false,
            actions: KnownActions::None("no action has run yet"),
        }
    }

    /// Returns the same templates with these `actions`.
    #[must_use]
    pub fn with_actions(&self, actions: KnownActions) -> Self {
        Self {
            actions,
            ..self.clone()
        }
    }

    /// Returns the same templates with `item` in addition, for a rule with `for_each`.
    #[must_use]
    pub fn for_elements(&self) -> Self {
        Self {
            of_elements: true,
            ..self.clone()
        }
    }

    /// Returns the same templates with `failure` in addition, for `on_failure`.
    #[must_use]
    pub fn for_failures(&self) -> Self {
        Self {
            of_failures: true,
            ..self.clone()
        }
    }

    /// Returns the same templates with `silence` in addition, for `on_silence`.
    #[must_use]
    pub fn for_silence(&self) -> Self {
        Self {
            of_silence: true,
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
    /// A literal text, even if it contains braces.
    pub fn fixed(text: &str) -> Self {
        Self {
            source: Arc::from(text),
            compiled: None,
        }
    }

    /// The text, if it contains no template.
    pub fn literal(&self) -> Option<&str> {
        self.compiled.is_none().then_some(&*self.source)
    }

    /// True if the template names a secret.
    pub fn names_secret(&self) -> bool {
        let compiled = self.compiled.as_ref();
        compiled.is_some_and(|compiled| !compiled.scan.secrets.is_empty())
    }

    /// The text as written in the rules file.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The parts of a request that the template reads, with the names.
    pub fn parts(&self) -> &[PartRead] {
        let compiled = self.compiled.as_ref();
        compiled.map_or(&[], |compiled| &compiled.scan.parts)
    }

    /// Adds the values that the template reads of a JSON payload to `plan`. What it reads otherwise,
    /// for example through a variable, is found in the whole payload.
    pub fn add_to(&self, plan: &mut Plan) {
        let Some(Compiled { shared, scan, .. }) = &self.compiled else {
            return;
        };
        for steps in &scan.payload {
            let at = steps.iter().fold(&mut *plan, |at, step| match step {
                Step::Name(name) => at.name(name),
                Step::Index(index) => at.index(i64::try_from(*index).unwrap_or(-1)),
            });
            at.all();
        }
        for path in &scan.paths {
            shared.resolved.add_to(path, plan);
        }
    }

    /// True if the template reads the payload, so that rendering fails if that could not be
    /// decoded.
    pub fn reads_payload(&self) -> bool {
        self.compiled
            .as_ref()
            .is_some_and(|compiled| compiled.reads.payload)
    }

    /// True if the template reads `actions`.
    pub fn reads_actions(&self) -> bool {
        self.compiled
            .as_ref()
            .is_some_and(|compiled| compiled.reads.actions)
    }

    /// Checks the actions that the template names.
    pub fn check_actions(&self, known: &KnownActions) -> Result<(), TemplateError> {
        match &self.compiled {
            Some(compiled) if compiled.reads.actions => known.check(&compiled.scan.actions),
            _ => Ok(()),
        }
    }

    /// Renders the template.
    pub fn render(&self, values: &Value) -> Result<String, RenderError> {
        self.render_with(values.clone())
    }

    /// As [`Template::render`], with `***` for every secret, for display.
    pub fn render_masked(&self, values: &Value) -> Result<String, RenderError> {
        self.render_with(Value::from_object(Masked(values.clone())))
    }

    fn render_with(&self, values: Value) -> Result<String, RenderError> {
        let Some(Compiled { shared, name, .. }) = &self.compiled else {
            return Ok(self.source.to_string());
        };
        let strict = shared.strict.read();
        let rendered = work::limited(|| {
            let template = strict.get_template(name)?;
            template.render(values)
        });
        let text = rendered
            .unwrap_or_else(|| Err(ErrorKind::OutOfFuel.into()))
            // A filter may have put a value, such as a secret, into its error.
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

/// minijinja's error in our words, with the expression that caused it.
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

/// Values that mask every secret.
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
