//! `admin:`: where the operator's door is.

use std::net::SocketAddr;
use std::path::Path;

use serde::Deserialize;

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
