//! The whole way of an event with a clock that is moved by hand: real rules, real intake, real dispatch, the store in
//! memory, and actions that end when and as the test says.

mod machine;
mod world;
