//! Tests of the whole path of an event with a manual clock: real rules, ingest and dispatch, the
//! store in memory, and actions that end as the test says.

mod machine;
mod world;
