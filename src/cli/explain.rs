//! `hookyard explain`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use http::{HeaderMap, Method};
use serde_json::{Value, json};

use super::{Format, NO, UNKNOWN, YES, body, coloured, header};
use crate::act::Occasion;
use crate::clock::Clock;
use crate::config;
use crate::payload::{self, Event};
use crate::rules::{Endpoint, Rule, RuleSet};
use crate::verify::{EventId, Received};

/// The arguments of `hookyard explain`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The rules file.
    rules: PathBuf,
    /// The path, with a query if wanted: `/deploy/site?dry=1`.
    #[arg(long)]
    endpoint: String,
    /// A header of the request, `Name: value`; may be given several times.
    #[arg(long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// A file with the body; `-` reads standard input.
    #[arg(long, value_name = "FILE")]
    body: Option<PathBuf>,
    /// The method.
    #[arg(long, default_value = "POST")]
    method: String,
    /// The client's address.
    #[arg(long, value_name = "ADDRESS")]
    client: Option<std::net::IpAddr>,
    /// How the result is printed.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Runs it.
pub fn run(arguments: &Arguments) -> u8 {
    let rules = match config::load(&arguments.rules, config::environment()) {
        Ok(loaded) => loaded.rules,
        Err(findings) => {
            eprintln!("{}", findings.render(coloured(&std::io::stderr())));
            return UNKNOWN;
        }
    };
    let event = received(arguments, &rules).and_then(|(endpoint, received)| {
        let payload =
            payload::decode(endpoint.decode, &received.headers, &received.body).map_err(|error| {
                format!("the body cannot be decoded: {error}; the answer would be 400 invalid payload")
            })?;
        Ok((
            endpoint,
            Event {
                received: Arc::new(received),
                payload,
            },
        ))
    });
    let (endpoint, event) = match event {
        Ok(event) => event,
        Err(message) => {
            eprintln!("error: {message}");
            return UNKNOWN;
        }
    };
    let explained: Vec<Explained> = endpoint
        .rules
        .iter()
        .enumerate()
        .map(|(index, rule)| explain(endpoint, index, rule, &event))
        .collect();
    let any = explained.iter().any(|rule| rule.matched);
    match arguments.format {
        Format::Json => println!(
            "{}",
            json!({
                "endpoint": &*endpoint.path,
                "rules": explained.iter().map(Explained::to_json).collect::<Vec<_>>(),
            })
        ),
        Format::Text => explained.iter().for_each(Explained::print),
    }
    if explained.is_empty() {
        eprintln!("no rule names the endpoint `{}`", endpoint.path);
    }
    if any { YES } else { NO }
}

/// What became of one rule.
struct Explained {
    rule: Arc<str>,
    matched: bool,
    /// In words.
    why: String,
    explanation: Value,
    actions: Vec<Result<Value, String>>,
}

impl Explained {
    fn to_json(&self) -> Value {
        let actions: Vec<Value> = self
            .actions
            .iter()
            .map(|action| action.clone().unwrap_or_else(|error| json!({"error": error})))
            .collect();
        json!({"rule": &*self.rule, "matched": self.matched, "explanation": self.explanation, "actions": actions})
    }

    fn print(&self) {
        println!(
            "{} {}: {}",
            if self.matched { "yes" } else { "no " },
            self.rule,
            self.why
        );
        for action in &self.actions {
            match action {
                Ok(action) => println!("      would do {action}"),
                Err(error) => println!("      would fail: {error}"),
            }
        }
    }
}

/// Explains one rule.
fn explain(endpoint: &Endpoint, index: usize, rule: &Rule, event: &Event) -> Explained {
    let explanation = endpoint.matcher.explain(event, index);
    let matched = explanation.matched && rule.enabled;
    let why = if rule.enabled {
        explanation.to_string()
    } else {
        "it is not enabled".to_owned()
    };
    let actions = if matched {
        let occasion = Occasion {
            event,
            rule: &rule.name,
            delivery: "00000000-0000-0000-0000-000000000000".to_owned(),
            attempt: 1,
            withheld: &endpoint.credentials,
        };
        let values = occasion.values();
        rule.actions
            .iter()
            .map(|action| action.describe(&values).map_err(|error| error.to_string()))
            .collect()
    } else {
        Vec::new()
    };
    let explanation = serde_json::to_value(&explanation).unwrap_or_default();
    Explained {
        rule: Arc::clone(&rule.name),
        matched,
        why,
        explanation,
        actions,
    }
}

/// The request as the daemon would have received it.
fn received<'r>(arguments: &Arguments, rules: &'r RuleSet) -> Result<(&'r Endpoint, Received), String> {
    let uri: http::Uri = arguments
        .endpoint
        .parse()
        .map_err(|error| format!("`{}` is not a path: {error}", arguments.endpoint))?;
    let (endpoint, parameters) = rules.endpoint(uri.path()).ok_or_else(|| {
        let known: Vec<&str> = rules.endpoints.iter().map(|endpoint| &*endpoint.path).collect();
        format!("no endpoint `{}`; there are {}", uri.path(), known.join(", "))
    })?;
    let mut headers = HeaderMap::new();
    for line in &arguments.headers {
        let (name, value) = header(line)?;
        headers.append(name, value);
    }
    let method: Method = arguments
        .method
        .to_uppercase()
        .parse()
        .map_err(|error| format!("`{}` is not a method: {error}", arguments.method))?;
    if !endpoint.methods.contains(&method) {
        return Err(format!("the endpoint takes {}, not {method}", endpoint.allow()));
    }
    let at = Clock::system().now();
    let decode = |value: &str| {
        percent_encoding::percent_decode_str(value)
            .decode_utf8_lossy()
            .into_owned()
    };
    let received = Received {
        id: EventId::new(at),
        at,
        endpoint: Arc::clone(&endpoint.path),
        method,
        path: uri.path().to_owned(),
        query: uri.query().unwrap_or_default().to_owned(),
        parameters: parameters
            .iter()
            .map(|(name, value)| (name.to_owned(), decode(value)))
            .collect(),
        client: arguments.client,
        headers,
        body: body(arguments.body.as_deref().map(Path::new))?.into(),
    };
    Ok((endpoint, received))
}
