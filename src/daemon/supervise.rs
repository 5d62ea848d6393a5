//! What systemd is told (`sd_notify(3)`): ready when listening, stopping, and one line of status.
//!
//! Without systemd (`NOTIFY_SOCKET` unset) all of it is nothing.

use sd_notify::NotifyState;

/// Sockets are bound and requests are answered.
pub fn ready(addresses: &[String]) {
    let status = format!("listening on {}", addresses.join(", "));
    tell(&[NotifyState::Ready, NotifyState::Status(&status)]);
}

/// A reload has ended so.
pub fn reloaded(status: &str) {
    tell(&[NotifyState::Status(status)]);
}

/// Nothing new is taken.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Sends the states; a supervisor that does not listen is no reason to stop serving.
fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "systemd could not be notified");
    }
}
