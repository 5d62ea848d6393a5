//! What the operator says by signal: HUP reloads, TERM and INT stop, a second one stops at once.

use std::io;

use tokio::signal::unix::{Signal as Stream, SignalKind, signal};

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Read the rules file again.
    Reload,
    /// Stop in order.
    Stop,
}

/// The signals that the daemon listens for, from the first line of its life: one that comes during start-up waits.
pub struct Signals {
    hangup: Stream,
    terminate: Stream,
    interrupt: Stream,
    /// Never asked: that it is listened to makes a write beyond the limit of a file's size (`LimitFSIZE=`) an error like that of
    /// a full disk, not the end of the daemon. Commands get the default back.
    _too_large: Stream,
}

impl Signals {
    /// Begins to listen.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            _too_large: signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()))?,
        })
    }

    /// The next one.
    pub async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.terminate.recv() => Signal::Stop,
            _ = self.interrupt.recv() => Signal::Stop,
            _ = self.hangup.recv() => Signal::Reload,
        }
    }

    /// Returns when a signal asks to stop.
    pub async fn stop(&mut self) {
        while self.next().await != Signal::Stop {}
    }
}
