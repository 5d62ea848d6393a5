//! HTML of the page: templates with escaping, and the filters that they use.
//!
//! Everything that is shown may come from strangers. Each template is named `….html`, so that every
//! value is escaped. Only `part`, `time` and `duration` return markup, and they escape what they are
//! given.

use std::time::Duration;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Rest, Serde};
use minijinja::{Environment, Error, ErrorKind, State, UndefinedBehavior, Value};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC};
use serde::Serialize;

use crate::base::clock::{Clock, Timestamp};
use crate::base::count::counted;
use crate::event::ArrivalOutcome;

/// Maximum characters of a text in a row.
const ROW_TEXT: usize = 120;

/// The templates, by name.
const TEMPLATES: &[(&str, &str)] = &[
    ("layout.html", include_str!("templates/layout.html")),
    ("arrivals.html", include_str!("templates/arrivals.html")),
    ("arrival.html", include_str!("templates/arrival.html")),
    ("delivery.html", include_str!("templates/delivery.html")),
    ("rules.html", include_str!("templates/rules.html")),
    ("rule.html", include_str!("templates/rule.html")),
    ("queue.html", include_str!("templates/queue.html")),
    ("problems.html", include_str!("templates/problems.html")),
    ("try.html", include_str!("templates/try.html")),
    ("system.html", include_str!("templates/system.html")),
    ("error.html", include_str!("templates/error.html")),
    ("states.html", include_str!("templates/states.html")),
    ("chart.html", include_str!("templates/chart.html")),
    ("decision.html", include_str!("templates/decision.html")),
];

/// Characters that are encoded in a segment of a path: all but those that RFC 3986 calls unreserved.
const SEGMENT: AsciiSet = NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// The templates of the page.
#[derive(Debug)]
pub struct Html {
    environment: Environment<'static>,
}

impl Html {
    /// Compiles the templates. The error names the template that is wrong.
    pub fn new(clock: Clock) -> Result<Self, String> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::SemiStrict);
        let syntax = SyntaxConfig::builder()
            .trim_blocks(true)
            .lstrip_blocks(true)
            .build();
        environment.set_syntax(syntax.map_err(|error| error.to_string())?);
        environment.add_filter("time", move |text: &str| time(text, clock.now()));
        environment.add_filter("duration", |seconds: f64| duration(seconds));
        environment.add_filter("bytes", bytes);
        environment.add_filter("segment", segment);
        environment.add_filter("quantity", quantity);
        environment.add_filter("look", look);
        environment.add_filter("truncated", truncated);
        environment.add_filter("json", |value: Value| {
            serde_json::to_string(&value).unwrap_or_default()
        });
        environment.add_function("part", part);
        for (name, text) in TEMPLATES {
            let added = environment.add_template(name, text);
            added.map_err(|error| format!("the template `{name}`: {error:#}"))?;
        }
        Ok(Self { environment })
    }

    /// Renders a template.
    pub fn render(&self, template: &str, data: impl Serialize) -> Result<String, String> {
        let template = self.environment.get_template(template);
        let rendered = template.and_then(|template| template.render(Value::from(Serde(data))));
        rendered.map_err(|error| error.to_string())
    }
}

/// Renders another template with the named values: `part("states.html", of=arrival)`.
fn part(state: &State<'_, '_>, name: &str, values: Rest<Value>) -> Result<Value, Error> {
    let template = state.env().get_template(name)?;
    let values = values.0.into_iter().next().unwrap_or_default();
    Ok(Value::from_safe_string(template.render(values)?))
}

/// A time as `3 min ago`, with the exact time on hover. Other text is returned as it is.
fn time(text: &str, now: Timestamp) -> Value {
    let Some(at) = Timestamp::parse_rfc3339(text) else {
        return Value::from(text);
    };
    let (since, until) = (now.since(at), at.since(now));
    let words = if until > Duration::from_secs(1) {
        format!("in {}", rough(until))
    } else if since < Duration::from_secs(2) {
        "now".to_owned()
    } else {
        format!("{} ago", rough(since))
    };
    // A parsed time has no character that HTML knows.
    let exact = at.to_string();
    let shown = exact.replacen('T', " ", 1).replace('Z', " UTC");
    Value::from_safe_string(format!(
        "<time datetime=\"{exact}\" title=\"{shown}\">{words}</time>"
    ))
}

