//! Text with values in it: compiled once, rendered often.
