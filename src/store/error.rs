//! Errors of a store, split by the remedy.

use std::fmt;
use std::path::PathBuf;

use super::DeliveryId;
use crate::event::EventId;

/// An error of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreError {
    /// The store or its disk is full. Once space is free, the store continues by itself.
    Full {
        detail: String,
    },
    /// The disk or another program prevents the call. A retry may succeed.
    Unavailable {
        detail: String,
    },
    /// The file is damaged. Restore it from a backup, or move it away to start with an empty one.
    Damaged {
        path: PathBuf,
        detail: String,
    },
    /// The file is not a store. Name another path.
    NotAStore {
        path: PathBuf,
        /// The kind of file found instead.
        detail: String,
    },
    /// The file was written by a later hookyard. Run that version.
    Newer {
        path: PathBuf,
        /// Schema version of the file.
        found: i64,
        /// Latest schema version that this hookyard knows.
        known: i64,
    },
    /// The file was written by an earlier hookyard. The daemon migrates it when it starts.
    Older {
        path: PathBuf,
        /// Schema version of the file.
        found: i64,
        /// Schema version that this hookyard needs.
        known: i64,
    },
    /// The tables on a server were made by a later hookyard. Run that version.
    NewerSchema {
        schema: String,
        /// Version of the tables.
        found: i32,
        /// Latest version that this hookyard knows.
        known: i32,
    },
    /// The server of the store does not let hookyard in, or must not be used as it is set up. Change
    /// the URL, the password, the role or the server.
    Refused {
        detail: String,
    },
    /// The role of hookyard lacks a privilege on the server. Once it is granted, the store continues.
    Forbidden {
        detail: String,
    },
    /// Another daemon has the file open. Stop it, or name another path.
    InUse {
        path: PathBuf,
        /// Process id of that daemon, if it is known.
        by: Option<u32>,
    },
    /// The file cannot be opened or created. Check its folder and permissions.
    Unopenable {
        path: PathBuf,
        detail: String,
    },
    /// The file was removed or replaced while it was open. Put it back, or restart the daemon.
    Displaced {
        path: PathBuf,
        /// The file concerned and its condition.
        detail: String,
    },
    /// A file of the store was truncated or overwritten while it was open. Restart the daemon.
    Altered {
        path: PathBuf,
        /// The file concerned, and what helps.
        detail: String,
    },
    /// The store already has an event of this id.
    IdTaken {
        event: EventId,
    },
    /// The delivery is not leased, or was dropped in between, so there is nothing to settle.
    NotLeased {
        delivery: DeliveryId,
    },
    Closed,
    /// The store was used in a way that it does not allow. This is a bug in hookyard.
    Unexpected {
        detail: String,
    },
}

impl StoreError {
    /// True if the same call may succeed later without a change.
    pub fn may_pass(&self) -> bool {
        matches!(
            self,
            Self::Full { .. }
                | Self::Unavailable { .. }
                | Self::Forbidden { .. }
                | Self::Displaced { .. }
                | Self::Altered { .. }
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
            Self::NewerSchema { schema, found, known } => write!(
                f,
                "the schema `{schema}` was made by a later hookyard: it has version {found}, this one knows versions up \
                 to {known}; it was left as it is"
            ),
            Self::Refused { detail } => write!(f, "the server of the store cannot be used: {detail}"),
            Self::Forbidden { detail } => {
                write!(
                    f,
                    "the role of the store lacks a privilege on its server: {detail}"
                )
            }
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
                "the store `{}` is no longer in its place: {detail}; nothing is taken or done until it is back: put it \
                 back as it was, or restart hookyard to go on with what is there now",
                path.display()
            ),
            Self::Altered { path, detail } => write!(
                f,
                "the store `{}` is not what hookyard wrote: nothing is taken or done any more: {detail}",
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
