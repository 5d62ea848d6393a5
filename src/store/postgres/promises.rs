//! Promises of a server, as it states them: how safe a committed transaction is.

use tokio_postgres::{SimpleQueryMessage, SimpleQueryRow};

use super::target::Durability;

/// Earliest version of the server: bodies are compressed by lz4.
const LEAST_VERSION: u32 = 140_000;

/// The settings of a server, as they were before those of the session. The columns are read in
/// order.
pub(super) const SELECT: &str = "SELECT current_setting('server_version_num'), current_setting('server_version'), \
     current_setting('fsync'), current_setting('full_page_writes'), current_setting('synchronous_commit'), \
     current_setting('synchronous_standby_names'), current_setting('server_encoding')";

/// The promises of a server at the time of a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Promises {
    version_number: u32,
    version: String,
    fsync: bool,
    full_page_writes: bool,
    synchronous_commit: String,
    standby_names: String,
    encoding: String,
}

impl Promises {
    /// Reads the answer to [`SELECT`].
    pub fn read(answer: &[SimpleQueryMessage]) -> Option<Self> {
        let mut rows = answer.iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) if row.len() == 7 => Some(row),
            _ => None,
        });
        rows.next().and_then(Self::of_row)
    }

    fn of_row(row: &SimpleQueryRow) -> Option<Self> {
        Some(Self {
            version_number: row.get(0)?.parse().ok()?,
            version: row.get(1)?.split(' ').next()?.to_owned(),
            fsync: row.get(2)? == "on",
            full_page_writes: row.get(3)? == "on",
            synchronous_commit: row.get(4)?.to_owned(),
            standby_names: row.get(5)?.to_owned(),
            encoding: row.get(6)?.to_owned(),
        })
    }

    /// Reason why this server must not hold a store.
    pub fn refusal(&self, durability: Durability) -> Option<String> {
        if self.version_number < LEAST_VERSION {
            let version = &self.version;
            return Some(format!(
                "it is PostgreSQL {version}, and 14 is the earliest that hookyard uses"
            ));
        }
        if self.encoding != "UTF8" {
            let encoding = &self.encoding;
            return Some(format!(
                "its database has the encoding {encoding}: make it with `--encoding UTF8`"
            ));
        }
        if durability == Durability::Trusted {
            return None;
        }
        let off = if !self.fsync {
            "fsync"
        } else if !self.full_page_writes {
            "full_page_writes"
        } else {
            return None;
        };
        Some(format!(
            "`{off}` is off there, so a crash may destroy what it has confirmed: turn it on, or set `store.durability: \
             trusted` if the disk makes up for it"
        ))
    }

    /// The same promises, with a setting that has changed.
    pub fn with_standby_names(self, standby_names: String) -> Self {
        Self {
            standby_names,
            ..self
        }
    }

    pub fn version(&self) -> &str {
        &self.version
    }

    /// `synchronous_commit` of the server, which sessions of this store replace if it is too weak.
    pub fn synchronous_commit(&self) -> &str {
        &self.synchronous_commit
    }

    /// True if sessions of other programs do not wait for a standby.
    pub fn is_local_by_default(&self) -> bool {
        matches!(&*self.synchronous_commit, "off" | "local")
    }

    /// True if a transaction is confirmed only when a standby has it.
    pub fn is_replicated(&self) -> bool {
        is_replicated(&self.standby_names)
    }
}

/// `off` and `local` are replaced by `on` in each session.
pub(super) fn is_replicated(standby_names: &str) -> bool {
    !standby_names.trim().is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sound() -> Promises {
        Promises {
            version_number: 150_018,
            version: "15.18".to_owned(),
            fsync: true,
            full_page_writes: true,
            synchronous_commit: "on".to_owned(),
            standby_names: String::new(),
            encoding: "UTF8".to_owned(),
        }
    }

    #[test]
    fn a_server_that_may_destroy_what_it_confirmed_is_refused() {
        assert_eq!(sound().refusal(Durability::Local), None);
        let old = Promises {
            version_number: 130_012,
            ..sound()
        };
        let unsynced = Promises {
            fsync: false,
            ..sound()
        };
        let torn = Promises {
            full_page_writes: false,
            ..sound()
        };
        for (promises, word) in [
            (&old, "14"),
            (&unsynced, "`fsync`"),
            (&torn, "`full_page_writes`"),
        ] {
            for durability in [Durability::Local, Durability::Replicated] {
                assert!(promises.refusal(durability).unwrap().contains(word));
            }
        }
        assert!(old.refusal(Durability::Trusted).is_some());
        assert_eq!(unsynced.refusal(Durability::Trusted), None);
    }
}
