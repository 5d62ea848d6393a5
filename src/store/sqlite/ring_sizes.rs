//! Sizes of the rings of arrivals, kept up to date with every write.

use std::ops::AddAssign;

use rusqlite::Connection;

use crate::store::{PerRing, Ring, RingSize};

const SIZES: &str = "SELECT count(*), coalesce(sum(weight), 0) FROM arrivals WHERE ring = ?1";

/// The size of a ring, or a change of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct RingChange {
    pub records: i64,
    pub bytes: i64,
}

impl RingChange {
    /// One record more, of this weight.
    pub fn added(weight: i64) -> Self {
        Self {
            records: 1,
            bytes: weight,
        }
    }

    /// One record less, of this weight.
    pub fn removed(weight: i64) -> Self {
        Self {
            records: -1,
            bytes: -weight,
        }
    }

    pub fn size(self) -> RingSize {
        let number = |number: i64| u64::try_from(number).unwrap_or(0);
        RingSize {
            records: number(self.records),
            bytes: number(self.bytes),
        }
    }
}

impl AddAssign for RingChange {
    fn add_assign(&mut self, change: Self) {
        self.records += change.records;
        self.bytes += change.bytes;
    }
}

impl AddAssign for PerRing<RingChange> {
    fn add_assign(&mut self, change: Self) {
        self.ignored += change.ignored;
        self.refused += change.refused;
    }
}

/// Counts the records of both rings.
pub(super) fn count(connection: &Connection) -> rusqlite::Result<PerRing<RingChange>> {
    let mut rings = PerRing::default();
    for ring in Ring::ALL {
        *rings.get_mut(ring) = connection.query_row(SIZES, [ring.name()], |row| {
            Ok(RingChange {
                records: row.get(0)?,
                bytes: row.get(1)?,
            })
        })?;
    }
    Ok(rings)
}
