//! Compilation of the YAML of an operator to an [`Operator`].
//!
//! Rejects operands of the wrong type, patterns beyond their limits, and lists that can never hold.
//! The test of a value is left to `operator.rs`.

use ipnet::IpNet;
use serde_json::{Number, Value};

use super::operator::{Choices, Operator, ValueType, folded, folded_value};
use super::threshold::{Relation, Threshold, instant};
use crate::base::diagnostic::{Diagnostic, Diagnostics};
use crate::base::jsonpath::NumericValue;
use crate::base::network;
use crate::base::patterns::Patterns;
use crate::base::yaml::{Node, unknown};

/// Type of the operand of an operator, as a schema describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operand {
    /// Any value.
    Value,
    /// A list of values.
    Values,
    Text,
    /// A number or an instant.
    Threshold,
    /// One or many networks.
    Networks,
    /// One or many names of [`types`].
    Types,
    /// A length, or its limits.
    Length,
}

/// All operators that test a value, with the type of the operand.
pub const OPERATORS: [(&str, Operand); 14] = [
    ("equals", Operand::Value),
    ("in", Operand::Values),
    ("prefix", Operand::Text),
    ("suffix", Operand::Text),
    ("contains", Operand::Value),
    ("matches", Operand::Text),
    ("glob", Operand::Text),
    ("gt", Operand::Threshold),
    ("gte", Operand::Threshold),
    ("lt", Operand::Threshold),
    ("lte", Operand::Threshold),
    ("in_cidr", Operand::Networks),
    ("type", Operand::Types),
    ("length", Operand::Length),
];
/// Further keys of a test: of all values, and modifiers of operators.
pub const MODIFIERS: [&str; 5] = ["exists", "every", "none", "as", "ignore_case"];
/// Operators of a length.
pub const LENGTH_OPERATORS: [&str; 5] = ["gt", "gte", "lt", "lte", "equals"];

/// Names of the types of a value.
pub fn types() -> [&'static str; 7] {
    ValueType::ALL.map(|(name, _)| name)
}

/// True if `name` is an operator, or stands beside one.
pub fn is_operator(name: &str) -> bool {
    OPERATORS.iter().any(|(known, _)| *known == name) || MODIFIERS.contains(&name)
}

impl Operator {
    /// Compiles the operator `name`. `None` if its operand is invalid, which is added to
    /// `diagnostics`.
    pub(super) fn compile(
        name: &str,
        node: Node<'_>,
        ignore_case: bool,
        patterns: &Patterns,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        let read = match name {
            "equals" => value(node, ignore_case).map(Self::Equals),
            "in" => return choices(node, ignore_case, diagnostics).map(Self::In),
            "prefix" => text(node, name).map(|text| Self::Prefix(fold(text, ignore_case))),
            "suffix" => text(node, name).map(|text| Self::Suffix(fold(text, ignore_case))),
            "contains" => value(node, ignore_case).map(Self::Contains),
            "matches" => text(node, name).and_then(|pattern| matches(node, pattern, ignore_case, patterns)),
            "glob" => text(node, name).and_then(|pattern| glob(node, pattern, ignore_case, patterns)),
            "gt" => limit(node, name).map(|limit| Self::Compare(Relation::Greater, limit)),
            "gte" => limit(node, name).map(|limit| Self::Compare(Relation::AtLeast, limit)),
            "lt" => limit(node, name).map(|limit| Self::Compare(Relation::Less, limit)),
            "lte" => limit(node, name).map(|limit| Self::Compare(Relation::AtMost, limit)),
            "in_cidr" => return many(node, name, diagnostics, cidr).map(Self::InCidr),
            "type" => return many(node, name, diagnostics, kind).map(Self::Type),
            "length" => return length(node, diagnostics).map(Self::Length),
            _ => Err(unknown_operator(name, node)),
        };
        read.map_err(|diagnostic| diagnostics.push(diagnostic)).ok()
    }
}

type Read<T> = Result<T, Diagnostic>;

