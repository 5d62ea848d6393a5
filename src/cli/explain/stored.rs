//! Reader of arrivals from the store, for `hookyard explain --event`.

use std::path::Path;

use super::described::Described;
use crate::cli::events::capture::whole;
use crate::cli::location::StoreLocation;

/// Reads the arrival with this id prefix from the store of the rules file at `rules`. The error is
/// the exit code.
pub(super) fn read(rules: &Path, id: &str) -> Result<Described, u8> {
    let place = StoreLocation::of_rules(Some(rules)).store()?;
    let received = whole(&place, id)?;
    let query = if received.query.is_empty() {
        String::new()
    } else {
        format!("?{}", received.query)
    };
    Ok(Described {
        target: format!("{}{query}", received.path),
        method: received.method.to_string(),
        headers: received.headers.clone(),
        client: received.client,
        body: received.body.to_vec(),
    })
}
