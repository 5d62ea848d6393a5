//! Selectors of a condition: a `JSONPath` into the payload, or a part of the request.
//!
//! Values with a name that suggests a credential are redacted in everything that is shown.
//! Evaluation once per event is left to `facts.rs`.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use http::HeaderName;

use crate::base::diagnostic::{Diagnostic, Diagnostics, did_you_mean};
use crate::base::json::JsonTree;
use crate::base::json_plan::Plan;
use crate::base::jsonpath::JsonPath;
use crate::base::patterns::Patterns;
use crate::base::yaml::Node;
use crate::matching::selected::{Element, Selected, SelectedValue};
use crate::payload::{Event, Payload, View};
use crate::verify::{EventName, Reads};

/// All selectors, as a hint lists them.
const KNOWN: &str = "a JSONPath such as `$.ref`, `event`, `header.NAME`, `query.NAME`, `path.NAME`, `method`, \
                     `client.ip`, `body`, `@` and `@.status` of an element, and the groups `all`, `any`, `not`";

/// Selectors that are a word.
pub const WORDS: [&str; 4] = ["event", "method", "body", "client.ip"];
/// Selectors that a name follows, after a point.
pub const NAMED: [&str; 3] = ["header", "query", "path"];
/// Groups of conditions, which stand beside selectors.
pub const GROUPS: [&str; 3] = ["all", "any", "not"];

/// Parts of a selector's name that mark its value as a possible credential.
const QUIET: [&str; 9] = [
    "authorization",
    "cookie",
    "credential",
    "api-key",
    "apikey",
    "passw",
    "secret",
    "signature",
    "token",
];

/// True if a name suggests that its value is a credential.
pub fn suggests_credential(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    QUIET.iter().any(|word| name.contains(word))
}

/// A selector with its text.
#[derive(Debug)]
pub(super) struct Selector {
    /// The text as written in the rules file.
    pub(super) written: String,
    /// The identity of the selector. Equal keys select the same values. The text is no identity:
    /// header names ignore case, and `event` depends on the scheme.
    key: String,
    /// Redacts the values in everything that is shown.
    quiet: bool,
    /// The view of the payload that the selector reads. `None`: that of the endpoint.
    view: Option<View>,
    source: SelectorSource,
}

/// The source of the values.
#[derive(Debug)]
enum SelectorSource {
    /// At most one value of the payload.
    One(Arc<JsonPath>),
    /// Any number of values of the payload.
    Many(Arc<JsonPath>),
    Header(HeaderName),
    Query(String),
    Path(String),
    Method,
    ClientIp,
    Body,
    /// At most one value below the element.
    OneOfElement(Arc<JsonPath>),
    /// Any number of values below the element.
    ManyOfElement(Arc<JsonPath>),
    /// The values of the first source that has any.
    First(Vec<Self>),
}

impl Selector {
    /// Compiles the selector that is the key of `node`.
    pub(super) fn compile(
        written: &str,
        node: Node<'_>,
        event_name: Option<&EventName>,
        has_elements: bool,
        patterns: &Patterns,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        let source = match written.split_once('.') {
            _ if written.starts_with('$') => json_path(written, patterns),
            _ if written.starts_with('@') => element(written, has_elements, patterns),
            Some(("header", name)) => header(name),
            Some(("query", name)) if !name.is_empty() => Ok(SelectorSource::Query(name.to_owned())),
            Some(("path", name)) if !name.is_empty() => Ok(SelectorSource::Path(name.to_owned())),
            Some(("client", "ip")) => Ok(SelectorSource::ClientIp),
            None if written == "method" => Ok(SelectorSource::Method),
            None if written == "body" => Ok(SelectorSource::Body),
            None if written == "event" => event(event_name, patterns),
            _ => Err(unknown(written)),
        };
        match source {
            Ok(source) => {
                let name = written.to_ascii_lowercase();
                Some(Self {
                    key: match (&source, event_name) {
                        (SelectorSource::Header(_), _) if written != "event" => name.clone(),
                        (_, Some(place)) if written == "event" => format!("event at {place:?}"),
                        _ => written.to_owned(),
                    },
                    written: written.to_owned(),
                    quiet: suggests_credential(&name),
                    view: None,
                    source,
                })
            }
            Err(Wrong { code, message, hint }) => {
                let mut diagnostic = Diagnostic::error(node.key_origin(), code, message);
                diagnostic.hint = hint;
                diagnostics.push(diagnostic);
                None
            }
        }
    }

