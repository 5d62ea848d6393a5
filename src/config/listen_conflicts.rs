//! Conflicts between `server.listen` entries, found when the file is checked instead of at the next
//! start.

use std::net::{IpAddr, SocketAddr};

use crate::base::diagnostic::Diagnostics;
use crate::base::yaml::Node;
use crate::rules::Listen;

/// Reports every entry that conflicts with an earlier one, at the position of the later.
pub fn find(entries: &[(Node<'_>, Listen)], diagnostics: &mut Diagnostics) {
    let splits = |port| entries.iter().any(|(_, listen)| listen.is_all_v4(port));
    for (index, (location, listen)) in entries.iter().enumerate() {
        let mut before = entries.iter().take(index);
        let conflict = before.find_map(|(_, other)| conflict(other, listen, splits));
        if let Some((message, hint)) = conflict {
            diagnostics.push(location.error("listen", message).hint(hint));
        }
    }
}

/// Returns the conflict between two entries, and a hint.
fn conflict(one: &Listen, other: &Listen, splits: impl Fn(u16) -> bool) -> Option<(String, &'static str)> {
    const ONCE: &str = "once is enough";
    const PART: &str = "leave it out, or name each address instead of all";
    match (one, other) {
        (Listen::Systemd { .. }, Listen::Systemd { .. }) => Some((
            "`systemd` stands here twice".to_owned(),
            "once gets all its sockets",
        )),
        (Listen::Unix(one, _), Listen::Unix(other, _)) => {
            (one == other).then(|| (format!("`unix:{}` stands here twice", one.display()), ONCE))
        }
        (Listen::Tcp { address: text, .. }, Listen::Tcp { address: again, .. }) => {
            let (Some(one), Some(other)) = (one.tcp(), other.tcp()) else {
                // Host names are not resolved here, so only equal text counts.
                let twice = text == again && !text.ends_with(":0");
                return twice.then(|| (format!("`{text}` stands here twice"), ONCE));
            };
            if one.port() != other.port() || one.port() == 0 {
                return None;
            }
            if one == other {
                return Some((format!("`{again}` stands here twice"), ONCE));
            }
            let split = splits(one.port());
            let part = |all: &SocketAddr, one: &SocketAddr| match (all.ip(), one.ip()) {
                (IpAddr::V4(all), IpAddr::V4(_)) => all.is_unspecified(),
                (IpAddr::V6(all), IpAddr::V6(_)) => all.is_unspecified(),
                (IpAddr::V6(all), IpAddr::V4(_)) => all.is_unspecified() && !split,
                (IpAddr::V4(_), IpAddr::V6(_)) => false,
            };
            let within =
                |part: &str, all: &str| (format!("`{part}` is among the addresses of `{all}`"), PART);
            if part(&one, &other) {
                Some(within(again, text))
            } else {
                part(&other, &one).then(|| within(text, again))
            }
        }
        _ => None,
    }
}
