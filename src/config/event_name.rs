//! `event.name` in the templates of a rule: from where it is read, and where it means nothing.

use crate::base::diagnostic::Diagnostics;
use crate::base::patterns::Patterns;
use crate::base::yaml::Node;
use crate::payload::EventNameReader;
use crate::template::Template;
use crate::verify::EventName;

/// Returns the reader of a scheme's event names. `None` if a path is refused: `match` reports it.
pub fn reader(name: &EventName, patterns: &Patterns) -> Option<EventNameReader> {
    Some(match name {
        EventName::Header(header) => EventNameReader::Header(header.clone()),
        EventName::Payload(path) => EventNameReader::Payload(patterns.path(path).ok()?),
        EventName::Either(names) => {
            let readers = names.iter().map(|name| reader(name, patterns));
            EventNameReader::First(readers.collect::<Option<_>>()?)
        }
    })
}

/// Reports `event.name` in the templates of a rule whose scheme does not say where the name stands.
pub fn check_use<'t>(
    node: Node<'_>,
    mut templates: impl Iterator<Item = &'t Template>,
    diagnostics: &mut Diagnostics,
) {
    let names_it = |template: &Template| {
        let mut parts = template.parts().iter();
        parts.any(|part| part.part == "event" && part.name.as_deref() == Some("name"))
    };
    if !templates.any(names_it) {
        return;
    }
    let message =
        "`event.name` means nothing here: this verification does not say where the event's name stands";
    let diagnostic = node
        .get("actions")
        .unwrap_or(node)
        .error("no-event-name", message);
    diagnostics
        .push(diagnostic.hint("name the place: `headers.x_event_name`, or a value such as `payload.type`"));
}
