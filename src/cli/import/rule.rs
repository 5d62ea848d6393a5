//! One hook as one rule, with the endpoint that it needs.

use serde_yaml::Value;

use super::answers::respond;
use super::checks::Reader;
use super::choose::{Chosen, choose};
use super::command::{action, is_of_body, reads_body};
use super::hooks::{Hook, Trigger};
use super::logic::{Condition, Formula};
use super::names::PayloadName;
use super::notes::Notes;
use super::yaml::{Map, Yaml};
use crate::base::diagnostic::{Diagnostic, Diagnostics};
use crate::base::yaml::Node;
use crate::reference::hooks_file::{Property, Source};

/// Methods of an endpoint.
const METHODS: [&str; 6] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"];

/// Settings for all hooks, from the command line of adnanh/webhook.
pub(super) struct Defaults {
    /// `-urlprefix`.
    pub(super) prefix: String,
    /// `-http-methods`; empty: all.
    pub(super) methods: Vec<String>,
    /// `-header`.
    pub(super) headers: Vec<(String, String)>,
}

/// A rule as it is written.
pub(super) struct Written<'d> {
    pub(super) node: Node<'d>,
    pub(super) path: String,
    /// Settings of the endpoint; empty if it needs none.
    pub(super) endpoint: Map,
    pub(super) rule: Map,
}

/// Translates a hook. `names`: the names of the rules so far. `None` if it can be no rule.
pub(super) fn rule<'d>(
    hook: &Hook<'d>,
    defaults: &Defaults,
    names: &mut Vec<String>,
    diagnostics: &mut Diagnostics,
) -> Option<Written<'d>> {
    let Some(id) = hook.text(Property::Id, diagnostics) else {
        diagnostics.push(
            hook.node
                .error("missing-key", "`id` is missing")
                .hint("the hook is left out"),
        );
        return None;
    };
    let mut notes = Notes::default();
    let Some(action) = action(hook, &mut notes, diagnostics) else {
        let message = format!("`{}` has no `execute-command`", id.text);
        diagnostics.push(
            hook.node
                .error("missing-key", message)
                .hint("the hook is left out"),
        );
        return None;
    };
    let trigger = hook.trigger(diagnostics);
    let mut reader = Reader {
        notes: &mut notes,
        candidates: Vec::new(),
        broken: false,
    };
    let formula = trigger
        .as_ref()
        .map_or(Formula::Constant(true), |trigger| reader.formula(trigger));
    let Reader {
        candidates, broken, ..
    } = reader;
    let chosen = choose(formula, &candidates, &mut notes);
    let at = hook.get(Property::TriggerRule).unwrap_or(id.node);
    if chosen.condition == Condition::Never && !broken {
        notes.warn(
            at,
            "enabled",
            "never-holds",
            "this rule can never hold",
            "it is written with `enabled: false`",
        );
    }
    let path = path(&defaults.prefix, &id.text);
    let endpoint = endpoint(hook, id.node, trigger.as_ref(), defaults, &mut notes, diagnostics);
    let mut rule = Map::new();
    rule.add_text("name", name(&id.text, names));
    rule.add_text("endpoint", &path);
    if broken || chosen.condition == Condition::Never {
        rule.add("enabled", Yaml::word("false"));
    }
    add_conditions(&mut rule, chosen, at, &mut notes);
    rule.add("actions", Yaml::Items(vec![action]));
    rule.add("retry", Map::new().with("attempts", Yaml::word("1")).into());
    rule.add(
        "respond",
        respond(hook, &defaults.headers, &mut notes, diagnostics).into(),
    );
    notes.comment(&mut rule);
    notes.into(diagnostics);
    Some(Written {
        node: id.node,
        path,
        endpoint,
        rule,
    })
}

/// Adds `allow`, `verify`, `on_duplicate` and `match`.
fn add_conditions(rule: &mut Map, chosen: Chosen, at: Node<'_>, notes: &mut Notes) {
    let Chosen {
        verify,
        tells_events_apart,
        allow,
        condition,
    } = chosen;
    if verify.is_none() {
        let (message, hint) = if allow.is_empty() {
            (
                "nothing proves who sends: anyone who knows the path can fire this hook",
                "`verify: none` says so; give the sender a secret, and see `hookyard schemes`",
            )
        } else {
            (
                "only the address says who sends",
                "`verify: none` says so; give the sender a secret, and see `hookyard schemes`",
            )
        };
        notes.warn(at, "verify", "unverified", message, hint);
    }
    if !allow.is_empty() {
        rule.add("allow", Yaml::List(allow.into_iter().map(Yaml::Text).collect()));
    }
    rule.add("verify", verify.unwrap_or_else(|| Yaml::text("none")));
    if !tells_events_apart {
        rule.add_text("on_duplicate", "run");
    }
    if let Some(conditions) = condition.entries() {
        rule.add("match", conditions.into());
    }
}

