//! Schemes by which senders prove their identity. Each family has its own file.
//!
//! [`Scheme`] is what the rest of the crate knows of a scheme. A method without a default is one
//! that every family must decide. The defaults are those of a scheme that signs nothing.

mod adyen;
mod client_cert;
pub mod compile;
mod credentials;
pub mod describe;
mod jwt;
mod message_signature;
mod none;
mod signature;
mod token;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;

use crate::base::clock::Timestamp;
use crate::event::Received;
use crate::verify::outgoing::{OutgoingRequest, Signed};
use crate::verify::parts::keys::ConfiguredKey;
use crate::verify::parts::mac::Mac;
use crate::verify::proof::Proof;
use crate::verify::refusal::Refusal;

/// Compiled scheme.
pub trait Scheme: fmt::Debug + Send + Sync {
    /// Verifies that a request is genuine.
    fn prove(&self, received: &Received) -> Result<Proof, Refusal>;

    /// Returns what the sender would add to the request.
    fn sign(&self, draft: &OutgoingRequest<'_>) -> Result<Signed, String>;

    /// Describes the bytes by which events are recognised. Empty if there are none.
    fn recognised_by(&self) -> String;

    /// Returns true if nothing is verified.
    fn is_none(&self) -> bool {
        false
    }

    /// Returns true if verification reads the body, so that the body is read before the request is
    /// trusted.
    fn reads_unverified(&self) -> bool {
        false
    }

    /// Returns true if the configured keys can sign.
    fn can_sign(&self) -> bool {
        true
    }

    /// Public URL of the server, without its path, if the sender signs the URL.
    fn signed_origin(&self) -> Option<&str> {
        None
    }

    /// Default replay window of a scheme that has a timestamp.
    fn default_window(&self) -> Option<Duration> {
        None
    }

    /// Source of each secret, and the end of its validity.
    fn secrets(&self) -> Vec<(Arc<str>, Option<Timestamp>)> {
        Vec::new()
    }

    /// Value of `WWW-Authenticate` for a refused client.
    fn challenge(&self) -> Option<&'static str> {
        None
    }

    /// Headers that hold the signature or the secret.
    fn credential_headers(&self) -> Vec<HeaderName> {
        Vec::new()
    }

    /// Query parameter that holds the secret or the signature.
    fn credential_query(&self) -> Option<&str> {
        None
    }

    /// Headers that hold timestamps and ids.
    fn stamp_headers(&self) -> Vec<HeaderName> {
        Vec::new()
    }

    /// Query parameters that hold timestamps and ids.
    fn stamp_queries(&self) -> Vec<&str> {
        Vec::new()
    }

    /// Returns true if some part of the request is signed. Otherwise anyone who sees a request can
    /// forge others.
    fn signs(&self) -> bool {
        false
    }

    /// Returns true if a time is signed, so that a captured request becomes stale.
    fn signs_time(&self) -> bool {
        false
    }

    /// Returns true if neither a timestamp nor an id is signed.
    fn signs_content_alone(&self) -> bool {
        false
    }

    /// Returns true if the raw body is all that is signed.
    fn signs_body_alone(&self) -> bool {
        false
    }

    /// Returns true if the signature covers the URL, with path and query.
    fn covers_url(&self) -> bool {
        false
    }

    fn covers_method(&self) -> bool {
        false
    }

    fn covers_header(&self, _name: &HeaderName) -> bool {
        false
    }

    /// Keys that can make MACs other than those of events. `None` if the scheme does not sign with
    /// a shared secret.
    fn mac_keys(&self) -> Option<&[ConfiguredKey<Mac>]> {
        None
    }

    /// Returns true if any text is a valid secret, so that a handshake may set it.
    fn takes_any_secret(&self) -> bool {
        false
    }

    /// Returns true if the whole signed content may be a token of the kind that a handshake signs
    /// for any client.
    fn may_sign_token(&self) -> bool {
        false
    }
}