    /// The identity of the selector. Selectors with the same key share one entry in the table.
    pub(super) fn key(&self) -> &str {
        &self.key
    }

    /// True if the values are redacted.
    pub(super) fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// True if the values are always text.
    pub(super) fn is_text(&self) -> bool {
        self.source.is_text()
    }

    /// True if a value may be text that is a number or a time.
    pub(super) fn is_readable(&self) -> bool {
        !matches!(self.source, SelectorSource::Method | SelectorSource::ClientIp)
    }

    /// True if the selector has at most one value.
    pub(super) fn is_single(&self) -> bool {
        !matches!(
            self.source,
            SelectorSource::Many(_)
                | SelectorSource::ManyOfElement(_)
                | SelectorSource::Header(_)
                | SelectorSource::Query(_)
                | SelectorSource::First(_)
        )
    }

    /// True if the selector is cheap enough to evaluate for every event. Only a path that searches
    /// the payload is not.
    pub(super) fn is_cheap(&self) -> bool {
        !matches!(self.source, SelectorSource::Many(_)) && !self.is_of_element()
    }

    /// True if the selector looks at the element of a rule with `for_each`.
    pub(super) fn is_of_element(&self) -> bool {
        matches!(
            self.source,
            SelectorSource::OneOfElement(_) | SelectorSource::ManyOfElement(_)
        )
    }

    /// True if the selector reads below the payload's root.
    pub(super) fn needs_structure(&self) -> bool {
        match &self.source {
            SelectorSource::One(path) | SelectorSource::Many(path) => !path.is_root(),
            _ => self.is_of_element(),
        }
    }

    /// The parts of a request that the selector reads beside the body.
    pub(super) fn reads(&self) -> Reads {
        self.source.reads()
    }

    /// True if the selector reads the payload at all.
    pub(super) fn reads_payload(&self) -> bool {
        self.source.reads_payload()
    }

    /// Adds the values that the selector reads of a JSON payload to `plan`.
    pub(super) fn add_to(&self, plan: &mut Plan) {
        // A view is unpacked, and so read as a whole.
        if self.view.is_none() {
            self.source.add_to(plan);
        }
    }

    /// Reads this view of the payload.
    pub(super) fn read_in(&mut self, view: View) {
        // Rules with another view must not share its values.
        if self.reads_payload() {
            self.key = format!("view {view}: {}", self.key);
            self.view = Some(view);
        }
    }

    /// The view of the payload that the selector reads. `None`: that of the endpoint.
    pub(super) fn view(&self) -> Option<View> {
        self.view
    }

    /// Redacts the values, whatever the selector's name.
    pub(super) fn redact(&mut self) {
        self.quiet = true;
    }

    /// The values that the selector finds in `event`. `covered` says that the plan by which the
    /// payload was read covers the selector. Without an element, a selector of the element finds
    /// nothing.
    pub(super) fn select<'e>(
        &self,
        event: &'e Event,
        covered: bool,
        element: Option<Element<'e>>,
    ) -> Selected<'e> {
        match &self.source {
            SelectorSource::OneOfElement(path) => element.map_or(Selected::Nothing, |element| {
                path.select_one(element.value)
                    .map(|value| SelectedValue::Json(value, &element.tree.integers))
                    .into_iter()
                    .collect()
            }),
            SelectorSource::ManyOfElement(path) => element.map_or(Selected::Nothing, |element| {
                let JsonTree { value, integers } = element.tree;
                let selected = path.select_below(element.value, value, integers);
                let values = selected.into_iter();
                Selected::Many(values.map(|value| SelectedValue::Json(value, integers)).collect())
            }),
            source => {
                let payload = event.payload_in(self.view);
                source.select(event, payload, covered && self.view.is_none())
            }
        }
    }
}

