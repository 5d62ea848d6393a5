//! Values of a request as templates: what a command gets as an argument, a variable or a file.

use super::go_template::{Named, named, unmarked};
use super::hooks::Argument;
use super::names::{PayloadName, attribute, escaped, header};
use super::notes::Notes;
use crate::reference::hooks_file::Source;

/// The template of a value. A missing value is empty, as adnanh/webhook passes it. `key` is the key of
/// the rule that takes it.
pub(super) fn template(argument: &Argument<'_>, key: &'static str, notes: &mut Notes) -> String {
    let node = argument.node;
    let name = argument.name.as_str();
    let value = |expression: String| format!("{{{{ {expression} | default(\"\") }}}}");
    match argument.source {
        Source::Text => match named(name) {
            Named::Nothing => literal(name),
            Named::Whole(secret) => {
                if let Some(variable) = secret.strip_prefix("env:") {
                    return format!("{{{{ secret(\"{}\") }}}}", escaped(variable, '"'));
                }
                let message = format!("a command can get secrets of variables only, not `{secret}`");
                let hint = "nothing is passed; let the command read it itself";
                notes.changed(node, key, "template", &message, hint);
                String::new()
            }
            Named::Part => {
                let message = "a text that is only in part a secret is not translated";
                notes.changed(node, key, "template", message, "its template is left out");
                literal(&unmarked(name))
            }
        },
        Source::Payload => value(PayloadName::of(name).expression()),
        Source::Header => value(header(name)),
        Source::Url | Source::Query => value(format!("query{}", attribute(name))),
        Source::Request => match name.to_ascii_lowercase().as_str() {
            "method" => "{{ method }}".to_owned(),
            "remote-addr" => {
                let message = "the address is passed without its port";
                notes.warn(
                    node,
                    key,
                    "remote-addr",
                    message,
                    "the port says nothing of the sender",
                );
                "{{ client.ip }}".to_owned()
            }
            _ => {
                let message = format!("a request has no `{name}`");
                notes.changed(
                    node,
                    key,
                    "unknown-source",
                    &message,
                    "`method` and `remote-addr` are known; nothing is passed",
                );
                String::new()
            }
        },
        Source::EntirePayload => "{{ payload | tojson }}".to_owned(),
        Source::EntireHeaders => {
            let message = "the headers are passed with names in lower case, and without credentials";
            notes.warn(
                node,
                key,
                "entire-headers",
                message,
                "pass what the command needs by name",
            );
            "{{ headers | tojson }}".to_owned()
        }
        Source::EntireQuery => "{{ query | tojson }}".to_owned(),
        Source::RawBody => "{{ body }}".to_owned(),
        Source::Template => {
            let message = "a template of Go is not translated";
            notes.changed(
                node,
                key,
                "template",
                message,
                "nothing is passed; write it again: `{{ payload.name }}`",
            );
            String::new()
        }
    }
}

/// A text as a template that writes it.
pub(super) fn literal(text: &str) -> String {
    if ["{{", "{%", "{#"].iter().any(|opening| text.contains(opening)) {
        format!("{{{{ \"{}\" }}}}", escaped(text, '"'))
    } else {
        text.to_owned()
    }
}
