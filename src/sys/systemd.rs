//! How systemd is told, and what it asks for: the protocol of `sd_notify(3)`, one datagram of lines to `NOTIFY_SOCKET`.
//!
//! Without that variable, or where it is empty, nobody is told anything. Its socket is a path, or a name of the abstract
//! namespace after an `@`. A supervisor that does not listen is no reason to stop serving, and is complained of once.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How long a supervisor whose queue is full may take to make room. It reads at once, unless it is being replaced itself.
const LIMIT: Duration = Duration::from_secs(1);

/// The door to systemd.
#[derive(Debug)]
pub struct Notifier {
    /// Opened at the start: that the daemon lives can be told, too, where no descriptor is left.
    door: Option<(UnixDatagram, SocketAddr)>,
    /// It could not be told the last time, and that was complained of.
    deaf: AtomicBool,
}

impl Notifier {
    /// The one that the environment's `variable`s name.
    pub fn new(variable: impl Fn(&str) -> Option<String>) -> Self {
        let name = variable("NOTIFY_SOCKET").filter(|name| !name.is_empty());
        let door = name.map(|name| open(&name)).transpose();
        let door = door.inspect_err(|error| tracing::warn!(%error, "systemd cannot be notified"));
        Self {
            door: door.ok().flatten(),
            deaf: AtomicBool::new(false),
        }
    }

    /// Tells these lines.
    pub fn tell(&self, lines: &[&str]) {
        let Some((socket, address)) = &self.door else {
            return;
        };
        let text: String = lines.iter().flat_map(|line| [*line, "\n"]).collect();
        match socket.send_to_addr(text.as_bytes(), address) {
            Ok(_) => self.deaf.store(false, Ordering::Relaxed),
            Err(error) => {
                if !self.deaf.swap(true, Ordering::Relaxed) {
                    tracing::warn!(%error, "systemd could not be notified");
                }
            }
        }
    }
}

fn open(name: &str) -> io::Result<(UnixDatagram, SocketAddr)> {
    let address = match name.strip_prefix('@') {
        Some(abstracted) => SocketAddr::from_abstract_name(abstracted)?,
        None if name.starts_with('/') => SocketAddr::from_pathname(name)?,
        None => {
            let message = format!("NOTIFY_SOCKET=`{name}` is neither a path nor an abstract name");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_write_timeout(Some(LIMIT))?;
    Ok((socket, address))
}

/// How soon the supervisor takes the daemon for dead, if it does; 0 is never.
pub fn watchdog_limit(variable: impl Fn(&str) -> Option<String>) -> Option<Duration> {
    let micros = variable("WATCHDOG_USEC")?
        .parse()
        .ok()
        .filter(|micros| *micros > 0)?;
    let process = variable("WATCHDOG_PID").and_then(|pid| pid.parse::<u32>().ok());
    let ours = process.is_none_or(|pid| pid == std::process::id());
    ours.then(|| Duration::from_micros(micros))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watchdog_of_no_time_is_none() {
        for (micros, pid, expected) in [
            ("400000", None, Some(400)),
            ("400000", Some(std::process::id()), Some(400)),
            ("400000", Some(1), None),
            ("0", None, None),
            ("soon", None, None),
        ] {
            let limit = watchdog_limit(|name| match name {
                "WATCHDOG_USEC" => Some(micros.to_owned()),
                _ => pid.map(|pid| pid.to_string()),
            });
            assert_eq!(limit, expected.map(Duration::from_millis), "{micros} {pid:?}");
        }
    }

    #[test]
    fn a_supervisor_is_found_by_path_and_by_abstract_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let abstracted = format!("hookyard-test-{}", std::process::id());
        let by_name = SocketAddr::from_abstract_name(&abstracted).unwrap();
        for (name, socket) in [
            (path.display().to_string(), UnixDatagram::bind(&path).unwrap()),
            (
                format!("@{abstracted}"),
                UnixDatagram::bind_addr(&by_name).unwrap(),
            ),
        ] {
            Notifier::new(|_| Some(name.clone())).tell(&["READY=1", "STATUS=x"]);
            let mut bytes = [0; 64];
            let length = socket.recv(&mut bytes).unwrap();
            assert_eq!(&bytes[..length], b"READY=1\nSTATUS=x\n");
        }
        assert!(Notifier::new(|_| Some(String::new())).door.is_none());
        assert!(Notifier::new(|_| Some("vsock:2:1".to_owned())).door.is_none());
        assert!(Notifier::new(|_| None).door.is_none());
    }
}
