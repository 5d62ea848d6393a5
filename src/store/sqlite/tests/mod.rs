//! What only a store in a file can do wrong.

mod amending;
mod crashing;
mod opening;
mod writing;
