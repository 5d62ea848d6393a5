//! Tests of what only a store on a server can do. Those that need a server are ignored without it.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::large_futures,
    clippy::string_slice,
    clippy::format_push_string,
    clippy::semicolon_if_nothing_returned,
    reason = "tests of a real server measure time, and read its address from the environment"
)]

mod days;
mod failing_over;
mod instance;
mod moving;
mod opening;
mod plans;
mod repeating;
mod securing;
mod sharing;
mod speed;
mod urls;
mod working;
