//! HTTP client: connections, proxies, TLS, and the guard against private addresses.
//!
//! Used by forwards, ACME and `hookyard send`. The meaning of a request is left to the caller.

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
