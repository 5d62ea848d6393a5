//! Requests to the running daemon through its admin socket, as JSON.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, PercentEncode, utf8_percent_encode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Maximum wait for the daemon's answer. The daemon's own limit is lower.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);
/// Maximum size of an answer, in bytes.
const MAX_ANSWER: u64 = 16 << 20;

/// An error of the API.
#[derive(Deserialize)]
struct ApiError {
    error: Option<String>,
}

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

/// A name as a segment of a path.
pub fn segment(name: &str) -> PercentEncode<'_> {
    utf8_percent_encode(name, NON_ALPHANUMERIC)
}

/// Asks the daemon at `socket`. `operation` is method and path.
pub fn ask<Q: Serialize, A: DeserializeOwned>(
    socket: &Path,
    operation: &str,
    request: &Q,
) -> Result<A, NotAnswered> {
    let body = serde_json::to_vec(request).map_err(|error| NotAnswered::Absent(io::Error::other(error)))?;
    send(socket, operation, &body)
}

/// Reads from the daemon at `socket`.
pub fn fetch<A: DeserializeOwned>(socket: &Path, path: &str) -> Result<A, NotAnswered> {
    send(socket, &format!("GET {path}"), b"")
}

fn send<A: DeserializeOwned>(socket: &Path, operation: &str, body: &[u8]) -> Result<A, NotAnswered> {
    match exchange(socket, operation, body) {
        // A refused action has an answer, too.
        Ok((200 | 409, body)) => serde_json::from_slice(&body).map_err(NotAnswered::Unreadable),
        Ok((_, body)) => {
            let error = serde_json::from_slice(&body).ok();
            let error = error.and_then(|error: ApiError| error.error);
            let why = error.unwrap_or_else(|| String::from_utf8_lossy(&body).trim_end().to_owned());
            Err(NotAnswered::Refused(why))
        }
        Err(error) => Err(NotAnswered::Absent(error)),
    }
}

/// Sends a request to a daemon. Returns the status and the body of its answer.
pub fn exchange(socket: &Path, question: &str, body: &[u8]) -> io::Result<(u16, Vec<u8>)> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(ANSWER_LIMIT))?;
    stream.set_write_timeout(Some(ANSWER_LIMIT))?;
    // HTTP/1.0: the answer ends with the connection, and is not chunked (RFC 1945).
    let head = format!(
        "{question} HTTP/1.0\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    // A daemon that refuses a request may not read all of it.
    let written = stream.write_all(body);
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER).read_to_end(&mut answer)?;
    let not_understood = || io::Error::other("its answer is not understood");
    let end = memchr::memmem::find(&answer, b"\r\n\r\n");
    let Some(end) = end else {
        return Err(written.err().unwrap_or_else(not_understood));
    };
    let status = answer
        .get(9..12)
        .and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
    let body = answer.get(end + 4..).unwrap_or_default().to_vec();
    Ok((status.ok_or_else(not_understood)?, body))
}
