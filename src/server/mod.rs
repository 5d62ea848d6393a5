//! The door to the network: bind or take systemd's sockets, hold the limits, send the answers, drain.
//!
//! Nothing a stranger sends, or leaves unread, can hold a connection longer than the request timeout, make the daemon
//! keep more than an endpoint's `max_body`, or learn more than a status and a word.

mod accept;
mod bind;
mod body;
mod body_budget;
mod client_cert;
mod client_ip;
mod header_budget;
mod http1;
mod http2;
mod near_miss;
mod proxy_protocol;
mod rate_limit;
mod request;
mod slots;
mod socket_activation;
mod tls;
mod write_timeout;

pub use accept::serve;
pub use bind::{Bound, bind};
pub use body_budget::BodyBudget;
pub use header_budget::HeaderBudget;
pub use rate_limit::Limiter;
pub use request::RequestHandler;
pub use slots::ConnectionLimiter;
pub use socket_activation::InheritedSockets;
