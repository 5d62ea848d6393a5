//! The place of a store: a file of this machine, or a schema on a server.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::postgres::Target;

/// The place of a store. Its text never shows a password.
#[derive(Clone, Debug)]
pub enum Place {
    /// An `SQLite` file.
    File(PathBuf),
    /// A `PostgreSQL` server, which several nodes can share.
    Postgres(Arc<Target>),
}

impl Place {
    /// Path of the file. `None` for a server.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Postgres(_) => None,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Postgres(target) => target.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::postgres::{Durability, ServerUrl, Wake};

    #[test]
    fn the_text_of_a_place_never_shows_a_password() {
        let target = |url: &str| Target {
            server: ServerUrl::parse(url).unwrap(),
            schema: "hookyard".to_owned(),
            durability: Durability::default(),
            lease: std::time::Duration::from_mins(1),
            patience: std::time::Duration::from_secs(8),
            connections: 6,
            wake: Wake::default(),
            node: "web1".into(),
        };
        for (url, text) in [
            (
                "postgres://me:geheim@db.example.com/queue?sslmode=disable",
                "postgres://db.example.com:5432/queue (schema `hookyard`)",
            ),
            (
                "postgres://me:geheim@127.0.0.1:5433",
                "postgres://127.0.0.1:5433/me (schema `hookyard`)",
            ),
            (
                "postgres://me:geheim@%2Frun%2Fpostgresql/queue",
                "postgres:///run/postgresql:5432/queue (schema `hookyard`)",
            ),
        ] {
            let place = Place::Postgres(Arc::new(target(url)));
            assert_eq!(place.to_string(), text);
            assert!(!format!("{place:?}").contains("geheim"));
        }
        assert_eq!(Place::File("/srv/q.db".into()).to_string(), "/srv/q.db");
    }
}
