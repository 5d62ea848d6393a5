//! The place and the settings of a store on a `PostgreSQL` server.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use tokio_postgres::config::Host;

use super::url::{DEFAULT_PORT, ServerUrl};

/// A store on a server, as the rules file names it.
#[derive(Clone, Debug)]
pub struct Target {
    pub server: ServerUrl,
    /// Schema of the tables.
    pub schema: String,
    pub durability: Durability,
    /// Time after which the leases of a node end that was not heard of.
    pub lease: Duration,
    /// Maximum time that a call waits for the server, reconnecting as often as necessary.
    pub patience: Duration,
    /// Connections of this node, without the one that listens for news.
    pub connections: usize,
    pub wake: Wake,
    /// Name of this node.
    pub node: Arc<str>,
}

impl fmt::Display for Target {
    /// Writes hosts, database and schema, and neither user nor password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let config = &self.server.config;
        let ports = config.get_ports();
        f.write_str("postgres://")?;
        for (index, host) in config.get_hosts().iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            let port = ports.get(index).or(ports.first()).unwrap_or(&DEFAULT_PORT);
            match host {
                Host::Tcp(name) => write!(f, "{comma}{name}:{port}")?,
                Host::Unix(folder) => write!(f, "{comma}{}:{port}", folder.display())?,
            }
        }
        let database = config.get_dbname().or(config.get_user()).unwrap_or_default();
        write!(f, "/{database} (schema `{}`)", self.schema)
    }
}

impl ServerUrl {
    /// True if the URL has a password.
    pub fn has_password(&self) -> bool {
        self.config.get_password().is_some()
    }
}

/// The disks that must have an event before it is answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// The disk of the server.
    #[default]
    Local,
    /// The disks of the server and of a synchronous standby.
    Replicated,
    /// Whatever the server makes safe below `PostgreSQL`. Nothing is checked.
    Trusted,
}

/// The way in which a node hears that there is work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Wake {
    /// By `LISTEN` and `NOTIFY`, and by looking.
    #[default]
    Notify,
    /// By looking once a second.
    Poll,
}
