//! Lines about requests that never became an arrival, and about connections.

use std::fmt;
use std::net::IpAddr;

use tracing::field::display;
use tracing::{Level, debug, info, warn};

use super::metrics::Metrics;
use crate::base::throttle;

/// Logs a request that never became an arrival: no such endpoint, wrong method, too large, too slow
/// or above a rate limit.
pub fn turned_away(metrics: &Metrics, path: &str, client: Option<IpAddr>, status: u16, why: &str) {
    turned_away_with(metrics, path, client, status, why, || None);
}

/// As [`turned_away`], with a hint that is computed only if the line is written.
pub fn turned_away_with(
    metrics: &Metrics,
    path: &str,
    client: Option<IpAddr>,
    status: u16,
    why: &str,
    hint: impl FnOnce() -> Option<String>,
) {
    metrics.turned_away(status);
    let kind = match status {
        404 => "no such endpoint",
        405 => "wrong method",
        408 => "too slow",
        413 => "too large",
        429 => "rate limit",
        _ => "turned away",
    };
    let Some(left_out) = throttle::allow(kind) else {
        return;
    };
    let path: String = path.chars().take(MAX_LOGGED_PATH).collect();
    let client = client.map(display);
    let (hint, left_out) = (hint(), throttle::some(left_out));
    if status == 413 {
        // The operator can help with a larger limit.
        warn!(path, client, status, why, hint, left_out, "turned away");
    } else {
        info!(path, client, status, why, hint, left_out, "turned away");
    }
}

/// Maximum logged path, in characters.
const MAX_LOGGED_PATH: usize = 200;

/// Logs a peer's error before its first request. `about` names the step (`TLS handshake` …).
pub fn peer_failed(about: &'static str, error: &dyn fmt::Display, client: Option<IpAddr>) {
    if let Some(left_out) = throttle::allow(about) {
        let (client, left_out) = (client.map(display), throttle::some(left_out));
        info!(%error, client, left_out, "{about}");
    }
}

/// Logs the end of a connection that concerns only its peer. Debug level only.
pub fn connection_ended(about: &'static str, error: &dyn fmt::Display, client: Option<IpAddr>) {
    if tracing::enabled!(Level::DEBUG)
        && let Some(left_out) = throttle::allow("connection")
    {
        let (client, left_out) = (client.map(display), throttle::some(left_out));
        debug!(%error, client, left_out, "{about}");
    }
}