impl SelectorSource {
    /// The parts of a request that the source reads beside the body.
    fn reads(&self) -> Reads {
        let mut reads = Reads::default();
        match self {
            Self::Header(name) => reads.headers.push(name.clone()),
            Self::Query(name) => reads.query.push(name.clone()),
            Self::Path(_) => reads.path = true,
            Self::Method => reads.method = true,
            Self::First(parts) => parts.iter().for_each(|part| reads.extend(part.reads())),
            Self::One(_)
            | Self::Many(_)
            | Self::ClientIp
            | Self::Body
            | Self::OneOfElement(_)
            | Self::ManyOfElement(_) => {}
        }
        reads
    }

    /// True if the values are always text.
    fn is_text(&self) -> bool {
        match self {
            Self::One(_) | Self::Many(_) | Self::OneOfElement(_) | Self::ManyOfElement(_) => false,
            Self::First(parts) => parts.iter().all(Self::is_text),
            _ => true,
        }
    }

    /// True if values may come from the payload.
    fn reads_payload(&self) -> bool {
        match self {
            Self::One(_) | Self::Many(_) | Self::OneOfElement(_) | Self::ManyOfElement(_) => true,
            Self::First(parts) => parts.iter().any(Self::reads_payload),
            _ => false,
        }
    }

    fn add_to(&self, plan: &mut Plan) {
        match self {
            Self::One(path) | Self::Many(path) => path.add_to(plan),
            // Elements are kept whole.
            Self::OneOfElement(path) | Self::ManyOfElement(path) => path.add_root_queries_to(plan),
            Self::First(parts) => parts.iter().for_each(|part| part.add_to(plan)),
            Self::Header(_) | Self::Query(_) | Self::Path(_) | Self::Method | Self::ClientIp | Self::Body => {
            }
        }
    }

    fn select<'e>(&self, event: &'e Event, payload: &'e Payload, covered: bool) -> Selected<'e> {
        let received = &event.received;
        let tree_for = |path: &JsonPath| {
            if covered {
                payload.document.parts()
            } else {
                payload.document.tree_for(path)
            }
        };
        match self {
            SelectorSource::One(_) | SelectorSource::Many(_) if payload.decode_error.is_some() => {
                Selected::Nothing
            }
            SelectorSource::First(parts) => {
                let mut selected = parts.iter().map(|part| part.select(event, payload, covered));
                let found = selected.find(|selected| !selected.values().is_empty());
                found.unwrap_or(Selected::Nothing)
            }
            SelectorSource::One(path) => {
                let JsonTree { value, integers } = tree_for(path);
                path.select_one(&**value)
                    .map(|value| SelectedValue::Json(value, integers))
                    .into_iter()
                    .collect()
            }
            SelectorSource::Many(path) => {
                let JsonTree { value, integers } = tree_for(path);
                let selected = path.select(&**value, integers).into_iter();
                Selected::Many(
                    selected
                        .map(|value| SelectedValue::Json(value, integers))
                        .collect(),
                )
            }
            SelectorSource::Header(name) => {
                let values = received.headers.get_all(name).iter();
                values.map(|value| bytes(value.as_bytes())).collect()
            }
            SelectorSource::Query(name) => form_urlencoded::parse(received.query.as_bytes())
                .filter(|(key, _)| key == name)
                .map(|(_, value)| SelectedValue::Text(value))
                .collect(),
            SelectorSource::Path(name) => text(received.parameter(name)),
            SelectorSource::Method => text(Some(received.method.as_str())),
            SelectorSource::ClientIp => received
                .client
                .map(|client| SelectedValue::Text(Cow::Owned(plain(client).to_string())))
                .into_iter()
                .collect(),
            SelectorSource::Body => Selected::One(bytes(&received.body)),
            // An event has no element by itself.
            SelectorSource::OneOfElement(_) | SelectorSource::ManyOfElement(_) => Selected::Nothing,
        }
    }
}

