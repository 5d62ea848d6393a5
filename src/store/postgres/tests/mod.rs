//! Tests of what only a store on a server can do. Those that need PostgreSQL are ignored without it.

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
