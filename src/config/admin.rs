//! `admin:`: where the operator's door is.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::variable;
use crate::diagnostic::Findings;
use crate::rules::Admin;
use crate::yaml::Node;

/// The mapping under `admin`.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    socket: Option<String>,
    listen: Option<String>,
}

/// Reads `admin`; paths are those of `folder`.
pub fn compile(node: Option<Node<'_>>, folder: &Path, findings: &mut Findings) -> Admin {
    let fields: Fields = node.and_then(|node| node.read(findings)).unwrap_or_default();
    let listen = fields.listen.and_then(|text| {
        let parsed = text.parse::<SocketAddr>();
        if parsed.is_err()
            && let Some(at) = node.and_then(|node| node.get("listen"))
        {
            let finding = at.error("listen", format!("`{text}` is not an address and a port"));
            findings
                .push(finding.hint("write `127.0.0.1:9001`: whoever reaches it sees the names of all rules"));
        }
        parsed.ok()
    });
    Admin {
        socket: match fields.socket.as_deref() {
            Some("none") => Some(None),
            Some(path) => Some(Some(folder.join(path))),
            None => None,
        },
        listen,
    }
}

/// Where the socket is: where the rules file says, else in the runtime folder that systemd gives, else beside the store;
/// `None` if there is to be none.
pub fn socket_path(admin: &Admin, store: &Path) -> Option<PathBuf> {
    match &admin.socket {
        Some(given) => given.clone(),
        None => Some(match variable("RUNTIME_DIRECTORY") {
            Some(folders) => PathBuf::from(folders.split(':').next().unwrap_or_default()).join("admin.sock"),
            None => beside(store),
        }),
    }
}

/// The socket beside a store.
pub fn beside(store: &Path) -> PathBuf {
    let mut name = store.as_os_str().to_owned();
    name.push(".sock");
    PathBuf::from(name)
}
