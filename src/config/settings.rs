//! `server`, `deliveries` and `log`: settings of the daemon, with every default as a
//! constant.

use std::sync::Arc;
use std::time::Duration;

use super::document::{DeliveriesShape, LogFileShape, LogRotateShape, LogShape, ReloadShape, ServerShape};
use super::{listen, tls};
use crate::base::diagnostic::Diagnostics;
use crate::base::network::TrustedPeers;
use crate::base::secret::Keyring;
use crate::base::units::{HumanDuration, Size};
use crate::base::yaml::Node;
use crate::rules::{LogFile, LogSettings, ReloadSettings, Server};
use crate::store::{Concurrency, MAX_LIGHT, Wanted, WantedRules};

/// Default of `server.max_body`, in bytes.
pub const DEFAULT_MAX_BODY: Size = Size(1 << 20);
/// Default of `server.max_inflight`, in bytes.
const DEFAULT_MAX_INFLIGHT: Size = Size(128 << 20);
/// Default of `server.request_timeout`.
const DEFAULT_REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Default of `server.max_connections`.
const DEFAULT_MAX_CONNECTIONS: u32 = 1024;
/// Default of `server.stop_grace`.
const DEFAULT_STOP_GRACE: Duration = Duration::from_secs(30);
/// Default of `deliveries.limit`.
const DEFAULT_DELIVERIES: u32 = 128;
/// Default of `deliveries.per_rule`.
const DEFAULT_PER_RULE: u32 = 64;
/// Maximum of `deliveries.limit` and `deliveries.per_rule`. Each delivery may hold a process or a
/// connection.
pub const MAX_DELIVERIES: u32 = 1024;
/// Default of `log.file.keep`, in files.
const DEFAULT_KEEP_LOGS: u16 = 14;
/// Default of `log.file.rotate.size`, in bytes. With the default of `keep`, all files together take
/// at most 896 MiB.
const DEFAULT_LOG_SIZE: Size = Size(64 << 20);
/// Minimum of `log.file.rotate.size`, in bytes. Lines are written in batches of up to this size.
const MIN_LOG_SIZE: Size = Size(64 << 10);

/// Compiles `server:`. Also returns `server.max_body`, the default of the endpoints.
pub fn server(
    node: Option<Node<'_>>,
    keyring: &Keyring,
    diagnostics: &mut Diagnostics,
) -> (Server, Option<Size>) {
    let shape: ServerShape = node.and_then(|node| node.read(diagnostics)).unwrap_or_default();
    let given = |key: &str| node.and_then(|node| node.given(key));
    let listen = listen::compile(given("listen"), given("tls").is_some(), diagnostics);
    // No connection is accepted when rules are tested.
    let tls = given("tls").filter(|_| !keyring.is_pretended());
    let tls = tls.and_then(|node| {
        if listen.iter().all(|address| !address.has_tls()) {
            diagnostics.push(node.warning("tls", "no address is served with it"));
        }
        tls::compile(node, keyring, diagnostics)
    });
    let public_url = shape.public_url.and_then(|url| match parse_public_url(&url) {
        Ok(url) => Some(url),
        Err(message) => {
            at(node, "public_url", |location| {
                diagnostics.push(location.error("public-url", message));
            });
            None
        }
    });
    if shape.max_connections == Some(0) {
        at(node, "max_connections", |location| {
            diagnostics.push(location.error("max-connections", "at least 1 connection"));
        });
    }
    if shape.request_timeout.is_some_and(|period| period.0.is_zero()) {
        at(node, "request_timeout", |location| {
            diagnostics.push(location.error("request-timeout", "longer than `0s`"));
        });
    }
    let server = Server {
        listen,
        public_url,
        trusted_proxies: given("trusted_proxies")
            .map(|node| TrustedPeers::compile(node, diagnostics))
            .unwrap_or_default(),
        proxy_protocol: given("proxy_protocol")
            .map(|node| TrustedPeers::compile(node, diagnostics))
            .unwrap_or_default(),
        request_timeout: period(shape.request_timeout, DEFAULT_REQUEST_TIMEOUT),
        max_inflight: shape.max_inflight.unwrap_or(DEFAULT_MAX_INFLIGHT).0,
        largest_body: shape.max_body.unwrap_or(DEFAULT_MAX_BODY).0,
        max_connections: shape.max_connections.unwrap_or(DEFAULT_MAX_CONNECTIONS) as usize,
        stop_grace: period(shape.stop_grace, DEFAULT_STOP_GRACE),
        tls,
    };
    at(node, "max_body", |location| {
        reject_zero(shape.max_body, location, diagnostics);
    });
    at(node, "max_inflight", |location| {
        reject_zero(shape.max_inflight, location, diagnostics);
    });
    (server, shape.max_body)
}

/// Reports a limit of `0`, which would let nothing through.
pub fn reject_zero(size: Option<Size>, node: Node<'_>, diagnostics: &mut Diagnostics) {
    if size == Some(Size(0)) {
        diagnostics.push(node.error("limit", "with a limit of 0 nothing could ever be taken"));
    }
}

