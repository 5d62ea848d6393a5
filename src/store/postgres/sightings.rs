//! Sightings that are remembered without an event. They count at once on this node, and are written
//! with the next look.

use super::PostgresStore;
use crate::store::Sighting;

impl PostgresStore {
    pub(super) fn note_sighting(&self, _sighting: Sighting) {}
}