/// A duration in its largest unit.
fn rough(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// A duration in seconds as people write it: `350 ms`, `4.2 s`, `3 min 20 s`.
fn duration(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 0.0 {
        return "unknown".to_owned();
    }
    let whole = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
    let (minutes, rest) = (whole.as_secs() / 60, whole.as_secs() % 60);
    match whole.as_secs() {
        0 => format!("{} ms", whole.as_millis()),
        1..60 => format!("{seconds:.1} s"),
        60..3600 if rest == 0 => format!("{minutes} min"),
        60..3600 => format!("{minutes} min {rest} s"),
        3600..172_800 => format!("{} h {} min", minutes / 60, minutes % 60),
        _ => format!("{} days {} h", minutes / 1440, minutes % 1440 / 60),
    }
}

/// A number of bytes with its unit.
fn bytes(number: u64) -> String {
    bytesize::ByteSize(number).display().iec().to_string()
}

/// A number with its noun: `1 event`, `2,000 events`.
fn quantity(number: u64, noun: &str) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    counted(number, noun).replacen(&digits, &grouped, 1)
}

/// The class of an outcome of an arrival.
fn look(outcome: &str) -> &'static str {
    match outcome.parse() {
        Ok(ArrivalOutcome::Accepted | ArrivalOutcome::Fired) => "ok",
        Ok(ArrivalOutcome::Ignored | ArrivalOutcome::Duplicate | ArrivalOutcome::Handshake) => "",
        Ok(_) | Err(_) => "bad",
    }
}

/// The beginning of a text, for a row.
fn truncated(text: &str) -> String {
    let mut shown: String = text.chars().take(ROW_TEXT).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}

/// Percent-encodes a segment of a path.
fn segment(text: &str) -> Result<String, Error> {
    if text.len() > 4096 {
        return Err(Error::new(ErrorKind::InvalidOperation, "the name is too long"));
    }
    Ok(percent_encoding::utf8_percent_encode(text, &SEGMENT).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_templates_compile() {
        Html::new(Clock::system()).unwrap();
    }

    #[test]
    fn times_are_relative_and_exact() {
        let now = Timestamp::parse_rfc3339("2026-11-30T12:00:00Z").unwrap();
        for (text, expected) in [
            ("2026-11-30T11:59:59Z", ">now<"),
            ("2026-11-30T11:59:20Z", ">40 s ago<"),
            ("2026-11-30T11:03:00Z", ">57 min ago<"),
            ("2026-11-29T11:00:00Z", ">25 h ago<"),
            ("2026-11-20T11:00:00Z", ">10 days ago<"),
            ("2026-11-30T12:00:30Z", ">in 30 s<"),
        ] {
            let shown = time(text, now).to_string();
            assert!(shown.contains(expected), "{shown}");
            assert!(shown.contains("title=\"2026-11-"), "{shown}");
        }
        assert_eq!(time("<b>", now), Value::from("<b>"));
    }

    #[test]
    fn durations_and_quantities_have_units() {
        for (seconds, expected) in [
            (0.35, "350 ms"),
            (4.25, "4.2 s"),
            (200.0, "3 min 20 s"),
            (600.0, "10 min"),
            (7260.0, "2 h 1 min"),
            (1e6, "11 days 13 h"),
            (f64::NAN, "unknown"),
        ] {
            assert_eq!(duration(seconds), expected);
        }
        assert_eq!(quantity(1, "event"), "1 event");
        assert_eq!(quantity(1_234_567, "event"), "1,234,567 events");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(segment("a/b c").unwrap(), "a%2Fb%20c");
    }
}
