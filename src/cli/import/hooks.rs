//! A hooks file as values with their places.
//!
//! Values are read as Go reads them: names of properties in any case, and numbers as text where text
//! is wanted. Their meaning is left to the other files.

use crate::base::diagnostic::Diagnostics;
use crate::base::yaml::{Node, unknown};
use crate::reference::hooks_file::{Combination, MatchType, Property, Source};

/// A text with its place.
#[derive(Clone)]
pub(super) struct Text<'d> {
    pub(super) node: Node<'d>,
    pub(super) text: String,
}

/// A value of the request: `{"source": …, "name": …}`.
#[derive(Clone)]
pub(super) struct Argument<'d> {
    pub(super) node: Node<'d>,
    pub(super) source: Source,
    pub(super) name: String,
    pub(super) envname: Option<String>,
    pub(super) is_base64: bool,
}

/// A `trigger-rule`.
pub(super) enum Trigger<'d> {
    All(Vec<Self>),
    Any(Vec<Self>),
    Not(Box<Self>),
    Match(Box<Check<'d>>),
    /// None of these, so that it never holds.
    Never,
    /// A part that cannot be read. It must not count as a rule that fails: `not` would make it hold.
    Broken,
}

/// A `match` of a trigger rule.
pub(super) struct Check<'d> {
    pub(super) node: Node<'d>,
    pub(super) kind: MatchType,
    pub(super) parameter: Option<Argument<'d>>,
    /// The other side of the comparison: `value`, `regex`, `secret` or `ip-range`.
    pub(super) operand: Text<'d>,
}

/// A hook.
pub(super) struct Hook<'d> {
    pub(super) node: Node<'d>,
    properties: Vec<(Property, Node<'d>)>,
}

/// Reads the hooks of a file. `None` if it is no list of hooks.
pub(super) fn read<'d>(root: Node<'d>, diagnostics: &mut Diagnostics) -> Option<Vec<Hook<'d>>> {
    if !root.value().is_sequence() {
        diagnostics.push(
            root.error("hooks", "this is not a list of hooks")
                .hint("a hooks file is a list: `[{\"id\": …, \"execute-command\": …}]`"),
        );
        return None;
    }
    let hook = |node: Node<'d>| {
        if !node.is_mapping() {
            diagnostics.push(node.error("hooks", "a hook is a mapping of properties"));
            return None;
        }
        let mut properties = Vec::new();
        for (name, value) in node.entries() {
            match Property::named(name) {
                Some(property) => properties.push((property, value)),
                None => diagnostics.push(unknown(
                    value.key_origin(),
                    "unknown-property",
                    "property",
                    name,
                    Property::ALL.iter().map(|known| known.name()),
                )),
            }
        }
        Some(Hook { node, properties })
    };
    Some(root.items().into_iter().filter_map(hook).collect())
}

impl<'d> Hook<'d> {
    /// The value of a property, if there is one.
    pub(super) fn get(&self, property: Property) -> Option<Node<'d>> {
        let mut found = self.properties.iter().rev();
        let (_, node) = found.find(|(known, node)| *known == property && !node.value().is_null())?;
        Some(*node)
    }

    /// A text that is not empty.
    pub(super) fn text(&self, property: Property, diagnostics: &mut Diagnostics) -> Option<Text<'d>> {
        let text = text(self.get(property)?, diagnostics)?;
        (!text.text.is_empty()).then_some(text)
    }

    pub(super) fn flag(&self, property: Property, diagnostics: &mut Diagnostics) -> bool {
        self.get(property).is_some_and(|node| flag(node, diagnostics))
    }

    pub(super) fn number(
        &self,
        property: Property,
        diagnostics: &mut Diagnostics,
    ) -> Option<(Node<'d>, u64)> {
        let node = self.get(property)?;
        let number = node.value().as_u64();
        if number.is_none() {
            diagnostics.push(node.error("wrong-value", "a whole number is wanted here"));
        }
        number.filter(|number| *number > 0).map(|number| (node, number))
    }

    /// The items of a list.
    pub(super) fn items(&self, property: Property, diagnostics: &mut Diagnostics) -> Vec<Node<'d>> {
        let Some(node) = self.get(property) else {
            return Vec::new();
        };
        if !node.value().is_sequence() {
            diagnostics.push(node.error("wrong-value", "a list is wanted here"));
        }
        node.items()
    }

    /// A list of values of the request.
    pub(super) fn arguments(&self, property: Property, diagnostics: &mut Diagnostics) -> Vec<Argument<'d>> {
        let items = self.items(property, diagnostics);
        items
            .into_iter()
            .filter_map(|node| argument(node, diagnostics))
            .collect()
    }

    /// The trigger rule. What cannot be read never holds.
    pub(super) fn trigger(&self, diagnostics: &mut Diagnostics) -> Option<Trigger<'d>> {
        let node = self.get(Property::TriggerRule)?;
        Some(trigger(node, diagnostics))
    }
}

/// A scalar as text, as Go's reader of YAML makes it.
pub(super) fn text<'d>(node: Node<'d>, diagnostics: &mut Diagnostics) -> Option<Text<'d>> {
    let text = match node.value() {
        serde_yaml::Value::String(text) => text.clone(),
        serde_yaml::Value::Number(number) => number.to_string(),
        serde_yaml::Value::Bool(flag) => flag.to_string(),
        serde_yaml::Value::Null => String::new(),
        _ => {
            diagnostics.push(node.error("wrong-value", "text is wanted here"));
            return None;
        }
    };
    Some(Text { node, text })
}

