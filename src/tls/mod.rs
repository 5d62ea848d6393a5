//! Certificates and keys, shared by the server and the client.
//!
//! PEM files are read at load (`pem.rs`). Handshakes are left to the server and the client.

pub mod pem;
