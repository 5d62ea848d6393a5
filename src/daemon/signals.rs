//! Signals from the operator: HUP reloads, TERM and INT stop, and a second one stops at once.

use std::io;

use tokio::signal::unix::{Signal as Stream, SignalKind, signal};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Reload the rules file.
    Reload,
    /// Stop in order.
    Stop,
}

/// Listeners for the daemon's signals, installed first: a signal during start-up waits.
pub struct Signals {
    hangup: Stream,
    terminate: Stream,
    interrupt: Stream,
    /// Never polled. With this listener, a write beyond the file size limit (`LimitFSIZE=`) is an
    /// error like that of a full disk, and does not kill the daemon. Commands get the default
    /// action back.
    _too_large: Stream,
}

impl Signals {
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            _too_large: signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()))?,
        })
    }

    /// Waits for the next signal.
    pub async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.terminate.recv() => Signal::Stop,
            _ = self.interrupt.recv() => Signal::Stop,
            _ = self.hangup.recv() => Signal::Reload,
        }
    }

    /// Waits for a signal that asks to stop.
    pub async fn stop(&mut self) {
        while self.next().await != Signal::Stop {}
    }
}
