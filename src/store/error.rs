//! Why a store did not do what was asked, by what can be done about it.

use std::fmt;
use std::path::PathBuf;

use super::DeliveryId;
use crate::event::EventId;

/// Why a store did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreError {
    /// There is no room: free some, and it goes on by itself.
    Full {
        /// What ran out.
        detail: String,
    },
    /// The disk or another program is in the way: another try may succeed.
    Unavailable {
        /// What happened.
        detail: String,
    },
    /// The file is damaged: restore it from a backup, or move it away to start anew.
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// The file is something else: name another path.
    NotAStore {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        detail: String,
    },
    /// A later hookyard has written the file: run that one.
    Newer {
        /// The file.
        path: PathBuf,
        /// The version of its schema.
        found: i64,
        /// The latest version that this hookyard knows.
        known: i64,
    },
    /// An earlier hookyard has written the file: the daemon brings it up to date when it starts.
    Older {
        /// The file.
        path: PathBuf,
        /// The version of its schema.
        found: i64,
        /// The version that this hookyard works on.
        known: i64,
    },
    /// Another daemon has it open: stop that one, or name another path.
    InUse {
        /// The file.
        path: PathBuf,
        /// The process that has it, as far as is known.
        by: Option<u32>,
    },
    /// The file cannot be opened or created: mind its folder and permissions.
    Unopenable {
        /// The file.
        path: PathBuf,
        /// Why not.
        detail: String,
    },
    /// Its file was removed or replaced under it: put it back, or restart the daemon.
    Displaced {
        /// The file.
        path: PathBuf,
        /// What has become of which file.
        detail: String,
    },
    /// An event of this id is there already: ids are given once.
    IdTaken {
        /// The event.
        event: EventId,
    },
    /// The delivery is not leased, or was dropped since, so there is nothing to settle.
    NotLeased {
        /// The delivery.
        delivery: DeliveryId,
    },
    /// The store is closed.
    Closed,
    /// The store was used in a way that it does not allow; this is a bug in hookyard.
    Unexpected {
        /// What happened.
        detail: String,
    },
}

impl StoreError {
    /// Whether the same call may succeed later without anybody changing the call.
    pub fn may_pass(&self) -> bool {
        matches!(
            self,
            Self::Full { .. } | Self::Unavailable { .. } | Self::Displaced { .. }
        )
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full { detail } => write!(f, "no room in the store: {detail}"),
            Self::Unavailable { detail } => write!(f, "the store cannot be used at the moment: {detail}"),
            Self::Damaged { path, detail } => write!(
                f,
                "the store `{}` is damaged: {detail}; it was left as it is: restore it from a backup, or move it \
                 away (with the files `-wal` and `-shm` beside it) to start with an empty one",
                path.display()
            ),
            Self::NotAStore { path, detail } => write!(
                f,
                "`{}` is not a hookyard store: {detail}; it was left as it is: name another path",
                path.display()
            ),
            Self::Newer { path, found, known } => write!(
                f,
                "the store `{}` was written by a later hookyard: its schema has version {found}, this one knows \
                 versions up to {known}; it was left as it is",
                path.display()
            ),
            Self::Older { path, found, known } => write!(
                f,
                "the store `{}` was written by an earlier hookyard: its schema has version {found}, this one works on \
                 version {known}; `hookyard serve` brings it there when it starts",
                path.display()
            ),
            Self::InUse {
                path,
                by: Some(process),
            } => {
                write!(f, "the store `{}` is in use by process {process}", path.display())
            }
            Self::InUse { path, by: None } => {
                write!(
                    f,
                    "the store `{}` is in use by another process, whose id is unknown",
                    path.display()
                )
            }
            Self::Unopenable { path, detail } => {
                write!(f, "the store `{}` cannot be opened: {detail}", path.display())
            }
            Self::Displaced { path, detail } => write!(
                f,
                "the store `{}` is not in its place any more: {detail}; nothing is taken or done until it is back: put it \
                 back as it was, or restart hookyard to go on with what is there now",
                path.display()
            ),
            Self::IdTaken { event } => write!(f, "an event `{event}` is in the store already"),
            Self::NotLeased { delivery } => write!(f, "the delivery `{delivery}` is not leased"),
            Self::Closed => f.write_str("the store is closed"),
            Self::Unexpected { detail } => write!(f, "the store failed unexpectedly: {detail}"),
        }
    }
}

impl std::error::Error for StoreError {}
