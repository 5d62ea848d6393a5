//! A store on a server. What needs no server is in `unreached.rs`.

mod served;
mod unreached;
