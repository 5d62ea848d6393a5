//! A unix socket with a file that is ours: it takes a dead daemon's place, never a living one's, and goes when we go.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use tokio::net::UnixListener;

/// A unix socket that is listened on, and whose file goes when it is dropped.
#[derive(Debug)]
pub struct OwnSocket {
    /// What is listened on.
    pub listener: UnixListener,
    path: PathBuf,
    /// Tells the file from one that another has put in its place.
    inode: u64,
}

/// Who may connect to a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// Its permissions: whoever may write may connect.
    pub mode: u32,
    /// Its owner; none: the daemon's user.
    pub user: Option<u32>,
    /// Its group; none: the daemon's group.
    pub group: Option<u32>,
}

impl Default for Access {
    /// The daemon's user and group.
    fn default() -> Self {
        Self {
            mode: 0o660,
            user: None,
            group: None,
        }
    }
}

impl OwnSocket {
    /// Binds a socket. A file that a daemon has left behind is replaced; one that somebody listens on is not, nor one that
    /// is no socket.
    pub fn bind(path: &Path, access: Access) -> io::Result<Self> {
        if fs::symlink_metadata(path).is_ok_and(|there| there.file_type().is_socket()) {
            // Of this machine, and answered by the kernel at once.
            if UnixStream::connect(path).is_ok() {
                return Err(io::Error::new(
                    io::ErrorKind::AddrInUse,
                    "another daemon listens there already",
                ));
            }
            fs::remove_file(path)?;
        }
        let listener = UnixListener::bind(path)?;
        let socket = Self {
            listener,
            path: path.to_owned(),
            inode: fs::symlink_metadata(path)?.ino(),
        };
        // The owner first: to change it takes bits from the mode. Whatever fails, the socket goes again.
        chown(path, access.user, access.group)?;
        fs::set_permissions(path, fs::Permissions::from_mode(access.mode))?;
        Ok(socket)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for OwnSocket {
    fn drop(&mut self) {
        // A socket file that nobody answers would only puzzle.
        if fs::symlink_metadata(&self.path).is_ok_and(|there| there.ino() == self.inode) {
            drop(fs::remove_file(&self.path));
        }
    }
}
