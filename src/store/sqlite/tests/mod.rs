//! Tests of failures that only a store in a file can have.

mod amending;
mod crashing;
mod opening;
mod tampering;
mod writing;
