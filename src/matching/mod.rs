//! Which rules want it?
