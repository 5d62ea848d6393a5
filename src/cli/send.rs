//! `hookyard send`: a request, signed as its sender would sign it.
//!
//! The scheme is compiled and signs through `verify`, so what `send` signs is what `serve` accepts.

use std::path::{Path, PathBuf};
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Request, header};
use http_body_util::{BodyExt, Full, Limited};

use super::{Format, NO, YES, body, fail, header as header_line, method, say};
use crate::base::clock::{Clock, Timestamp};
use crate::base::diagnostic::{Diagnostics, Severity, Source};
use crate::base::secret::Keyring;
use crate::base::units::HumanDuration;
use crate::base::yaml::Document;
use crate::client::Client;
use crate::config;
use crate::event::EventId;
use crate::verify::{Definitions, EventName, OutgoingRequest, SchemeContext, Verification};

/// Maximum size of an answer, in bytes.
const MAX_ANSWER: usize = 1 << 20;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The URL to post to.
    url: String,
    /// The signing scheme: a scheme of the rules file (`github`, `stripe`, `hmac`, `token` …;
    /// `hookyard schemes` lists all), or `none`. Fields may follow as YAML: `{hmac: {header:
    /// X-Sig}}`.
    #[arg(long = "as", value_name = "SCHEME")]
    scheme: String,
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
    /// The method.
    #[arg(long, default_value = "POST")]
    method: String,
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
    let request = match signed(arguments) {
        Ok(request) => request,
        Err(message) => return fail(&message),
    };
    let timeout = match HumanDuration::parse(&arguments.timeout) {
        Ok(period) => period.0,
        Err(message) => return fail(&message),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let answer = runtime
        .map_err(|error| error.to_string())
        .and_then(|runtime| runtime.block_on(post(request, &arguments.url, timeout)));
    match answer {
        Ok((status, text)) => {
            let code = if (200..300).contains(&status) { YES } else { NO };
            let text = match arguments.format {
                Format::Json => {
                    let body = serde_json::from_str(&text).unwrap_or(serde_json::Value::String(text));
                    serde_json::json!({"status": status, "body": body}).to_string()
                }
                Format::Text => format!("{status} {}", text.trim_end()),
            };
            say(&text, code)
        }
        Err(message) => fail(&message),
    }
}

/// Builds the request with the headers that its sender would add.
fn signed(arguments: &Arguments) -> Result<Request<Full<bytes::Bytes>>, String> {
    check_url(&arguments.url)?;
    let body = match &arguments.body {
        Some(path) => body(Some(Path::new(path)))?,
        None => b"{}".to_vec(),
    };
    let method = method(&arguments.method)?;
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    for line in &arguments.headers {
        let (name, value) = header_line(line)?;
        headers.insert(name, value);
    }
    let verification = scheme(arguments)?;
    if let Some(event) = &arguments.event {
        let (name, value) = EventName::header(verification.event_name(), event, &arguments.scheme)?;
        headers.insert(name, value);
    }
    let now = Clock::system().now();
    let id = format!("msg_{}", EventId::new(now).to_string().replace('-', ""));
    let unsigned = OutgoingRequest {
        method: &method,
        url: &arguments.url,
        headers: &headers,
        body: &body,
        at: signed_at(arguments, now)?,
        id: &id,
        restamp: true,
    };
    let signed = verification.sign(&unsigned)?;
    let url = signed.url(&arguments.url);
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
fn scheme(arguments: &Arguments) -> Result<Verification, String> {
    let text = match (&arguments.secret, arguments.scheme.as_str()) {
        (None, "none") => "none".to_owned(),
        (None, scheme) => scheme.to_owned(),
        (Some(secret), scheme) if scheme.contains('{') => with_secret(scheme, secret)?,
        (Some(secret), scheme) => serde_json::json!({scheme: {secret_key(scheme): secret}}).to_string(),
    };
    let mut diagnostics = Diagnostics::new();
    let keyring = Keyring::new(config::environment(), Path::new("."));
    let public_url = arguments.url.find("://").and_then(|at| {
        let rest = arguments.url.get(at + 3..)?;
        arguments.url.get(..at + 3 + rest.find('/').unwrap_or(rest.len()))
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
    let mut value: serde_json::Value =
        serde_yaml::from_str(scheme).map_err(|error| format!("`--as`: {error}"))?;
    let scheme_and_fields = value.as_object_mut().and_then(|scheme| scheme.iter_mut().next());
    match scheme_and_fields {
        Some((name, serde_json::Value::Object(fields))) => {
            fields.insert(secret_key(name).to_owned(), secret.into());
            Ok(value.to_string())
        }
        _ => Err(format!("`--as {scheme}` is not a scheme with its fields")),
    }
}

/// Posts the request. Returns the status and the body of the answer. `url`: the URL as typed,
/// without signed parameters.
async fn post(
    request: Request<Full<bytes::Bytes>>,
    url: &str,
    timeout: Duration,
) -> Result<(u16, String), String> {
    let client = Client::new().map_err(|error| error.to_string())?;
    let exchange = async {
        let answer = client.request(request).await.map_err(|error| error.to_string())?;
        let status = answer.status().as_u16();
        let body = Limited::new(answer.into_body(), MAX_ANSWER).collect().await;
        let body = body
            .map_err(|error| format!("the answer broke off: {error}"))?
            .to_bytes();
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    };
    match tokio::time::timeout(timeout, exchange).await {
        Ok(answer) => answer.map_err(|error: String| format!("cannot post to `{url}`: {error}")),
        Err(_) => Err(format!("`{url}` did not answer within {} s", timeout.as_secs())),
    }
}
