//! Notifications to systemd, and its watchdog limit: the protocol of `sd_notify(3)`, one datagram
//! of lines to `NOTIFY_SOCKET`.
//!
//! If that variable is unset or empty, nothing is sent. Its value is a path, or an abstract name
//! after an `@`. A supervisor that does not read does not stop the service, and is logged once.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Maximum time to send while the supervisor's queue is full. The supervisor normally reads at
/// once, except while it is being replaced.
const LIMIT: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub struct Notifier {
    /// Opened at start-up, so that notifications still work when no file descriptor is left.
    target: Option<(UnixDatagram, SocketAddr)>,
    /// True if the last notification failed, which is then already logged.
    is_failing: AtomicBool,
}

impl Notifier {
    /// Returns the notifier for the socket that the environment names.
    pub fn new(variable: impl Fn(&str) -> Option<String>) -> Self {
        let name = variable("NOTIFY_SOCKET").filter(|name| !name.is_empty());
        let target = name.map(|name| open(&name)).transpose();
        let target = target.inspect_err(|error| tracing::warn!(%error, "systemd cannot be notified"));
        Self {
            target: target.ok().flatten(),
            is_failing: AtomicBool::new(false),
        }
    }

    /// Sends these lines.
    pub fn tell(&self, lines: &[&str]) {
        let Some((socket, address)) = &self.target else {
            return;
        };
        let text: String = lines.iter().flat_map(|line| [*line, "\n"]).collect();
        match socket.send_to_addr(text.as_bytes(), address) {
            Ok(_) => self.is_failing.store(false, Ordering::Relaxed),
            Err(error) => {
                if !self.is_failing.swap(true, Ordering::Relaxed) {
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

/// Returns the watchdog limit of systemd. `None` if there is none, or if it is for another process.
pub fn watchdog_limit(variable: impl Fn(&str) -> Option<String>) -> Option<Duration> {
    let micros = variable("WATCHDOG_USEC")?
        .parse()
        .ok()
        .filter(|micros| *micros > 0)?;
    let process = variable("WATCHDOG_PID").and_then(|pid| pid.parse::<u32>().ok());
    let is_for_us = process.is_none_or(|pid| pid == std::process::id());
    is_for_us.then(|| Duration::from_micros(micros))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watchdog_without_a_time_is_none() {
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
        assert!(Notifier::new(|_| Some(String::new())).target.is_none());
        assert!(Notifier::new(|_| Some("vsock:2:1".to_owned())).target.is_none());
        assert!(Notifier::new(|_| None).target.is_none());
    }
}
