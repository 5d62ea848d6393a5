//! `admin:`: the addresses of the admin listeners, and access to the operator's page.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::listen;
use super::settings::parse_public_url;
use crate::base::diagnostic::Diagnostics;
use crate::base::password::PasswordHash;
use crate::base::secret::Keyring;
use crate::base::yaml::Node;
use crate::rules::{Admin, PageAccess, PublicUrl};
use crate::sys::socket::Access;

/// Maximum length of a unix socket's path and its final NUL, in bytes (`sun_path`).
const SOCKET_PATH_LIMIT: usize = 108;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct AdminFields {
    socket: Option<String>,
    #[expect(dead_code, reason = "read from the node: its place is needed")]
    read_only_socket: Option<IgnoredAny>,
    listen: Option<String>,
    #[expect(dead_code, reason = "read from the node: its place is needed")]
    password: Option<IgnoredAny>,
    public_url: Option<String>,
    page: Option<Page>,
}

/// `page`.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Page {
    Full,
    ReadOnly,
    None,
}

/// `read_only_socket`, as a mapping.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "read from the node: its place is needed")]
struct SocketFields {
    path: IgnoredAny,
    mode: Option<IgnoredAny>,
    user: Option<IgnoredAny>,
    group: Option<IgnoredAny>,
}

/// Compiles `admin`. Relative paths start at the keyring's folder. `tls`: the daemon has a
/// certificate.
pub fn compile(node: Option<Node<'_>>, tls: bool, keyring: &Keyring, diagnostics: &mut Diagnostics) -> Admin {
    let Some(node) = node else { return Admin::default() };
    let Some(fields) = node.read::<AdminFields>(diagnostics) else {
        return Admin::default();
    };
    let at_password = node.given("password");
    let admin = Admin {
        socket: match fields.socket.as_deref() {
            Some("none") => Some(None),
            Some(path) => Some(Some(keyring.folder().join(path))),
            None => None,
        },
        read_only_socket: node
            .given("read_only_socket")
            .and_then(|node| read_only_socket(node, keyring.folder(), diagnostics)),
        listen: fields.listen.and_then(|text| listen(node, &text, diagnostics)),
        password: at_password.and_then(|node| password(node, keyring, diagnostics)),
        public_url: fields
            .public_url
            .and_then(|text| public_url(node, &text, diagnostics)),
        page: match fields.page {
            None | Some(Page::Full) => PageAccess::Full,
            Some(Page::ReadOnly) => PageAccess::ReadOnly,
            Some(Page::None) => PageAccess::None,
        },
    };
    if let Some(Some(socket)) = &admin.socket
        && let Some((guests, _)) = &admin.read_only_socket
        && let Some(at) = node.get("read_only_socket").filter(|_| socket == guests)
    {
        diagnostics.push(at.error("listen", "this is the path of `socket`"));
    }
    if let Some(at) = at_password {
        check_password(node, at, &admin, tls, diagnostics);
    }
    admin
}

fn listen(node: Node<'_>, text: &str, diagnostics: &mut Diagnostics) -> Option<SocketAddr> {
    let parsed = text.parse::<SocketAddr>();
    if parsed.is_err()
        && let Some(at) = node.get("listen")
    {
        let diagnostic = at.error("listen", format!("`{text}` is not an address and a port"));
        diagnostics.push(
            diagnostic
                .hint("write `127.0.0.1:9001`: every client that reaches it sees the names of all rules"),
        );
    }
    parsed.ok()
}

/// Compiles the socket of guests: a path, or a mapping with its access.
fn read_only_socket(
    node: Node<'_>,
    folder: &Path,
    diagnostics: &mut Diagnostics,
) -> Option<(PathBuf, Access)> {
    let (at, access) = if node.is_mapping() {
        let _shape: SocketFields = node.read(diagnostics)?;
        (
            node.get("path")?,
            listen::access(node, Access::default(), diagnostics)?,
        )
    } else {
        (node, Access::default())
    };
    let path = at
        .as_str()
        .filter(|path| !path.is_empty())
        .map(|path| folder.join(path));
    let path = path.filter(|path| path.as_os_str().len() < SOCKET_PATH_LIMIT);
    if path.is_none() {
        let message = format!("a socket is a path of less than {SOCKET_PATH_LIMIT} bytes");
        diagnostics.push(
            at.error("listen", message)
                .hint("write `read_only_socket: /run/hookyard/guests.sock`"),
        );
    }
    Some((path?, access))
}

