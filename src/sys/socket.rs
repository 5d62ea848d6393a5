//! Unix socket with its own file: it replaces the file of a dead daemon, never of a live one, and
//! removes its file at the end.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use tokio::net::UnixListener;

/// A listening unix socket. Its file is removed on drop.
#[derive(Debug)]
pub struct OwnSocket {
    pub listener: UnixListener,
    path: PathBuf,
    /// Device and inode of the file. They distinguish it from a file that another program put
    /// there.
    identity: (u64, u64),
}

/// Access rights of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// Permissions: write permission allows to connect.
    pub mode: u32,
    /// Owner. `None`: the daemon's user.
    pub user: Option<u32>,
    /// Group. `None`: the daemon's group.
    pub group: Option<u32>,
}

impl Default for Access {
    /// Access for the daemon's user and group.
    fn default() -> Self {
        Self {
            mode: 0o660,
            user: None,
            group: None,
        }
    }
}

impl OwnSocket {
    /// Binds a socket. A file left behind by a dead daemon is replaced. A socket that still
    /// listens, or a file of another type, is an error.
    pub fn bind(path: &Path, access: Access) -> io::Result<Self> {
        if fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket())
            && is_stale(path)?
        {
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        let listener = UnixListener::bind(path)?;
        let socket = Self {
            listener,
            path: path.to_owned(),
            identity: identity(&fs::symlink_metadata(path)?),
        };
        // The owner first: changing it clears bits of the mode. If a step fails, the socket is
        // removed again.
        chown(path, access.user, access.group).map_err(ownership_error)?;
        fs::set_permissions(path, fs::Permissions::from_mode(access.mode))?;
        Ok(socket)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for OwnSocket {
    fn drop(&mut self) {
        // A stale socket file would only be confusing.
        if fs::symlink_metadata(&self.path).is_ok_and(|metadata| identity(&metadata) == self.identity) {
            drop(fs::remove_file(&self.path));
        }
    }
}

/// Device and inode, which identify a file.
fn identity(file: &fs::Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}

/// True if no process listens on the socket at `path` any more. Every result except the kernel's
/// refusal means that one does: its queue is full, its type differs, or we may not connect. The
/// check never blocks: a full queue that is never read would block start-up forever.
fn is_stale(path: &Path) -> io::Result<bool> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    match connect(&socket, &SocketAddrUnix::new(path)?) {
        // Gone, or removed since the first check.
        Err(Errno::CONNREFUSED | Errno::NOENT) => Ok(true),
        Ok(()) | Err(Errno::AGAIN | Errno::INPROGRESS) => Err(in_use("")),
        Err(error) => Err(in_use(&format!(" ({})", io::Error::from(error)))),
    }
}

fn in_use(why: &str) -> io::Error {
    let message = format!("something else listens there already{why}");
    io::Error::new(io::ErrorKind::AddrInUse, message)
}

/// Explains why the socket cannot be given to its `user` and `group`.
fn ownership_error(error: io::Error) -> io::Error {
    if error.kind() != io::ErrorKind::PermissionDenied {
        return error;
    }
    let message = format!(
        "its `user` or `group` cannot be set: {error}: only root can give a socket to another user, and only a member of a \
         group can give it to that group (under systemd: `SupplementaryGroups=`)"
    );
    io::Error::new(error.kind(), message)
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;
    use std::os::unix::net::{UnixDatagram, UnixListener as StdListener};

    use rustix::net::{bind, listen};

    use super::*;

    /// Binds a socket of this type, and listens if the type can, with a queue of one.
    fn other(path: &Path, kind: SocketType) -> OwnedFd {
        let socket = socket_with(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None).unwrap();
        bind(&socket, &SocketAddrUnix::new(path).unwrap()).unwrap();
        if kind != SocketType::DGRAM {
            listen(&socket, 0).unwrap();
        }
        socket
    }

    #[tokio::test]
    async fn a_socket_in_use_is_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        for kind in [SocketType::STREAM, SocketType::SEQPACKET, SocketType::DGRAM] {
            let listener = other(&path, kind);
            let before = identity(&fs::symlink_metadata(&path).unwrap());
            let error = OwnSocket::bind(&path, Access::default()).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
            assert!(
                error
                    .to_string()
                    .starts_with("something else listens there already"),
                "{error}"
            );
            assert_eq!(identity(&fs::symlink_metadata(&path).unwrap()), before);
            // A dead socket is replaced, whatever its type was.
            drop(listener);
            drop(OwnSocket::bind(&path, Access::default()).unwrap());
            assert!(!path.exists());
        }
        fs::write(&path, "a file").unwrap();
        assert!(OwnSocket::bind(&path, Access::default()).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "a file");
    }

    #[tokio::test]
    async fn a_full_queue_does_not_block_the_bind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let _living = other(&path, SocketType::STREAM);
        let try_connect = || {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).unwrap();
            connect(&socket, &SocketAddrUnix::new(&path).unwrap()).map(|()| socket)
        };
        let mut waiting = Vec::new();
        while let Ok(socket) = try_connect() {
            waiting.push(socket);
        }
        let error = OwnSocket::bind(&path, Access::default()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }

    #[tokio::test]
    async fn a_file_that_another_program_has_put_there_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let own = OwnSocket::bind(&path, Access::default()).unwrap();
        fs::remove_file(&path).unwrap();
        // Beside the first file, so that the inode is not reused.
        let _first = StdListener::bind(folder.path().join("first")).unwrap();
        let _theirs = UnixDatagram::bind(&path).unwrap();
        drop(own);
        assert!(path.exists());
    }
}
