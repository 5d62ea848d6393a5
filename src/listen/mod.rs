//! The door to the network: bind or take systemd's sockets, hold the limits, send the answers, drain.
//!
//! Nothing a stranger sends can hold a connection longer than the request timeout, make the daemon keep more than
//! an endpoint's `max_body`, or learn more than a status and a word.

mod bind;
mod connection;
mod request;

pub use bind::{Bound, bind};
pub use connection::serve;
pub use request::Door;
