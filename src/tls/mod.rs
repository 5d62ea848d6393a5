//! Certificates and keys, shared by the server, the client and the `client_cert` scheme.

pub mod certificate;
pub mod pem;
