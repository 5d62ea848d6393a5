//! Remember it until it is done.