fn unknown_operator(name: &str, node: Node<'_>) -> Diagnostic {
    let known = OPERATORS.iter().map(|(known, _)| *known).chain(MODIFIERS);
    let diagnostic = unknown(node.key_origin(), "unknown-operator", "operator", name, known);
    match name {
        "not" | "any" | "all" => diagnostic.hint(format!(
            "`{name}` stands beside selectors, not below one: `{name}: {}`",
            if name == "not" {
                "{$.ref: …}"
            } else {
                "[{$.ref: …}, {$.ref: …}]"
            }
        )),
        "regex" | "regexp" => {
            diagnostic.hint("regular expressions are `matches`; it compares the whole value")
        }
        "eq" => diagnostic.hint("did you mean `equals`?"),
        "startswith" | "starts_with" => diagnostic.hint("did you mean `prefix`?"),
        "endswith" | "ends_with" => diagnostic.hint("did you mean `suffix`?"),
        _ => diagnostic,
    }
}

pub(super) fn wrong(node: Node<'_>, message: impl Into<String>) -> Diagnostic {
    node.error("wrong-value", message)
}

fn fold(text: &str, ignore_case: bool) -> String {
    if ignore_case {
        folded(text)
    } else {
        text.to_owned()
    }
}

fn text<'d>(node: Node<'d>, name: &str) -> Read<&'d str> {
    node.as_str()
        .ok_or_else(|| wrong(node, format!("`{name}` wants text; put it in quotes")))
}

/// The YAML value as JSON; `None` for a value that JSON does not have.
pub(super) fn to_json(value: &serde_yaml::Value) -> Option<Value> {
    Some(match value {
        serde_yaml::Value::Null => Value::Null,
        serde_yaml::Value::Bool(value) => Value::Bool(*value),
        serde_yaml::Value::String(text) => Value::String(text.clone()),
        serde_yaml::Value::Number(number) => {
            let whole = number
                .as_i64()
                .map(Number::from)
                .or_else(|| number.as_u64().map(Number::from));
            Value::Number(match whole {
                Some(whole) => whole,
                None => Number::from_f64(number.as_f64()?)?,
            })
        }
        serde_yaml::Value::Sequence(items) => Value::Array(items.iter().map(to_json).collect::<Option<_>>()?),
        serde_yaml::Value::Mapping(members) => {
            let member = |(key, value): (&serde_yaml::Value, &serde_yaml::Value)| {
                Some((key.as_str()?.to_owned(), to_json(value)?))
            };
            Value::Object(members.iter().map(member).collect::<Option<_>>()?)
        }
        serde_yaml::Value::Tagged(_) => return None,
    })
}

/// Rejects integers of more than 64 bits: YAML reads them as floating point, so that other integers
/// would equal them.
pub(super) fn refuse_large(node: Node<'_>) -> Read<()> {
    let rounded = |value: &serde_yaml::Value| {
        let number = value.as_f64().unwrap_or_default();
        value.is_f64() && number.fract() == 0.0 && number.abs() >= 9_223_372_036_854_775_808.0
    };
    if rounded(node.value()) && !node.written().contains(['.', 'e', 'E']) {
        let written: String = node.written().chars().take(40).collect();
        let message = format!("`{written}` does not fit 64 bits and would be rounded");
        return Err(
            wrong(node, message).hint("compare two fields of the payload in a filter: `$[?@.a == @.b]`")
        );
    }
    node.items().into_iter().try_for_each(refuse_large)?;
    node.entries()
        .into_iter()
        .try_for_each(|(_, node)| refuse_large(node))
}

fn value(node: Node<'_>, ignore_case: bool) -> Read<Value> {
    refuse_large(node)?;
    let value = to_json(node.value())
        .ok_or_else(|| wrong(node, "JSON has no such value, so nothing ever equals it"))?;
    Ok(if ignore_case { folded_value(&value) } else { value })
}

/// The list of an `in`.
fn choices(node: Node<'_>, ignore_case: bool, diagnostics: &mut Diagnostics) -> Option<Choices> {
    choose_all(node, diagnostics, |node| value(node, ignore_case)).map(Choices::new)
}