/// Compiles the hash of the password. No diagnostic shows it.
fn password(node: Node<'_>, keyring: &Keyring, diagnostics: &mut Diagnostics) -> Option<PasswordHash> {
    // A literal hash is allowed: it is no password.
    let is_hash = node.as_str().is_some_and(|text| text.starts_with('$'));
    let text = if is_hash {
        node.as_str().unwrap_or_default().to_owned()
    } else if keyring.is_offline() {
        return None;
    } else if let Some(text) = node.as_str() {
        match keyring.at(node).resolve(text) {
            Ok((secret, _)) => String::from_utf8_lossy(secret.expose()).trim().to_owned(),
            Err(message) => {
                diagnostics.push(node.error("secret", message));
                return None;
            }
        }
    } else {
        diagnostics.push(node.error(
            "wrong-value",
            "a hash is text: `env:NAME`, `file:/path` or the hash itself",
        ));
        return None;
    };
    match PasswordHash::parse(&text) {
        Ok(hash) => Some(hash),
        Err(message) => {
            let diagnostic = node.error("admin-password", format!("no hash of a password: {message}"));
            diagnostics.push(diagnostic.hint("`hookyard admin password` makes the hash of a password"));
            None
        }
    }
}

fn public_url(node: Node<'_>, text: &str, diagnostics: &mut Diagnostics) -> Option<PublicUrl> {
    let parsed = parse_public_url(text).and_then(|text| {
        let uri: http::Uri = text
            .parse()
            .map_err(|error| format!("`{text}` is not a URL: {error}"))?;
        let host = uri.host().unwrap_or_default().to_ascii_lowercase();
        if uri.path() != "/"
            || uri
                .authority()
                .is_some_and(|authority| authority.as_str().contains('@'))
        {
            return Err(format!("`{text}` has more than a scheme, a host and a port"));
        }
        let https = uri.scheme_str() == Some("https");
        if !https && !matches!(&*host, "localhost" | "127.0.0.1" | "[::1]") {
            return Err(format!(
                "`{text}` is not `https`: the password would be sent in clear"
            ));
        }
        Ok(PublicUrl { host, https, text })
    });
    match parsed {
        Ok(url) => Some(url),
        Err(message) => {
            let at = node.get("public_url").unwrap_or(node);
            diagnostics.push(
                at.error("public-url", message)
                    .hint("write `public_url: https://ops.example.com`"),
            );
            None
        }
    }
}

/// Checks that a password is of use, and that it is never sent in clear to another machine.
fn check_password(node: Node<'_>, at: Node<'_>, admin: &Admin, tls: bool, diagnostics: &mut Diagnostics) {
    let Some(address) = admin.listen else {
        if node.get("listen").is_none() {
            let diagnostic = at.warning(
                "admin-password",
                "nothing asks for it: there is no `admin.listen`",
            );
            diagnostics.push(diagnostic.hint("write `listen: 127.0.0.1:9001`, or leave the password out"));
        }
        return;
    };
    if address.ip().to_canonical().is_loopback() {
        return;
    }
    let at_listen = node.get("listen").unwrap_or(at);
    if !tls {
        let message =
            format!("`{address}` is reachable from other machines, and the password would be sent in clear");
        diagnostics.push(at_listen.error("admin-password", message).hint(
            "set `server.tls`, or write `listen: 127.0.0.1:9001` and reach it by `ssh -L` or a proxy with TLS",
        ));
    }
    if admin.public_url.is_none() && node.get("public_url").is_none() {
        let message = "browsers reach the page by a name that only `admin.public_url` can allow";
        diagnostics.push(
            at_listen
                .error("admin-password", message)
                .hint("write `public_url: https://ops.example.com:9001`"),
        );
    }
}

#[cfg(test)]
mod tests;
