//! Requests to the running daemon through its admin socket, as JSON.

use std::io;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::status;

/// The reason why the daemon gave no answer.
pub enum NotAnswered {
    /// No daemon answers at the socket.
    Absent(io::Error),
    /// The daemon refuses the request, with its reason.
    Refused(String),
    /// The answer is not understood.
    Unreadable(serde_json::Error),
}

impl NotAnswered {
    /// Describes the reason. `does_not` says what the daemon does not do: `replay 01a2…`.
    pub fn describe(&self, socket: &Path, does_not: &str) -> String {
        let shown = socket.display();
        match self {
            Self::Absent(error) => format!("no daemon answers at `{shown}`: {error}"),
            Self::Refused(why) => format!("the daemon at `{shown}` does not {does_not}: {why}"),
            Self::Unreadable(error) => format!("the answer of the daemon is not understood: {error}"),
        }
    }
}

/// Asks the daemon at `socket`. `operation` is method and path.
pub fn ask<Q: Serialize, A: DeserializeOwned>(
    socket: &Path,
    operation: &str,
    request: &Q,
) -> Result<A, NotAnswered> {
    let asked = serde_json::to_vec(request)
        .map_err(io::Error::other)
        .and_then(|body| status::exchange(socket, operation, &body));
    match asked {
        Ok((200, body)) => serde_json::from_slice(&body).map_err(NotAnswered::Unreadable),
        Ok((_, why)) => {
            let why = String::from_utf8_lossy(&why).trim_end().to_owned();
            Err(NotAnswered::Refused(why))
        }
        Err(error) => Err(NotAnswered::Absent(error)),
    }
}