/// Reads the list of an `in`. An empty list can never hold. Reports all errors in it.
pub(super) fn choose_all<T>(
    node: Node<'_>,
    diagnostics: &mut Diagnostics,
    read: impl Fn(Node<'_>) -> Read<T>,
) -> Option<Vec<T>> {
    if !node.value().is_sequence() {
        diagnostics.push(wrong(node, "`in` wants a list").hint("write `in: [a, b]`, or `equals: a`"));
        return None;
    }
    many(node, "in", diagnostics, read)
}

fn empty(node: Node<'_>, name: &str) -> Diagnostic {
    node.error("never-holds", format!("an empty `{name}` can never hold"))
}

/// One or more operands. Reports all errors among them.
fn many<T>(
    node: Node<'_>,
    name: &str,
    diagnostics: &mut Diagnostics,
    read: impl Fn(Node<'_>) -> Read<T>,
) -> Option<Vec<T>> {
    let nodes = node.one_or_many();
    if nodes.is_empty() {
        diagnostics.push(empty(node, name));
        return None;
    }
    let mut item = |node: Node<'_>| read(node).map_err(|diagnostic| diagnostics.push(diagnostic)).ok();
    let items: Vec<Option<T>> = nodes.into_iter().map(&mut item).collect();
    items.into_iter().collect()
}

fn matches(node: Node<'_>, pattern: &str, ignore_case: bool, patterns: &Patterns) -> Read<Operator> {
    patterns
        .regex(pattern, ignore_case)
        .map(Operator::Matches)
        .map_err(|why| node.error("invalid-regex", format!("invalid regular expression: {why}")))
}

fn glob(node: Node<'_>, pattern: &str, ignore_case: bool, patterns: &Patterns) -> Read<Operator> {
    patterns
        .glob(&fold(pattern, ignore_case))
        .map(Operator::Glob)
        .map_err(|why| node.error("invalid-glob", format!("invalid glob: {why}")))
}

fn limit(node: Node<'_>, name: &str) -> Read<Threshold<'static>> {
    refuse_large(node)?;
    match to_json(node.value()) {
        Some(Value::Number(number)) => Ok(Threshold::Number(NumericValue::of(&number))),
        Some(Value::String(text)) => instant(&text).map(Threshold::Instant).ok_or_else(|| {
            let message = format!("`{name}` wants a number or an RFC 3339 instant, not the text `{text}`");
            let hint = if NumericValue::of_text(&text).is_some() {
                format!("write `{name}: {text}`, or, if the value is text, `{{as: number, {name}: {text}}}`")
            } else {
                format!("write `{name}: 5`, or `{name}: \"2026-01-31T12:00:00Z\"`")
            };
            wrong(node, message).hint(hint)
        }),
        _ => Err(wrong(
            node,
            format!("`{name}` wants a number or an RFC 3339 instant"),
        )),
    }
}

fn cidr(node: Node<'_>) -> Read<IpNet> {
    network::parse(text(node, "in_cidr")?).ok_or_else(|| network::invalid(node))
}

fn kind(node: Node<'_>) -> Read<ValueType> {
    // A bare `null` is YAML's null, and its meaning is clear.
    let name = if node.value().is_null() {
        "null"
    } else {
        text(node, "type")?
    };
    ValueType::ALL
        .into_iter()
        .find(|(known, _)| *known == name)
        .map(|(_, kind)| kind)
        .ok_or_else(|| unknown(node.origin(), "unknown-value", "type", name, types()))
}

fn length(node: Node<'_>, diagnostics: &mut Diagnostics) -> Option<Vec<(Relation, u64)>> {
    let whole = |node: Node<'_>| {
        node.value()
            .as_u64()
            .ok_or_else(|| wrong(node, "a length is a whole number, 0 or more"))
    };
    let bound = |name: &str, node: Node<'_>| {
        let relation = match name {
            "gt" => Relation::Greater,
            "gte" => Relation::AtLeast,
            "lt" => Relation::Less,
            "lte" => Relation::AtMost,
            "equals" => Relation::Equal,
            _ => {
                return Err(unknown(
                    node.key_origin(),
                    "unknown-operator",
                    "operator of a length",
                    name,
                    LENGTH_OPERATORS,
                ));
            }
        };
        Ok((relation, whole(node)?))
    };
    if !node.is_mapping() {
        return whole(node)
            .map(|length| vec![(Relation::Equal, length)])
            .map_err(|diagnostic| diagnostics.push(diagnostic))
            .ok();
    }
    let entries = node.entries();
    if entries.is_empty() {
        diagnostics.push(
            node.error("empty-condition", "`length` asks nothing")
                .hint("write `length: {gt: 0}`"),
        );
        return None;
    }
    let mut read = |(name, node): (&str, Node<'_>)| {
        bound(name, node)
            .map_err(|diagnostic| diagnostics.push(diagnostic))
            .ok()
    };
    let bounds: Vec<Option<(Relation, u64)>> = entries.into_iter().map(&mut read).collect();
    bounds.into_iter().collect()
}
