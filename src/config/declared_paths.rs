//! The paths that a rules file sets, read without compiling it: a command may lack access to its
//! secrets.

use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::settings::parse_public_url;
use super::source::{folder_of, read};
use super::{node, store};
use crate::base::diagnostic::{Diagnostics, Source};
use crate::base::secret::Keyring;
use crate::base::yaml::{Document, Node};
use crate::store::postgres::Target;

/// `admin.socket` of a rules file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminSocket {
    /// Not set: the default path.
    NotSaid,
    /// `none`: no socket.
    None,
    /// Path, relative to the folder of the rules file.
    At(PathBuf),
}

/// `store` of a rules file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeclaredStore {
    /// Not set: the default path.
    NotSaid,
    /// `store.path`, relative to the folder of the rules file.
    At(PathBuf),
    /// A server, by `store.url` or `store: postgres://…`.
    Server,
}

/// Paths that a rules file sets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeclaredPaths {
    pub store: DeclaredStore,
    /// `admin.socket`.
    pub socket: AdminSocket,
    /// URL of the operator's page on TCP, if it is there.
    pub page_url: Option<String>,
}

/// Reads the paths that the rules file at `path` sets. The error holds all diagnostics.
pub fn declared_paths(path: &Path) -> Result<DeclaredPaths, Diagnostics> {
    let mut diagnostics = Diagnostics::new();
    let document = document(path, &mut diagnostics);
    let paths = document.and_then(|document| paths(document.root(), &mut diagnostics));
    paths.ok_or(diagnostics)
}

/// Reads the server that the rules file at `path` names, with the secrets of `environment`. `None`:
/// the store is a file. The error holds all diagnostics.
pub fn declared_server(
    path: &Path,
    environment: Vec<(OsString, OsString)>,
) -> Result<Option<Arc<Target>>, Diagnostics> {
    let mut diagnostics = Diagnostics::new();
    let keyring = Keyring::new(environment, &folder_of(path));
    let settings = document(path, &mut diagnostics).map(|document| {
        let root = document.root();
        let node = node::node_name(root.given("node"), &keyring, &mut diagnostics);
        store::compile(root.given("store"), &node, &keyring, &mut diagnostics)
    });
    match settings {
        Some(settings) if !diagnostics.has_errors() => Ok(settings.server.map(|server| server.target)),
        _ => Err(diagnostics),
    }
}

/// Reads the rules file at `path`.
fn document(path: &Path, diagnostics: &mut Diagnostics) -> Option<Document> {
    let text = match read(path) {
        Ok(text) => text,
        Err(diagnostic) => {
            diagnostics.push(diagnostic);
            return None;
        }
    };
    let path = path.to_owned();
    Document::parse(Source { path, text }, diagnostics)
}

fn paths(root: Node<'_>, diagnostics: &mut Diagnostics) -> Option<DeclaredPaths> {
    let store = match root.given("store") {
        Some(node) if is_server(node) => DeclaredStore::Server,
        _ => match named(root, "store", "path", diagnostics) {
            None => DeclaredStore::NotSaid,
            Some(path) => DeclaredStore::At(PathBuf::from(path)),
        },
    };
    let socket = match named(root, "admin", "socket", diagnostics) {
        None => AdminSocket::NotSaid,
        Some("none") => AdminSocket::None,
        Some(socket) => AdminSocket::At(PathBuf::from(socket)),
    };
    (!diagnostics.has_errors()).then(|| DeclaredPaths {
        store,
        socket,
        page_url: page_url(root),
    })
}

/// True if `store` names a server. A text that could be a path is left to [`named`].
fn is_server(node: Node<'_>) -> bool {
    node.as_str().is_some_and(store::is_server) || node.given("url").is_some()
}

/// The URL of the page on TCP, as far as the file alone says it.
fn page_url(root: Node<'_>) -> Option<String> {
    let admin = root.given("admin")?;
    admin.given("password")?;
    let text = |key: &str| admin.given(key).and_then(|node| node.as_str());
    let address: SocketAddr = text("listen")?.parse().ok()?;
    if text("page") == Some("none") {
        return None;
    }
    let url = text("public_url").and_then(|url| parse_public_url(url).ok());
    // The daemon answers to these names of this machine only.
    let is_local = |ip: IpAddr| ip == Ipv4Addr::LOCALHOST || ip == Ipv6Addr::LOCALHOST;
    url.or_else(|| is_local(address.ip()).then(|| format!("http://{address}")))
        .map(|url| format!("{url}/"))
}

/// Returns the path under `section` and `key`. Any other value is an error, since the default path
/// would be a guess.
fn named<'d>(root: Node<'d>, section: &str, key: &str, diagnostics: &mut Diagnostics) -> Option<&'d str> {
    let section_node = root.given(section)?;
    if !section_node.is_mapping() {
        diagnostics.push(section_node.error("wrong-value", format!("`{section}` is a mapping")));
        return None;
    }
    let node = section_node.given(key)?;
    let text = node.as_str().filter(|text| !text.is_empty());
    if text.is_none() {
        diagnostics.push(node.error("wrong-value", format!("`{section}.{key}` is a path")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unclear_path_in_the_rules_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rules.yaml");
        for text in [
            "store: x.db\n",
            "store: {path: 5}\n",
            "store: {path: ''}\n",
            "admin: {socket: [a]}\n",
            "rules: [\n",
        ] {
            std::fs::write(&path, text).unwrap();
            assert!(declared_paths(&path).is_err(), "{text}");
        }
        assert!(declared_paths(&folder.path().join("none.yaml")).is_err());
        std::fs::write(&path, "store: {path: a.db}\nadmin: {socket: none}\nnonsense: 1\n").unwrap();
        let expected = DeclaredPaths {
            store: DeclaredStore::At("a.db".into()),
            socket: AdminSocket::None,
            page_url: None,
        };
        assert_eq!(declared_paths(&path).unwrap(), expected);
    }

    #[test]
    fn the_page_on_tcp_has_a_password() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rules.yaml");
        for (admin, expected) in [
            (
                "listen: '127.0.0.1:9001', password: h",
                Some("http://127.0.0.1:9001/"),
            ),
            ("listen: '[::1]:9001', password: h", Some("http://[::1]:9001/")),
            ("listen: '127.0.0.1:9001'", None),
            ("password: h", None),
            ("listen: '0.0.0.0:9001', password: h", None),
            ("listen: '127.0.0.1:9001', password: h, page: none", None),
            (
                "listen: '0.0.0.0:9001', password: h, public_url: 'https://ops.example.com/'",
                Some("https://ops.example.com/"),
            ),
        ] {
            std::fs::write(&path, format!("admin: {{{admin}}}\n")).unwrap();
            assert_eq!(
                declared_paths(&path).unwrap().page_url.as_deref(),
                expected,
                "{admin}"
            );
        }
    }
}
