//! Sizes of the rings of arrivals, kept up to date with every write.

use rusqlite::Connection;

use crate::event::Ring;
use crate::store::RingSize;

const SIZES: &str = "SELECT count(*), coalesce(sum(weight), 0) FROM arrivals WHERE ring = ?1";

/// Sizes of the rings, or changes of them: records and bytes, in the order of [`Ring::ALL`].
pub(super) type RingSizes = [(i64, i64); 2];

/// Changes the size of a ring.
pub(super) fn change(rings: &mut RingSizes, ring: Ring, records: i64, bytes: i64) {
    let [ignored, refused] = rings;
    let changed = match ring {
        Ring::Ignored => ignored,
        Ring::Refused => refused,
    };
    changed.0 += records;
    changed.1 += bytes;
}

/// The size of one ring.
pub(super) fn size_of(rings: &RingSizes, ring: Ring) -> RingSize {
    let [ignored, refused] = rings;
    let (records, bytes) = match ring {
        Ring::Ignored => ignored,
        Ring::Refused => refused,
    };
    let number = |number: i64| u64::try_from(number).unwrap_or(0);
    RingSize {
        records: number(*records),
        bytes: number(*bytes),
    }
}

/// Counts the records of both rings.
pub(super) fn count(connection: &Connection) -> rusqlite::Result<RingSizes> {
    let mut rings = RingSizes::default();
    for ring in Ring::ALL {
        let (records, bytes) =
            connection.query_row(SIZES, [ring.name()], |row| Ok((row.get(0)?, row.get(1)?)))?;
        change(&mut rings, ring, records, bytes);
    }
    Ok(rings)
}
