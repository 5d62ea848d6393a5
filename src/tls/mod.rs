//! Certificates and keys, shared by the server, the client and the `client_cert` scheme.
//!
//! PEM files are read at load (`pem.rs`). Handshakes are left to the server and the client.

pub mod certificate;
pub mod pem;
