//! Compilation of `as`, and of the operators that stand beside it.

use crate::base::diagnostic::{Diagnostic, Diagnostics};
use crate::base::jsonpath::NumericValue;
use crate::base::yaml::{Node, unknown};
use crate::matching::operand::{choose_all, refuse_large, to_json, wrong};
use crate::matching::operator::Operator;
use crate::matching::reading::{ReadTest, Reading};
use crate::matching::threshold::{Relation, Threshold, instant};

/// The operators that stand beside `as`.
pub const OPERATORS: [&str; 6] = ["equals", "in", "gt", "gte", "lt", "lte"];

/// Compiles the operand of `as`. `None` after an error.
pub(super) fn reading(node: Node<'_>, diagnostics: &mut Diagnostics) -> Option<Reading> {
    match node.as_str() {
        Some(typed) => {
            let found = Reading::ALL.into_iter().find(|reading| reading.name() == typed);
            if found.is_some() {
                return found;
            }
            let known = Reading::ALL.map(Reading::name);
            diagnostics.push(unknown(
                node.origin(),
                "unknown-value",
                "operand of `as`",
                typed,
                known,
            ));
        }
        None => diagnostics.push(wrong(node, "`as` is `number` or `time`")),
    }
    None
}

/// Compiles the operator `name` that stands beside `as`.
pub(super) fn operator(
    reading: Reading,
    name: &str,
    node: Node<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<Operator> {
    let relation = match name {
        "equals" | "in" => Relation::Equal,
        "gt" => Relation::Greater,
        "gte" => Relation::AtLeast,
        "lt" => Relation::Less,
        "lte" => Relation::AtMost,
        _ => {
            diagnostics.push(refused(reading, name, node));
            return None;
        }
    };
    let limits = if name == "in" {
        choose_all(node, diagnostics, |node| limit(reading, name, node))?
    } else {
        let limit = limit(reading, name, node);
        vec![limit.map_err(|diagnostic| diagnostics.push(diagnostic)).ok()?]
    };
    Some(Operator::Read(ReadTest {
        reading,
        relation,
        limits,
    }))
}

fn refused(reading: Reading, name: &str, node: Node<'_>) -> Diagnostic {
    let kind = reading.name();
    let known = OPERATORS.map(|name| format!("`{name}`")).join(", ");
    let message = format!("`{name}` cannot stand beside `as: {kind}`, only {known}");
    Diagnostic::error(node.key_origin(), "unknown-operator", message).hint(format!(
        "for both, repeat the selector: `all: [{{…: {{as: {kind}, …}}}}, {{…: {{{name}: …}}}}]`"
    ))
}

fn limit(reading: Reading, name: &str, node: Node<'_>) -> Result<Threshold<'static>, Diagnostic> {
    let diagnostic = match (reading, to_json(node.value())) {
        (Reading::Number, Some(serde_json::Value::Number(number))) => {
            refuse_large(node)?;
            return Ok(Threshold::Number(NumericValue::of(&number)));
        }
        (Reading::Number, _) => wrong(node, format!("`{name}` beside `as: number` wants a number"))
            .hint("write `{as: number, gt: 5}`, without quotes round the number"),
        (Reading::Time, Some(serde_json::Value::String(text))) => match instant(&text) {
            Some(instant) => return Ok(Threshold::Instant(instant)),
            None => wrong(node, format!("`{text}` is no RFC 3339 timestamp")),
        },
        (Reading::Time, _) => wrong(
            node,
            format!("`{name}` beside `as: time` wants an RFC 3339 timestamp"),
        ),
    };
    Err(match reading {
        Reading::Number => diagnostic,
        Reading::Time => diagnostic.hint("write `{as: time, gt: \"2026-01-31T12:00:00Z\"}`"),
    })
}