/// Maps an IPv4-mapped IPv6 address to its IPv4 address.
pub(super) fn plain(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

fn text(text: Option<&str>) -> Selected<'_> {
    text.map(|text| SelectedValue::Text(Cow::Borrowed(text)))
        .into_iter()
        .collect()
}

fn bytes(bytes: &[u8]) -> SelectedValue<'_> {
    std::str::from_utf8(bytes).map_or(SelectedValue::Opaque, |text| {
        SelectedValue::Text(Cow::Borrowed(text))
    })
}

/// The reason for rejecting a selector.
struct Wrong {
    code: &'static str,
    message: String,
    hint: Option<String>,
}

fn json_path(written: &str, patterns: &Patterns) -> Result<SelectorSource, Wrong> {
    match patterns.path(written) {
        Ok(path) if path.is_singular() => Ok(SelectorSource::One(path)),
        Ok(path) => Ok(SelectorSource::Many(path)),
        Err(refused) => Err(Wrong {
            code: refused.code,
            message: refused.message,
            hint: refused.hint,
        }),
    }
}

/// A path that begins with `@`, the element.
fn element(written: &str, has_elements: bool, patterns: &Patterns) -> Result<SelectorSource, Wrong> {
    let below = written.strip_prefix('@').unwrap_or_default();
    if !has_elements {
        return Err(Wrong {
            code: "unknown-selector",
            message: format!("`{written}` looks at an element, and this rule has no `for_each`"),
            hint: Some(format!(
                "add `for_each: $.alerts[*]` to the rule, or look at the payload: `${below}`"
            )),
        });
    }
    json_path(&format!("${below}"), patterns).map(|source| match source {
        SelectorSource::One(path) => SelectorSource::OneOfElement(path),
        SelectorSource::Many(path) => SelectorSource::ManyOfElement(path),
        other => other,
    })
}

fn header(name: &str) -> Result<SelectorSource, Wrong> {
    HeaderName::from_bytes(name.as_bytes())
        .map(SelectorSource::Header)
        .map_err(|_not_a_name| Wrong {
            code: "unknown-selector",
            message: format!("`{name}` is no name of a header"),
            hint: Some("write `header.X-GitHub-Event`".to_owned()),
        })
}

fn event(event_name: Option<&EventName>, patterns: &Patterns) -> Result<SelectorSource, Wrong> {
    match event_name {
        Some(EventName::Header(name)) => Ok(SelectorSource::Header(name.clone())),
        Some(EventName::Payload(path)) => json_path(path, patterns),
        Some(EventName::Either(places)) => {
            let parts: Result<Vec<SelectorSource>, Wrong> =
                places.iter().map(|place| event(Some(place), patterns)).collect();
            parts.map(SelectorSource::First)
        }
        None => Err(Wrong {
            code: "no-event-name",
            message:
                "`event` means nothing here: this verification does not say where the event's name stands"
                    .to_owned(),
            hint: Some("name the place: `header.X-Event-Name`, or a JSONPath such as `$.type`".to_owned()),
        }),
    }
}

fn unknown(written: &str) -> Wrong {
    let (first, rest) = written.split_once('.').unwrap_or((written, ""));
    let near = match did_you_mean(first, NAMED) {
        Some(near) if !rest.is_empty() => Some(format!("{near}.{rest}")),
        _ => did_you_mean(written, WORDS.into_iter().chain(GROUPS)).map(str::to_owned),
    };
    let plain = !written.is_empty()
        && written
            .chars()
            .all(|letter| letter.is_ascii_alphanumeric() || "._[]*".contains(letter));
    let hint = match (near, written.strip_prefix("payload.")) {
        (_, Some(path)) => format!("the payload is `$`: did you mean `$.{path}`?"),
        (Some(near), None) => format!("did you mean `{near}`? known are {KNOWN}"),
        (None, None) if plain && !NAMED.contains(&first) => {
            format!("the payload's field is `$.{written}`; known are {KNOWN}")
        }
        _ => format!("known are {KNOWN}"),
    };
    Wrong {
        code: "unknown-selector",
        message: format!("unknown selector `{written}`"),
        hint: Some(hint),
    }
}
