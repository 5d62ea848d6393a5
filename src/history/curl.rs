//! An arrival as a command of `curl`.

use super::request::headers;
use crate::base::shell_word::quoted;
use crate::event::Received;

/// Maximum bytes of a body that stands in the command. A larger one is read from a file.
const BODY: usize = 4096;
/// Headers that `curl` makes itself.
const LEFT_OUT: [&str; 5] = [
    "host",
    "content-length",
    "connection",
    "transfer-encoding",
    "expect",
];

/// Formats a request as a command of `curl`, for a listener at `base`. Credentials and signatures
/// are not kept, so they are not in it.
pub fn as_curl(received: &Received, base: &str) -> String {
    let query = if received.query.is_empty() { "" } else { "?" };
    let target = format!("{base}{}{query}{}", received.path, received.query);
    let mut words = vec![format!("curl -X {} {}", received.method, quoted(&target))];
    for (name, value) in headers(received) {
        if let Some(value) = value.as_text()
            && !LEFT_OUT.contains(&name)
        {
            words.push(format!("-H {}", quoted(&format!("{name}: {value}"))));
        }
    }
    let body = std::str::from_utf8(&received.body).ok();
    let short = body.filter(|body| body.len() <= BODY && !body.contains('\0'));
    match short {
        Some("") => {}
        // `curl` takes a body that begins with `@` for the name of a file.
        Some(body) if !body.starts_with('@') => words.push(format!("--data-binary {}", quoted(body))),
        _ => words.push(format!("--data-binary @{}.body", received.id)),
    }
    words.join(" \\\n  ")
}
