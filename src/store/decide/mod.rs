//! Decisions of a store: pure functions that are told a snapshot.
//!
//! Every store reads a snapshot, asks, and applies the effects. No decision is written twice. The
//! functions do not write and know no SQL.

pub(super) mod admission;
pub(super) mod dedupe;
pub(super) mod interruption;
pub(super) mod retention;
pub(super) mod ring;
pub(super) mod settlement;
pub(super) mod sighting;
pub(super) mod turns;
