//! The place and the settings of a store on a `PostgreSQL` server.

use std::sync::Arc;
use std::time::Duration;

use super::url::ServerUrl;

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

/// What must be safe before an event is answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// The disk of the server.
    #[default]
    Local,
    /// The disks of the server and of a synchronous standby.
    Replicated,
    /// Whatever the server makes safe below `PostgreSQL`. Nothing is checked.
    Trusted,
}

/// How a node hears that there is work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wake {
    /// By `LISTEN` and `NOTIFY`, and by looking.
    #[default]
    Notify,
    /// By looking once a second.
    Poll,
}
