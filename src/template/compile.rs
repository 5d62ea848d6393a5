//! Compilation of templates. Reports errors at load that minijinja would report only when a render
//! reaches them.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use minijinja::{ErrorKind, Value};

use crate::base::diagnostic::{Diagnostics, did_you_mean};
use crate::base::secret::Keyring;
use crate::base::yaml::Node;
use crate::template::growth::{MAX_GROWTH, MAX_LEVELS};
use crate::template::scan::{Scan, is_template, scan};
use crate::template::work;
use crate::template::{
    Compiled, KnownActions, MAX_ELIFS, MAX_SOURCE, MAX_SOURCES, MAX_TAG, Masked, NAMES, Scope, Template,
    TemplateError, Templates, ValuesRead, filters, output, words,
};

/// Fields of `event`.
const EVENT: [&str; 4] = ["event.id", "event.received_at", "event.name", "event.fired_by"];
/// Fields of `client`.
const CLIENT: [&str; 1] = ["client.ip"];
/// Fields of `failure`.
const FAILURE: [&str; 3] = ["failure.action", "failure.reason", "failure.output"];
/// Fields of `silence`.
const SILENCE: [&str; 5] = [
    "silence.endpoint",
    "silence.rule",
    "silence.last",
    "silence.expected",
    "silence.for",
];
/// Functions that templates may call.
const FUNCTIONS: [&str; 5] = ["jsonpath", "secret", "range", "dict", "now"];

/// Names beside [`NAMES`] that no template sets.
const RESERVED: [&str; 12] = [
    "actions", "failure", "silence", "item", "loop", "secret", "jsonpath", "now", "range", "dict", "true",
    "false",
];

/// Filters to suggest for a misspelled one.
const COMMON_FILTERS: [&str; 30] = [
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
    "round",
    "abs",
    "string",
    "fromjson",
    "b64decode",
    "b64encode",
    "sha256",
    "regex_replace",
    "datetimeformat",
    "list",
    "items",
    "sort",
    "unique",
    "map",
    "select",
    "indent",
];
/// Tests to suggest for a misspelled one.
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

impl Templates {
    /// The template in `node`. `None` after an error, which is added to `diagnostics`.
    pub fn read(
        &self,
        node: Node<'_>,
        scope: Scope,
        keyring: &Keyring,
        diagnostics: &mut Diagnostics,
    ) -> Option<Template> {
        let Some(source) = node.as_str() else {
            diagnostics.push(
                node.error("template", "this must be text")
                    .hint("put it in quotes"),
            );
            return None;
        };
        match self.build(source, scope, &keyring.at(node)) {
            Ok((template, doubts)) => {
                for doubt in doubts {
                    diagnostics.push(node.warning("secret", doubt));
                }
                Some(template)
            }
            Err(error) => {
                let diagnostic = node.error(error.code, error.message);
                diagnostics.push(match error.hint {
                    Some(hint) => diagnostic.hint(hint),
                    None => diagnostic,
                });
                None
            }
        }
    }

    /// Compiles a text and resolves the secrets that it names.
    pub fn compile(&self, source: &str, scope: Scope, keyring: &Keyring) -> Result<Template, TemplateError> {
        self.build(source, scope, keyring).map(|(template, _)| template)
    }

