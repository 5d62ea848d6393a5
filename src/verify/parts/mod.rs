//! Parts that several schemes and the handshakes share. None of them knows a scheme.

pub mod keys;
pub mod mac;
pub mod mac_token;
pub mod places;
pub mod secrets;
pub mod settings;
pub mod sign_body;
pub mod source;
pub mod unsigned;
