//! The network server: binds sockets or takes systemd's, enforces limits, sends answers, drains.
//!
//! No client can hold a connection longer than the request timeout by sending slowly or by leaving
//! answers unread. No client can make the daemon keep more than an endpoint's `max_body`, and no
//! client learns more than a status and a word. The decision on a request is left to
//! `pipeline::ingest`.

mod accept;
mod bind;
mod body;
mod body_budget;
mod body_table;
mod client_cert;
mod client_ip;
mod client_key;
mod header_budget;
mod http1;
mod http2;
mod near_miss;
mod peer;
mod proxy_protocol;
mod rate_limit;
mod request;
mod request_head;
mod slot_table;
mod slots;
mod socket_activation;
mod tls;

pub use accept::serve;
pub use bind::{Bound, bind};
pub use body_budget::BodyBudget;
pub use header_budget::HeaderBudget;
pub use rate_limit::Limiter;
pub use request::RequestHandler;
pub use slots::ConnectionLimiter;
pub use socket_activation::InheritedSockets;