    /// Compiles a template, and returns warnings about its secrets.
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
        let name: Arc<str> = Arc::from(format!(
            "{}:{source}",
            match scope {
                Scope::Url => output::URL,
                Scope::Line => output::LINE,
                Scope::Action => "text",
                Scope::Answer => "answer",
            }
        ));
        let (reads, scan) = self.known(source, &name)?;
        if reads.item && !self.of_elements {
            let error = TemplateError::new("there is no `item` here");
            return Err(error.hint(
                "a rule with `for_each: $.alerts[*]` knows it in `actions`, `on_failure` and `concurrency.group`",
            ));
        }
        if reads.actions {
            self.actions.check(&scan.actions)?;
        }
        let doubts = self.resolve(&scan, keyring)?;
        let compiled = Compiled {
            shared: Arc::clone(&self.shared),
            name,
            reads,
            scan,
        };
        let template = Template {
            source: Arc::from(source),
            compiled: Some(compiled),
        };
        Ok((template, doubts))
    }

    /// Compiles a template, unless an equal one is known. Returns the values that it reads and the
    /// names that it uses.
    fn known(&self, source: &str, name: &Arc<str>) -> Result<(ValuesRead, Arc<Scan>), TemplateError> {
        let key = (Arc::clone(name), self.of_failures, self.of_silence);
        let mut known = self.shared.known.lock();
        if let Some((reads, found)) = known.reads.get(&key) {
            return Ok((*reads, Arc::clone(found)));
        }
        let found = Arc::new(scan(source));
        check_size(&found)?;
        known.bytes += source.len();
        if known.bytes > MAX_SOURCES {
            return Err(TemplateError::new(format!(
                "the different templates up to here have more than {MAX_SOURCES} bytes"
            ))
            .hint("write what they share once, for example in a script that gets the values as arguments"));
        }
        let reads = self.try_out(source, name, &found)?;
        let mut strict = self.shared.strict.write();
        strict
            .add_template_owned(name.to_string(), source.to_owned())
            .map_err(|error| TemplateError::new(words(&error, source)))?;
        known.reads.insert(key, (reads, Arc::clone(&found)));
        Ok((reads, found))
    }

    /// Reports errors that minijinja would report only when a render reaches them. Returns the
    /// values that the template reads.
    fn try_out(&self, source: &str, name: &str, found: &Scan) -> Result<ValuesRead, TemplateError> {
        let lenient = &self.shared.lenient;
        let template = lenient.template_from_named_str(name, source).map_err(|error| {
            TemplateError::new(words(&error, source))
                .hint("for `{{` as it stands write `{% raw %}…{% endraw %}`")
        })?;
        let names = template.undeclared_variables(true);
        self.check_names(&names)?;
        Self::check_blocks(found)?;
        self.check_calls(found)?;
        let rendered = work::limited(|| template.render(Value::from_object(Masked(nothing()))));
        if let Some(Err(error)) = rendered
            && is_of_the_template(error.kind())
        {
            return Err(TemplateError::new(words(&error, source)));
        }
        let reads = |value| names.iter().any(|name| name.split('.').next() == Some(value));
        Ok(ValuesRead {
            payload: !found.paths.is_empty() || reads("payload") || reads("item") || reads("silence"),
            item: reads("item"),
            actions: reads("actions"),
        })
    }

    /// Reports names that no value has.
    fn check_names(&self, used: &HashSet<String>) -> Result<(), TemplateError> {
        let mut names: BTreeSet<&str> = NAMES.into_iter().chain(FUNCTIONS).collect();
        // Which actions there are, and whether there is an `item`, is checked for each use: equal
        // templates are compiled once.
        if self.of_elements {
            names.insert("item");
        }
        if !matches!(self.actions, KnownActions::None(_)) {
            names.insert("actions");
        }
        if self.of_failures {
            names.insert("failure");
        }
        if self.of_silence {
            names.insert("silence");
        }
        for name in used {
            let top = name.split('.').next().unwrap_or_default();
            if top == "failure" && !self.of_failures {
                let error = TemplateError::new("there is no `failure` here");
                return Err(error.hint("the actions of `on_failure` know it"));
            }
            if top == "silence" && !self.of_silence {
                let error = TemplateError::new("there is no `silence` here");
                return Err(error.hint("the actions of `on_silence` know it"));
            }
            if !names.contains(top) && !["actions", "item"].contains(&top) {
                return Err(unknown("name", top, names));
            }
            for (of, fields) in [
                ("event", &EVENT[..]),
                ("client", &CLIENT[..]),
                ("failure", &FAILURE[..]),
                ("silence", &SILENCE[..]),
            ] {
                if top == of && name != of && !fields.contains(&name.as_str()) {
                    return Err(unknown("name", name, fields.iter().copied()));
                }
            }
        }
        Ok(())
    }

    /// Reports what would hide from the analysis of a template where its values come from.
    fn check_blocks(found: &Scan) -> Result<(), TemplateError> {
        if found.has_filter_block {
            let error = TemplateError::new("`{% filter … %}` is not taken");
            return Err(error.hint("write the filter behind the value: `{{ value | upper }}`"));
        }
        let reserved = |name: &&String| NAMES.contains(&name.as_str()) || RESERVED.contains(&name.as_str());
        if let Some(name) = found.sets.iter().find(reserved) {
            let error = TemplateError::new(format!("`{name}` has a meaning already and cannot be set"));
            return Err(error.hint("choose another name"));
        }
        Ok(())
    }

    /// Reports filters, tests and methods that do not exist, and arguments that are not literal.
    fn check_calls(&self, found: &Scan) -> Result<(), TemplateError> {
        let known = |kind: &str, name: &str| {
            self.shared
                .lenient
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
            let error = TemplateError::new(format!("values have no method `{method}`"));
            return Err(error.hint(format!(
                "use a filter: `value | {method}`, or a test: `'x' in value`"
            )));
        }
        if let Some(function) = found.not_literal.first() {
            let error = TemplateError::new(format!(
                "`{function}` takes one text, written out, because it is resolved at load"
            ));
            return Err(error.hint(match function.as_str() {
                "secret" => "write `secret('NAME')`",
                "map" => "write `list | map('upper')` or `list | map(attribute='name')`",
                "regex_replace" => "write `value | regex_replace('pattern', 'text')`",
                _ => "write `jsonpath('$.path')`",
            }));
        }
        Ok(())
    }

    /// Resolves the paths and secrets of a template. Returns warnings.
    fn resolve(&self, found: &Scan, keyring: &Keyring) -> Result<Vec<String>, TemplateError> {
        for path in &found.paths {
            self.shared
                .resolved
                .add_path(path)
                .map_err(|refused| TemplateError {
                    code: refused.code,
                    message: refused.message,
                    hint: refused.hint,
                })?;
        }
        for pattern in &found.regexes {
            self.shared.resolved.add_regex(pattern).map_err(|why| {
                TemplateError::new(format!("the pattern `{pattern}` of `regex_replace`: {why}"))
            })?;
        }
        for format in &found.formats {
            filters::parse_format(format).map_err(TemplateError::new)?;
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

/// Reports a template that takes too much to compile or to render.
fn check_size(found: &Scan) -> Result<(), TemplateError> {
    if found.longest > MAX_TAG {
        return Err(TemplateError::new(format!(
            "a tag of this template has {} words and signs; at most {MAX_TAG} are read",
            found.longest
        ))
        .hint("split it, or compute parts with `{% set name = … %}`"));
    }
    if found.elifs > MAX_ELIFS {
        return Err(TemplateError::new(format!(
            "this template has {} `elif`; at most {MAX_ELIFS} are read",
            found.elifs
        ))
        .hint("look values up instead: `{{ {'a': 1, 'b': 2}[payload.x] }}`"));
    }
    if found.growth.is_excessive() {
        return Err(TemplateError::new(format!(
            "a value of this template can grow beyond bounds: more than {MAX_GROWTH} parts, or nested \
             more than {MAX_LEVELS} levels deep"
        ))
        .hint("do not put a list into itself, and do not repeat lists of lists"));
    }
    Ok(())
}

/// The error "unknown filter `x`", with the closest known name.
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

/// True for errors that a render for any event would give. Others may not occur with a real event.
fn is_of_the_template(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::UnknownFilter
            | ErrorKind::UnknownTest
            | ErrorKind::UnknownFunction
            | ErrorKind::TooManyArguments
            | ErrorKind::MissingArgument
    )
}

/// The values of an event without content.
fn nothing() -> Value {
    let names = NAMES.into_iter().chain(["failure", "silence", "item"]);
    names.map(|name| (name, Value::UNDEFINED)).collect()
}
