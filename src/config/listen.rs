//! `server.listen`: addresses, unix sockets and systemd sockets, each with its own TLS and access
//! settings.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::listen_conflicts;
use crate::base::diagnostic::Diagnostics;
use crate::base::yaml::Node;
use crate::rules::Listen;
use crate::sys::account::{group_number, user_number};
use crate::sys::socket::Access;

/// Default of `server.listen`: reachable from this machine only.
const DEFAULT: &str = "127.0.0.1:9000";

/// Maximum number of entries. Each is compared with all others, and takes a descriptor.
const MAX_LISTEN: usize = 64;

/// An entry of `server.listen`, as a mapping.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "read from the node: its place is needed")]
struct ListenFields {
    address: Option<String>,
    unix: Option<String>,
    tls: Option<bool>,
    mode: Option<IgnoredAny>,
    user: Option<IgnoredAny>,
    group: Option<IgnoredAny>,
}

/// Compiles `server.listen`: one address or a list, with diagnostics for each. `tls`: the daemon
/// has a certificate. Then every entry except a unix socket uses TLS unless it says otherwise.
pub fn compile(node: Option<Node<'_>>, tls: bool, diagnostics: &mut Diagnostics) -> Vec<Listen> {
    let Some(node) = node else {
        return parse(DEFAULT, tls).into_iter().collect();
    };
    let items = node.one_or_many();
    if items.is_empty() {
        diagnostics.push(node.error("listen", "no address to listen on"));
    }
    if items.len() > MAX_LISTEN {
        let message = format!("{} addresses; at most {MAX_LISTEN} are taken", items.len());
        diagnostics.push(node.error("listen", message));
        return Vec::new();
    }
    let mut entries = Vec::with_capacity(items.len());
    for item in items {
        entries.extend(compile_entry(item, tls, diagnostics));
    }
    listen_conflicts::find(&entries, diagnostics);
    entries.into_iter().map(|(_, listen)| listen).collect()
}

/// Hint for an entry that is no address.
const HINT: &str = "write `127.0.0.1:9000`, `unix:/run/…` or `systemd`";

/// Compiles one entry. Also returns the node of its address.
fn compile_entry<'n>(node: Node<'n>, tls: bool, diagnostics: &mut Diagnostics) -> Option<(Node<'n>, Listen)> {
    let (text, address, own_tls) = address(node, diagnostics)?;
    if own_tls == Some(true) && !tls {
        let diagnostic = node
            .get("tls")
            .unwrap_or(node)
            .error("listen", "there is no certificate to serve it with");
        diagnostics.push(diagnostic.hint("set `server.tls: {cert: …, key: …}`"));
    }
    let listen = match parse(&text, own_tls.unwrap_or(tls)) {
        Ok(listen) => listen,
        Err(message) => {
            diagnostics.push(address.error("listen", message).hint(HINT));
            return None;
        }
    };
    let Listen::Unix(path, default) = listen else {
        for key in ["mode", "user", "group"] {
            if let Some(node) = node.get(key) {
                diagnostics.push(node.error("listen", format!("`{key}` is that of a unix socket")));
            }
        }
        return Some((address, listen));
    };
    if let Some(node) = own_tls.and_then(|_| node.get("tls")) {
        diagnostics.push(node.error("listen", "a unix socket is never served with TLS"));
    }
    folder(&path, address, diagnostics);
    Some((address, Listen::Unix(path, access(node, default, diagnostics)?)))
}

/// Returns the text of an entry's address, its node, and the entry's own `tls`.
fn address<'n>(node: Node<'n>, diagnostics: &mut Diagnostics) -> Option<(String, Node<'n>, Option<bool>)> {
    if !node.is_mapping() {
        let Some(text) = node.as_str() else {
            diagnostics.push(node.error("listen", "an address to listen on is text").hint(HINT));
            return None;
        };
        return Some((text.to_owned(), node, None));
    }
    let fields: ListenFields = node.read(diagnostics)?;
    let (key, text) = match (fields.address, fields.unix) {
        (Some(address), None) => ("address", address),
        (None, Some(path)) => ("unix", format!("unix:{path}")),
        _ => {
            let diagnostic = node.error("listen", "either `address` or `unix` says where");
            diagnostics
                .push(diagnostic.hint("write `{address: 0.0.0.0:443}` or `{unix: /run/…, mode: \"0660\"}`"));
            return None;
        }
    };
    Some((text, node.get(key).unwrap_or(node), fields.tls))
}

/// Compiles the permissions of a unix socket.
pub(super) fn access(node: Node<'_>, default: Access, diagnostics: &mut Diagnostics) -> Option<Access> {
    Some(Access {
        mode: match node.given("mode") {
            Some(node) => mode(node, diagnostics)?,
            None => default.mode,
        },
        user: match node.given("user") {
            Some(node) => Some(user_number(node, "a user", "listen", diagnostics)?),
            None => None,
        },
        group: match node.given("group") {
            Some(node) => Some(group_number(node, "a group", "listen", diagnostics)?),
            None => None,
        },
    })
}

/// Checks that the folder of a unix socket exists. A folder under `/run` may be created when the
/// service starts, so there it is only a warning.
fn folder(path: &Path, location: Node<'_>, diagnostics: &mut Diagnostics) {
    let Some(folder) = path.parent() else { return };
    let missing = match std::fs::metadata(folder) {
        Ok(found) => !found.is_dir(),
        // This user may lack access where the daemon has it.
        Err(error) => matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory),
    };
    if !missing {
        return;
    }
    let message = format!("there is no folder `{}`", folder.display());
    if ["/run", "/var/run"].iter().any(|comes| folder.starts_with(comes)) {
        let diagnostic = location.warning("listen", format!("{message} at the moment"));
        diagnostics.push(diagnostic.hint("the service needs it at its start (`RuntimeDirectory=`)"));
    } else {
        diagnostics.push(
            location
                .error("listen", message)
                .hint("make it, or write `unix:/run/…`"),
        );
    }
}

/// Parses permissions written as octal digits.
fn mode(node: Node<'_>, diagnostics: &mut Diagnostics) -> Option<u32> {
    // A YAML number would make `0660` and 660 indistinguishable.
    let mode = node.as_str().and_then(|text| u32::from_str_radix(text, 8).ok());
    let mode = mode.filter(|mode| *mode <= 0o777);
    if mode.is_none() {
        let diagnostic = node.error("listen", "a mode is octal digits in quotes, `000` to `0777`");
        diagnostics.push(diagnostic.hint("write `mode: \"0660\"`"));
    }
    mode
}

/// Parses `host:port`, `unix:/path` or `systemd`.
fn parse(text: &str, tls: bool) -> Result<Listen, String> {
    if text == "systemd" {
        return Ok(Listen::Systemd { tls });
    }
    if let Some(path) = text.strip_prefix("unix:") {
        // The kernel limits a unix socket's path (sun_path) to 108 bytes, including the NUL.
        return if path.starts_with('/') && path.len() < 108 {
            Ok(Listen::Unix(PathBuf::from(path), Access::default()))
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
        Some(("*", port)) => Err(format!(
            "`*` is no host: all addresses are `[::]:{port}`, those of IPv4 alone `0.0.0.0:{port}`"
        )),
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
    fn addresses_are_parsed_and_mistakes_are_refused() {
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
            "*:9470",
            "",
        ] {
            assert!(parse(wrong, false).is_err(), "{wrong}");
        }
    }
}
