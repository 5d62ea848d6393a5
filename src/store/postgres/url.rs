//! The URL of a `PostgreSQL` server.

use std::fmt;

/// A URL that was read and understood.
#[derive(Clone)]
pub struct ServerUrl {
    pub(super) config: tokio_postgres::Config,
}

impl fmt::Debug for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The driver leaves out the password.
        self.config.fmt(f)
    }
}

impl ServerUrl {
    /// Reads a URL. The error says what is wrong, without the password.
    pub fn parse(text: &str) -> Result<Self, String> {
        let config = text
            .parse()
            .map_err(|error: tokio_postgres::Error| error.to_string())?;
        Ok(Self { config })
    }
}
