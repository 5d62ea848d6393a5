//! `admin:`: the addresses of the admin listeners.

use std::net::SocketAddr;
use std::path::Path;

use serde::Deserialize;

use crate::base::diagnostic::Diagnostics;
use crate::base::yaml::Node;
use crate::rules::Admin;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct AdminFields {
    socket: Option<String>,
    listen: Option<String>,
}

/// Compiles `admin`. Relative paths start at `folder`.
pub fn compile(node: Option<Node<'_>>, folder: &Path, diagnostics: &mut Diagnostics) -> Admin {
    let fields: AdminFields = node.and_then(|node| node.read(diagnostics)).unwrap_or_default();
    let listen = fields.listen.and_then(|text| {
        let parsed = text.parse::<SocketAddr>();
        if parsed.is_err()
            && let Some(at) = node.and_then(|node| node.get("listen"))
        {
            let diagnostic = at.error("listen", format!("`{text}` is not an address and a port"));
            diagnostics
                .push(diagnostic.hint(
                    "write `127.0.0.1:9001`: every client that reaches it sees the names of all rules",
                ));
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
