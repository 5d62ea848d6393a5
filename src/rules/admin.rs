//! Settings of the admin listeners and of the operator's page: `admin:`.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::base::password::PasswordHash;
use crate::sys::socket::Access;

/// Settings of the admin listeners.
#[derive(Clone, Debug, Default)]
pub struct Admin {
    /// Path of the unix socket. `None`: the default path. `Some(None)`: no socket.
    pub socket: Option<Option<PathBuf>>,
    /// Unix socket of guests, which can only read.
    pub read_only_socket: Option<(PathBuf, Access)>,
    /// TCP address, which gives access to fewer calls than the sockets.
    pub listen: Option<SocketAddr>,
    /// Hash of the password for the page on TCP. `None`: the page is not on TCP.
    pub password: Option<PasswordHash>,
    /// URL under which browsers reach the page, if not by a name of this machine.
    pub public_url: Option<PublicUrl>,
    pub page: PageAccess,
}

impl Admin {
    /// Keys that differ and take effect only at the next start.
    pub fn restart_needed(&self, new: &Self) -> impl Iterator<Item = &'static str> {
        let changed = [
            ("admin.socket", self.socket != new.socket),
            (
                "admin.read_only_socket",
                self.read_only_socket != new.read_only_socket,
            ),
            ("admin.listen", self.listen != new.listen),
        ];
        changed
            .into_iter()
            .filter_map(|(key, changed)| changed.then_some(key))
    }
}

/// URL of the page in browsers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl {
    /// Host without a port, in lower case.
    pub host: String,
    pub https: bool,
    /// The URL as text, without a trailing slash.
    pub text: String,
}

/// Access to the page: `page`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PageAccess {
    #[default]
    Full,
    ReadOnly,
    None,
}