fn flag(node: Node<'_>, diagnostics: &mut Diagnostics) -> bool {
    match node.value() {
        serde_yaml::Value::Bool(flag) => *flag,
        // Words that YAML 1.1 reads as booleans, if they stand without quotes.
        serde_yaml::Value::String(_) if matches!(node.written(), "yes" | "on") => true,
        serde_yaml::Value::String(_) if matches!(node.written(), "no" | "off") => false,
        _ => {
            diagnostics.push(node.error("wrong-value", "`true` or `false` is wanted here"));
            false
        }
    }
}

fn argument<'d>(node: Node<'d>, diagnostics: &mut Diagnostics) -> Option<Argument<'d>> {
    let mut of = |name: &str| {
        let node = member(node, name)?;
        text(node, diagnostics).map(|text| text.text)
    };
    let (source, name, envname) = (of("source"), of("name"), of("envname"));
    let is_base64 = member(node, "base64decode").is_some_and(|node| flag(node, diagnostics));
    let written = source.unwrap_or_default();
    let Some(source) = Source::ALL
        .iter()
        .copied()
        .find(|source| source.name() == written)
    else {
        let at = member(node, "source").unwrap_or(node);
        let known = Source::ALL.iter().map(|known| known.name());
        diagnostics.push(unknown(at.origin(), "unknown-source", "source", &written, known));
        return None;
    };
    Some(Argument {
        node,
        source,
        name: name.unwrap_or_default(),
        envname: envname.filter(|name| !name.is_empty()),
        is_base64,
    })
}

/// The value under a name in any case, if there is one.
pub(super) fn member<'d>(node: Node<'d>, name: &str) -> Option<Node<'d>> {
    let entries = node.entries();
    let mut found = entries.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name));
    found
        .next_back()
        .map(|(_, node)| *node)
        .filter(|node| !node.value().is_null())
}

fn trigger<'d>(node: Node<'d>, diagnostics: &mut Diagnostics) -> Trigger<'d> {
    let mut is_broken = !node.is_mapping();
    for (name, value) in node.entries() {
        if Combination::named(name).is_none() {
            is_broken = true;
            let known = Combination::ALL.iter().map(|known| known.name());
            diagnostics.push(unknown(
                value.key_origin(),
                "unknown-property",
                "rule",
                name,
                known,
            ));
        }
    }
    if is_broken {
        if !node.is_mapping() {
            diagnostics.push(node.error(
                "wrong-value",
                "a rule is a mapping: `and`, `or`, `not` or `match`",
            ));
        }
        return Trigger::Broken;
    }
    // adnanh/webhook takes the first of them that is there, in this order.
    for combination in Combination::ALL {
        let Some(value) = member(node, combination.name()) else {
            continue;
        };
        let mut list = || {
            if !value.value().is_sequence() {
                diagnostics.push(value.error("wrong-value", "a list of rules is wanted here"));
                return vec![Trigger::Broken];
            }
            value
                .items()
                .into_iter()
                .map(|item| trigger(item, diagnostics))
                .collect()
        };
        return match combination {
            Combination::And => Trigger::All(list()),
            Combination::Or => Trigger::Any(list()),
            Combination::Not => Trigger::Not(Box::new(trigger(value, diagnostics))),
            Combination::Match => match check(value, diagnostics) {
                Some(check) => Trigger::Match(Box::new(check)),
                None => Trigger::Broken,
            },
        };
    }
    diagnostics.push(node.error("never-holds", "an empty rule never holds"));
    Trigger::Never
}

fn check<'d>(node: Node<'d>, diagnostics: &mut Diagnostics) -> Option<Check<'d>> {
    let kind_node = member(node, "type").unwrap_or(node);
    let written = text(kind_node, diagnostics)?.text;
    let Some(kind) = MatchType::ALL.iter().copied().find(|kind| kind.name() == written) else {
        let known = MatchType::ALL.iter().map(|known| known.name());
        diagnostics.push(unknown(
            kind_node.origin(),
            "unknown-match",
            "type",
            &written,
            known,
        ));
        return None;
    };
    let operand = match kind {
        MatchType::Value => "value",
        MatchType::Regex => "regex",
        MatchType::IpWhitelist => "ip-range",
        _ => "secret",
    };
    let operand = match member(node, operand) {
        Some(node) => text(node, diagnostics)?,
        None => Text {
            node,
            text: String::new(),
        },
    };
    let parameter = member(node, "parameter");
    let needs_parameter = !matches!(kind, MatchType::IpWhitelist | MatchType::Scalr);
    if needs_parameter && parameter.is_none() {
        diagnostics.push(
            node.error("missing-key", "`parameter` is missing")
                .hint("the rule is written with `enabled: false`"),
        );
        return None;
    }
    let parameter = match parameter.filter(|_| needs_parameter) {
        Some(node) => Some(argument(node, diagnostics)?),
        None => None,
    };
    Some(Check {
        node,
        kind,
        parameter,
        operand,
    })
}
