//! `hookyard send`: a request, signed as its sender would sign it.
//!
//! The scheme is compiled and signs through `verify`, so what `send` signs is what `serve` accepts.
//! `by_rule.rs` takes it from a rules file.

mod by_rule;

use std::path::{Path, PathBuf};
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method, Request, header};
use http_body_util::{BodyExt, Full, Limited};
use serde_json::{Value, json};

use super::{
    Format, NO, YES, body, fail, header as header_line, method, naming, pair, rules_path, say, wrong,
};
use crate::base::clock::{Clock, Timestamp};
use crate::base::diagnostic::{Diagnostics, Severity, Source};
use crate::base::secret::Keyring;
use crate::base::units::HumanDuration;
use crate::base::yaml::Document;
use crate::client::Client;
use crate::config;
use crate::event::EventId;
use crate::pipeline::STATUS;
use crate::rules::RuleSet;
use crate::verify::{Definitions, EventName, OutgoingRequest, SchemeContext, Verification};

/// Maximum size of an answer, in bytes.
const MAX_ANSWER: usize = 1 << 20;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The URL to post to. With `--rule`, it may lack the path [default with `--rule`: the first
    /// address of `server.listen`].
    #[arg(required_unless_present = "rule")]
    url: Option<String>,
    /// Send to the endpoint of this rule, signed by its scheme with its first secret. Of the
    /// alternatives of `any`, the first that can be signed counts.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["scheme", "secret"])]
    rule: Option<String>,
    /// The rules file with the rule [default: `rules.yaml`, else `/etc/hookyard/rules.yaml`].
    #[arg(long, value_name = "RULES", requires = "rule")]
    rules: Option<PathBuf>,
    /// The value of a parameter of the endpoint's path. Repeatable.
    #[arg(long = "path", value_name = "NAME=VALUE", value_parser = pair, requires = "rule")]
    path: Vec<(String, String)>,
    /// The signing scheme: a scheme of the rules file (`github`, `stripe`, `hmac`, `token` …;
    /// `hookyard schemes` lists all), or `none`. Fields may follow as YAML: `{hmac: {header:
    /// X-Sig}}`.
    #[arg(long = "as", value_name = "SCHEME", required_unless_present = "rule")]
    scheme: Option<String>,
    /// The secret, password or private key: `env:NAME`, `file:/path`, or the text itself (which
    /// other users of this machine can then see).
    #[arg(long)]
    secret: Option<String>,
    /// The event's name, put where the sender puts it.
    #[arg(long)]
    event: Option<String>,
    /// A header to add, `Name: value`. Repeatable.
    #[arg(long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// A file with the body; `-` reads standard input [default: `{}`].
    #[arg(long, value_name = "FILE")]
    body: Option<PathBuf>,
    /// The method [default: `POST`, or the first method of the rule's endpoint].
    #[arg(long)]
    method: Option<String>,
    /// Sign with a time in the past, such as `10m` ago, to see a stale request refused.
    #[arg(long, value_name = "DURATION", default_value = "0s")]
    age: String,
    /// Sign with a time in the future, such as in `10m`, to see an early request refused.
    #[arg(long, value_name = "DURATION", default_value = "0s", conflicts_with = "age")]
    ahead: String,
    /// Maximum wait for the answer.
    #[arg(long, value_name = "DURATION", default_value = "60s")]
    timeout: String,
    /// Output format.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub fn run(arguments: &Arguments) -> u8 {
    let rules = match &arguments.rule {
        None => None,
        Some(_) => match config::load(&rules_path(arguments.rules.as_ref()), config::environment()) {
            Ok(loaded) => Some(loaded.rules),
            Err(diagnostics) => return wrong(&naming("send --rule NAME --rules RULES", diagnostics)),
        },
    };
    let (request, url) = match signed(arguments, rules.as_ref()) {
        Ok(signed) => signed,
        Err(message) => return fail(&message),
    };
    let timeout = match HumanDuration::parse(&arguments.timeout) {
        Ok(period) => period.0,
        Err(message) => return fail(&message),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let answer = runtime
        .map_err(|error| error.to_string())
        .and_then(|runtime| runtime.block_on(post(request, &url, timeout)));
    match answer {
        Ok(answer) => {
            let is_success = (200..300).contains(&answer.status);
            say(&answer.shown(arguments.format), if is_success { YES } else { NO })
        }
        Err(message) => fail(&message),
    }
}

/// The destination of a request, and how it is signed.
struct Destination<'v> {
    url: String,
    /// The URL as the sender knows it, which is the one that is signed.
    signed_url: String,
    method: Method,
    /// The scheme, as the arguments or the rules file name it.
    scheme: String,
    verification: &'v Verification,
}

