//! The HTTP client: connections, proxies, TLS, and the guard against private addresses.
//!
//! Forwards, ACME and `hookyard send` use it. It does not know what a request means to its caller.

mod connector;
mod http;
mod proxy;
mod retry_after;
mod route;
mod ssrf;
mod tls;

pub use http::{Client, ClientError, ClientPool};
pub use proxy::Proxy;
pub use retry_after::retry_after;
pub use route::Route;
pub use tls::TlsSettings;
