//! Reader of requests captured by `hookyard events capture --format json`.

use std::path::Path;

use super::described::Described;
use crate::cli::body;
use crate::trial::Captured;

/// Reads a file; `-` is standard input.
pub(super) fn read(path: &Path) -> Result<Described, String> {
    let text = body(Some(path))?;
    let captured =
        Captured::read(&text).map_err(|why| format!("`{}` is no captured request: {why}", path.display()))?;
    Ok(Described {
        target: captured.target,
        method: captured.method,
        headers: captured.headers,
        client: captured.client,
        body: captured.body,
    })
}
