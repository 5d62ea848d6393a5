//! Table of the fields of an event record.

use crate::reference::markdown::table;

const FIELDS: [(&str, &str, &str); 15] = [
    ("id", "text", "the event's id"),
    ("received_at", "text", "the time of arrival, RFC 3339"),
    ("endpoint", "text", "the path of the endpoint"),
    ("rule", "text", "the name of the rule"),
    (
        "verified",
        "true or false",
        "`false` if `mode: observe` took an event that is not genuine",
    ),
    ("method", "text", "the request method"),
    ("path", "text", "the path of the request"),
    ("query", "text", "the query of the request, without `?`"),
    ("client", "text or null", "the client's address"),
    (
        "headers",
        "object",
        "headers by name, in lower case; several of one name are joined with `, `",
    ),
    ("payload", "any", "the decoded body"),
    ("item", "any", "with `for_each`: the element"),
    (
        "item_index",
        "number",
        "with `for_each`: the index of the element, from 0",
    ),
    (
        "fired_by",
        "text",
        "the user who made the event by `hookyard fire`",
    ),
    (
        "failure",
        "object",
        "in `on_failure`: `action`, `reason`, `output`",
    ),
];

/// Returns the table of the fields.
pub fn fields() -> String {
    let cells =
        |(name, kind, value): (&str, &str, &str)| [format!("`{name}`"), kind.to_owned(), value.to_owned()];
    table(["field", "type", "value"], FIELDS.map(cells))
}