/// Builds the signed request. Returns it with its URL, without signed parameters.
fn signed(
    arguments: &Arguments,
    rules: Option<&RuleSet>,
) -> Result<(Request<Full<bytes::Bytes>>, String), String> {
    if let (Some(rules), Some(rule)) = (rules, &arguments.rule) {
        let destination = by_rule::destination(rules, rule, arguments.url.as_deref(), &arguments.path)?;
        let request = request_to(&destination, arguments)?;
        return Ok((request, destination.url));
    }
    let url = arguments.url.clone().unwrap_or_default();
    check_url(&url)?;
    let scheme = arguments.scheme.clone().unwrap_or_default();
    let verification = compiled(&scheme, arguments.secret.as_deref(), &url)?;
    let destination = Destination {
        signed_url: url.clone(),
        url,
        method: Method::POST,
        scheme,
        verification: &verification,
    };
    let request = request_to(&destination, arguments)?;
    Ok((request, destination.url))
}

/// Builds the request with the headers that its sender would add.
fn request_to(
    destination: &Destination<'_>,
    arguments: &Arguments,
) -> Result<Request<Full<bytes::Bytes>>, String> {
    let Destination {
        url, verification, ..
    } = destination;
    let body = match &arguments.body {
        Some(path) => body(Some(Path::new(path)))?,
        None => b"{}".to_vec(),
    };
    let method = match &arguments.method {
        Some(name) => method(name)?,
        None => destination.method.clone(),
    };
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    for line in &arguments.headers {
        let (name, value) = header_line(line)?;
        headers.insert(name, value);
    }
    if let Some(event) = &arguments.event {
        let (name, value) = EventName::header(verification.event_name(), event, &destination.scheme)?;
        headers.insert(name, value);
    }
    let now = Clock::system().now();
    let id = format!("msg_{}", EventId::new(now).to_string().replace('-', ""));
    let unsigned = OutgoingRequest {
        method: &method,
        url: &destination.signed_url,
        headers: &headers,
        body: &body,
        at: signed_at(arguments, now)?,
        id: &id,
        restamp: true,
    };
    let signed = verification.sign(&unsigned)?;
    let url = signed.url(url);
    let url = url
        .parse()
        .map_err(|error| format!("`{url}` is not a URL: {error}"))?;
    for (name, value) in signed.headers {
        headers.insert(name, value);
    }
    let mut request = Request::new(Full::new(signed.body.unwrap_or(body).into()));
    *request.method_mut() = method;
    *request.uri_mut() = url;
    *request.headers_mut() = headers;
    Ok(request)
}

/// Checks that the URL has a host and a known scheme.
fn check_url(text: &str) -> Result<(), String> {
    let url: http::Uri = text
        .parse()
        .map_err(|error| format!("`{text}` is not a URL: {error}"))?;
    if url.host().is_none() || !matches!(url.scheme_str(), Some("http" | "https")) {
        return Err(format!(
            "`{text}` is not a URL like `http://127.0.0.1:9000/github`"
        ));
    }
    Ok(())
}

/// Returns the time of the signature: `now`, moved by `--age` or `--ahead`.
fn signed_at(arguments: &Arguments, now: Timestamp) -> Result<Timestamp, String> {
    if let Some(later) = arguments.age.strip_prefix('-') {
        return Err(format!("an age is not negative; the future is `--ahead {later}`"));
    }
    let at = now.as_millis() - millis(&arguments.age)? + millis(&arguments.ahead)?;
    Ok(Timestamp::from_millis(at))
}

/// Parses a duration, in milliseconds. It is at most ten years, so sums cannot overflow.
fn millis(text: &str) -> Result<i64, String> {
    let period = HumanDuration::parse(text)?.0;
    i64::try_from(period.as_millis()).map_err(|error| error.to_string())
}