/// The settings of the endpoint.
fn endpoint(
    hook: &Hook<'_>,
    at: Node<'_>,
    trigger: Option<&Trigger<'_>>,
    defaults: &Defaults,
    notes: &mut Notes,
    diagnostics: &mut Diagnostics,
) -> Map {
    let mut endpoint = Map::new();
    let methods = methods(hook, at, trigger, defaults, notes, diagnostics);
    if methods != ["POST"] {
        endpoint.add(
            "methods",
            Yaml::List(methods.into_iter().map(Yaml::Text).collect()),
        );
    }
    if let Some(content_type) = hook.text(Property::PayloadContentType, diagnostics) {
        match decode(&content_type.text) {
            Some(decode) => endpoint.add_text("decode", decode),
            None => notes.changed(
                content_type.node,
                "endpoint",
                "content-type",
                "bodies of this type were not read",
                "now they are, as their own `Content-Type` says",
            ),
        }
    }
    let mut unpack = Map::new();
    for argument in hook.arguments(Property::ParseAsJson, diagnostics) {
        if argument.source == Source::Payload {
            unpack.add_text(PayloadName::of(&argument.name).json_path(), "json");
        } else {
            notes.changed(
                argument.node,
                "match",
                "unpack",
                "only values of the payload are read as JSON",
                "this value stays text; a template reads it by `| fromjson`",
            );
        }
    }
    if !unpack.is_empty() {
        endpoint.add("unpack", unpack.into());
    }
    endpoint
}

/// The methods of the endpoint, in upper case.
fn methods(
    hook: &Hook<'_>,
    at: Node<'_>,
    trigger: Option<&Trigger<'_>>,
    defaults: &Defaults,
    notes: &mut Notes,
    diagnostics: &mut Diagnostics,
) -> Vec<String> {
    let items = hook.items(Property::HttpMethods, diagnostics);
    let mut methods = Vec::new();
    for item in &items {
        let method = item.as_str().unwrap_or_default().trim().to_ascii_uppercase();
        if METHODS.contains(&method.as_str()) {
            methods.push(method);
        } else {
            let message = format!("`{method}` is not a method of an endpoint");
            let hint = "it is left out; if no other is left, `POST` stays";
            notes.changed(*item, "endpoint", "method", &message, hint);
        }
    }
    let is_stated = hook
        .get(Property::HttpMethods)
        .is_some_and(|node| node.value() != &Value::Sequence(Vec::new()));
    if methods.is_empty() && !is_stated {
        methods.clone_from(&defaults.methods);
    }
    if !methods.is_empty() {
        methods.dedup();
        return methods;
    }
    if is_stated || reads_body(hook) || trigger.is_some_and(asks_body) {
        return vec!["POST".to_owned()];
    }
    notes.tell(
        "endpoint",
        Diagnostic::note(
            at.origin(),
            "methods",
            "every method fired this hook, which reads nothing of the body",
        )
        .hint("`GET` and `POST` do now; if the URL is never opened in a browser, remove `GET`"),
    );
    vec!["GET".to_owned(), "POST".to_owned()]
}

/// True if a trigger rule asks something of the body.
fn asks_body(trigger: &Trigger<'_>) -> bool {
    match trigger {
        Trigger::All(parts) | Trigger::Any(parts) => parts.iter().any(asks_body),
        Trigger::Not(part) => asks_body(part),
        Trigger::Match(check) => {
            let parameter = check.parameter.as_ref();
            check.kind.algorithm().is_some() || parameter.is_some_and(|found| is_of_body(found.source))
        }
        Trigger::Never | Trigger::Broken => false,
    }
}

/// `decode` for a content type, which adnanh/webhook looks at in this order.
fn decode(content_type: &str) -> Option<&'static str> {
    if content_type.contains("json") {
        Some("json")
    } else if content_type.contains("x-www-form-urlencoded") {
        Some("form")
    } else if content_type.contains("xml") {
        Some("xml")
    } else if content_type.starts_with("multipart/form-data") {
        Some("multipart")
    } else {
        None
    }
}

/// A name for the rule that no other rule has.
fn name(id: &str, names: &mut Vec<String>) -> String {
    let is_letter = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.');
    let plain: String = id
        .chars()
        .map(|letter| if is_letter(letter) { letter } else { '-' })
        .take(100)
        .collect();
    let mut name = plain.clone();
    let mut number = 1;
    while names.contains(&name) {
        number += 1;
        name = format!("{plain}-{number}");
    }
    names.push(name.clone());
    name
}

/// The path of a hook, percent-encoded.
fn path(prefix: &str, id: &str) -> String {
    let mut path = String::new();
    for part in [prefix.trim_matches('/'), id] {
        if part.is_empty() {
            continue;
        }
        path.push('/');
        for byte in part.bytes() {
            let letter = char::from(byte);
            match letter {
                '{' | '}' => {
                    path.push(letter);
                    path.push(letter);
                }
                _ if byte.is_ascii_alphanumeric() || "-._~!$&'()*+,;=:@/".contains(letter) => {
                    path.push(letter);
                }
                _ => path.push_str(&format!("%{byte:02X}")),
            }
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_paths_are_made_of_ids() {
        let mut names = Vec::new();
        assert_eq!(name("a b", &mut names), "a-b");
        assert_eq!(name("a/b", &mut names), "a-b-2");
        for (prefix, id, expected) in [
            ("hooks", "deploy", "/hooks/deploy"),
            ("", "deploy", "/deploy"),
            ("/a/b/", "c d", "/a/b/c%20d"),
            ("hooks", "{x}", "/hooks/{{x}}"),
        ] {
            assert_eq!(path(prefix, id), expected);
        }
    }
}