/// Compiles `deliveries:`, the limits on deliveries that run at once.
///
/// The light rules are still to be added.
pub fn deliveries(node: Option<Node<'_>>, diagnostics: &mut Diagnostics) -> Wanted {
    let shape: DeliveriesShape = node.and_then(|node| node.read(diagnostics)).unwrap_or_default();
    for (key, given) in [("limit", shape.limit), ("per_rule", shape.per_rule)] {
        at(node, key, |location| {
            if given.is_some_and(|count| !(1..=MAX_DELIVERIES).contains(&count)) {
                let message = format!("`{key}` may be 1 to {MAX_DELIVERIES}");
                diagnostics.push(location.error("limit", message));
            }
        });
    }
    let per_rule = shape.per_rule.unwrap_or(DEFAULT_PER_RULE);
    Wanted {
        concurrency: Concurrency {
            slots: shape.limit.unwrap_or(DEFAULT_DELIVERIES) as usize,
            per_rule: per_rule as usize,
        },
        light: Concurrency {
            slots: MAX_LIGHT,
            // An operator who wants fewer at once may want the order of the lines.
            per_rule: if per_rule < DEFAULT_PER_RULE {
                per_rule as usize
            } else {
                MAX_LIGHT
            },
        },
        light_rules: Arc::default(),
        paused: Arc::default(),
        rules: WantedRules::All,
    }
}

/// Compiles `reload:`.
pub fn reload(node: Option<Node<'_>>, diagnostics: &mut Diagnostics) -> ReloadSettings {
    let shape: ReloadShape = node.and_then(|node| node.read(diagnostics)).unwrap_or_default();
    ReloadSettings {
        refuse_if: shape.refuse_if,
    }
}

/// Compiles `log:`.
pub fn log(node: Option<Node<'_>>, keyring: &Keyring, diagnostics: &mut Diagnostics) -> LogSettings {
    let shape: LogShape = node.and_then(|node| node.read(diagnostics)).unwrap_or_default();
    let level = shape.level.unwrap_or_else(|| "info".to_owned());
    if let Err(error) = tracing_subscriber::EnvFilter::builder().parse(&level) {
        at(node, "level", |location| {
            let diagnostic = location.error("log-level", format!("invalid level `{level}`: {error}"));
            diagnostics.push(diagnostic.hint("one of error, warn, info, debug, trace"));
        });
    }
    let file = node.and_then(|node| node.given("file"));
    let file = file.and_then(|file| log_file(file, keyring, diagnostics));
    if let Some(file) = &file
        && !file.path.parent().is_some_and(std::path::Path::is_dir)
    {
        at(node, "file", |location| {
            let message = format!("the folder of `{}` does not exist", file.path.display());
            diagnostics.push(
                location
                    .get("path")
                    .unwrap_or(location)
                    .error("log-file", message),
            );
        });
    }
    LogSettings {
        level,
        format: shape.format.unwrap_or_default(),
        file,
    }
}

/// Compiles `log.file:`.
fn log_file(node: Node<'_>, keyring: &Keyring, diagnostics: &mut Diagnostics) -> Option<LogFile> {
    let LogFileShape { path, keep, .. } = node.read(diagnostics)?;
    let LogRotateShape { every, size } = match node.given("rotate") {
        Some(rotate) if rotate.is_mapping() => rotate.read(diagnostics)?,
        Some(rotate) => LogRotateShape {
            every: Some(rotate.read(diagnostics)?),
            size: None,
        },
        None => LogRotateShape::default(),
    };
    let rotate = node.given("rotate");
    at(rotate, "size", |location| {
        if size.is_some_and(|size| size.0 < MIN_LOG_SIZE.0) {
            let message = format!("`size` is at least {} bytes", MIN_LOG_SIZE.0);
            diagnostics.push(location.error("rotate", message));
        }
    });
    Some(LogFile {
        path: keyring.folder().join(path),
        rotate: every.unwrap_or_default(),
        size: size.unwrap_or(DEFAULT_LOG_SIZE).0,
        keep: usize::from(keep.unwrap_or(DEFAULT_KEEP_LOGS)),
    })
}

/// Calls `then` with the node under `key`, if there is one.
pub(super) fn at<'d>(node: Option<Node<'d>>, key: &str, then: impl FnOnce(Node<'d>)) {
    if let Some(node) = node.and_then(|node| node.get(key)) {
        then(node);
    }
}

pub(super) fn period(given: Option<HumanDuration>, default: Duration) -> Duration {
    given.map_or(default, |period| period.0)
}

/// Parses `https://host[:port][/path]`. The trailing slash is dropped, since endpoints begin with
/// one.
pub fn parse_public_url(text: &str) -> Result<String, String> {
    let uri: http::Uri = text
        .parse()
        .map_err(|error| format!("`{text}` is not a URL: {error}"))?;
    let known = matches!(uri.scheme_str(), Some("http" | "https"));
    if !known || uri.authority().is_none() || uri.query().is_some() {
        return Err(format!("`{text}` is not a URL like `https://hooks.example.com`"));
    }
    Ok(text.trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_url_has_a_scheme_and_a_host() {
        assert_eq!(
            parse_public_url("https://h.example/").as_deref(),
            Ok("https://h.example")
        );
        for wrong in ["h.example", "ftp://h.example", "/x", "https://", "https://h/?q"] {
            assert!(parse_public_url(wrong).is_err(), "{wrong}");
        }
    }
}