/// Compiles the scheme with the secret, as from a rules file.
fn compiled(scheme: &str, secret: Option<&str>, url: &str) -> Result<Verification, String> {
    let text = match secret {
        None => scheme.to_owned(),
        Some(secret) if scheme.contains('{') => with_secret(scheme, secret)?,
        Some(secret) => json!({scheme: {secret_key(scheme): secret}}).to_string(),
    };
    let mut diagnostics = Diagnostics::new();
    let keyring = Keyring::new(config::environment(), Path::new("."));
    let public_url = url.find("://").and_then(|at| {
        let rest = url.get(at + 3..)?;
        url.get(..at + 3 + rest.find('/').unwrap_or(rest.len()))
    });
    Document::parse(
        Source {
            path: "--as".into(),
            text,
        },
        &mut diagnostics,
    )
    .and_then(|document| {
        let context = SchemeContext {
            keyring: &keyring,
            schemes: &Definitions::default(),
            public_url,
            max_body: u64::MAX,
            decompress_unverified: false,
            beside_others: false,
        };
        Verification::compile(document.root(), &context, &mut diagnostics)
    })
    .filter(|_| !diagnostics.has_errors())
    .ok_or_else(|| {
        let errors = diagnostics
            .iter()
            .filter(|diagnostic| diagnostic.severity == Severity::Error);
        errors
            .map(|diagnostic| match &diagnostic.hint {
                Some(hint) => format!("{} ({hint})", diagnostic.message),
                None => diagnostic.message.clone(),
            })
            .collect::<Vec<_>>()
            .join("; ")
    })
}

/// The key under which a scheme expects its secret.
fn secret_key(scheme: &str) -> &'static str {
    crate::verify::secret_key(scheme).unwrap_or("secret")
}

/// Adds the secret to a scheme written as `{hmac: {header: X}}`.
fn with_secret(scheme: &str, secret: &str) -> Result<String, String> {
    let mut value: Value = serde_yaml::from_str(scheme).map_err(|error| format!("`--as`: {error}"))?;
    let scheme_and_fields = value.as_object_mut().and_then(|scheme| scheme.iter_mut().next());
    match scheme_and_fields {
        Some((name, Value::Object(fields))) => {
            fields.insert(secret_key(name).to_owned(), secret.into());
            Ok(value.to_string())
        }
        _ => Err(format!("`--as {scheme}` is not a scheme with its fields")),
    }
}

/// The answer to a request.
struct ReceivedAnswer {
    status: u16,
    /// The word of `X-Hookyard-Status`.
    outcome: Option<String>,
    body: String,
}

impl ReceivedAnswer {
    /// Formats the answer. As text, the outcome is shown unless the body says it.
    fn shown(&self, format: Format) -> String {
        let Self {
            status,
            outcome,
            body,
        } = self;
        let json = serde_json::from_str::<Value>(body);
        if format == Format::Json {
            let body = json.unwrap_or_else(|_| Value::String(body.clone()));
            return json!({"status": status, "outcome": outcome, "body": body}).to_string();
        }
        let said = json.as_ref().ok().and_then(|json| json.get("status")?.as_str());
        match outcome.as_deref().filter(|outcome| said != Some(*outcome)) {
            Some(outcome) => format!("{status} ({outcome}) {}", body.trim_end()),
            None => format!("{status} {}", body.trim_end()),
        }
    }
}

/// Posts the request. `url`: the URL without signed parameters.
async fn post(
    request: Request<Full<bytes::Bytes>>,
    url: &str,
    timeout: Duration,
) -> Result<ReceivedAnswer, String> {
    let client = Client::new().map_err(|error| error.to_string())?;
    let exchange = async {
        let answer = client.request(request).await.map_err(|error| error.to_string())?;
        let status = answer.status().as_u16();
        let outcome = answer.headers().get(STATUS).and_then(|word| word.to_str().ok());
        let outcome = outcome.map(str::to_owned);
        let body = Limited::new(answer.into_body(), MAX_ANSWER).collect().await;
        let body = body
            .map_err(|error| format!("the answer broke off: {error}"))?
            .to_bytes();
        Ok(ReceivedAnswer {
            status,
            outcome,
            body: String::from_utf8_lossy(&body).into_owned(),
        })
    };
    match tokio::time::timeout(timeout, exchange).await {
        Ok(answer) => answer.map_err(|error: String| format!("cannot post to `{url}`: {error}")),
        Err(_) => Err(format!("`{url}` did not answer within {} s", timeout.as_secs())),
    }
}
