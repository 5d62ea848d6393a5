//! `server.listen`: where to listen, and how.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use serde::Deserialize;

use crate::diagnostic::Findings;
use crate::rules::Listen;
use crate::yaml::Node;

/// `server.listen`: this machine alone, until told otherwise.
const DEFAULT: &str = "127.0.0.1:9000";

/// One of `server.listen`, as a mapping.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    address: String,
    tls: Option<bool>,
}

/// Reads `server.listen`: one address, or a list of them, each with its own finding. `tls` says whether the daemon has
/// a certificate, with which all but unix sockets are then served, unless they say otherwise.
pub fn compile(node: Option<Node<'_>>, tls: bool, findings: &mut Findings) -> Vec<Listen> {
    let Some(node) = node else {
        return parse(DEFAULT, tls).into_iter().collect();
    };
    let items = node.one_or_many();
    if items.is_empty() {
        findings.push(node.error("listen", "no address to listen on"));
    }
    let mut addresses = Vec::with_capacity(items.len());
    for item in items {
        addresses.extend(one(item, tls, findings));
    }
    addresses
}

fn one(node: Node<'_>, tls: bool, findings: &mut Findings) -> Option<Listen> {
    let (text, place, own) = if node.is_mapping() {
        let fields: Fields = node.read(findings)?;
        let place = node.get("address").unwrap_or(node);
        (fields.address, place, fields.tls)
    } else {
        let Some(text) = node.as_str() else {
            findings.push(node.error("listen", "an address to listen on is text"));
            return None;
        };
        (text.to_owned(), node, None)
    };
    if own == Some(true) && !tls {
        let place = node.get("tls").unwrap_or(node);
        let finding = place.error("listen", "there is no certificate to serve it with");
        findings.push(finding.hint("set `server.tls: {cert: …, key: …}`"));
    }
    match parse(&text, own.unwrap_or(tls)) {
        Ok(Listen::Unix(_)) if own.is_some() => {
            let place = node.get("tls").unwrap_or(node);
            findings.push(place.error("listen", "a unix socket is never served with TLS"));
            None
        }
        Ok(address) => Some(address),
        Err(message) => {
            let finding = place.error("listen", message);
            findings.push(finding.hint("write `127.0.0.1:9000`, `unix:/run/…` or `systemd`"));
            None
        }
    }
}

/// Reads `host:port`, `unix:/path` or `systemd`.
fn parse(text: &str, tls: bool) -> Result<Listen, String> {
    if text == "systemd" {
        return Ok(Listen::Systemd { tls });
    }
    if let Some(path) = text.strip_prefix("unix:") {
        // The kernel's bound on the length of a unix socket's path (sun_path) is 108 bytes with its NUL.
        return if path.starts_with('/') && path.len() < 108 {
            Ok(Listen::Unix(PathBuf::from(path)))
        } else {
            Err(format!(
                "`{text}`: a unix socket needs an absolute path of less than 108 bytes"
            ))
        };
    }
    let address = || Listen::Tcp {
        address: text.to_owned(),
        tls,
    };
    if text.parse::<SocketAddr>().is_ok() {
        return Ok(address());
    }
    if text.parse::<IpAddr>().is_ok() || text.parse::<u16>().is_ok() {
        return Err(format!("`{text}` is not host and port"));
    }
    match text.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && !host.contains(':') && port.parse::<u16>().is_ok() => {
            Ok(address())
        }
        _ => Err(format!("`{text}` is not host and port")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_slips_are_refused() {
        for good in [
            "127.0.0.1:9000",
            "[::1]:80",
            "localhost:0",
            "unix:/run/h.sock",
            "systemd",
        ] {
            assert!(parse(good, false).is_ok(), "{good}");
        }
        for wrong in [
            "9000",
            "127.0.0.1",
            "::1",
            ":9000",
            "host:x",
            "unix:relative",
            "host:99999",
            "",
        ] {
            assert!(parse(wrong, false).is_err(), "{wrong}");
        }
    }
}
