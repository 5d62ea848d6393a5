//! The door to the network: bind or take systemd's sockets, hold the limits, send the answers, drain.
//!
//! Nothing a stranger sends, or leaves unread, can hold a connection longer than the request timeout, make the daemon
//! keep more than an endpoint's `max_body`, or learn more than a status and a word.

mod accept;
mod bind;
mod body;
mod body_budget;
mod connection;
mod forwarded;
mod handed;
mod heads;
mod limit;
mod near_miss;
mod patience;
mod places;
mod presented;
mod proxied;
mod request;
mod second;
mod secure;

pub use accept::serve;
pub use bind::{Bound, bind};
pub use body_budget::BodyBudget;
pub use handed::Handed;
pub use heads::Heads;
pub use limit::Limiter;
pub use places::Places;
pub use request::Door;
