//! Errors of an attempt at a certificate, split by what the renewer does about them.

use instant_acme::Error;

/// Error type for an unknown account (RFC 8555 §6.7).
const NO_ACCOUNT: &str = "urn:ietf:params:acme:error:accountDoesNotExist";

/// Reason for a missing certificate.
#[derive(Debug)]
pub(super) struct OrderError {
    pub(super) message: String,
    /// True if the authority has refused. False if it was not reached or gave no clear answer.
    pub(super) refused: bool,
    /// True if the authority does not know the account.
    pub(super) no_account: bool,
}

impl OrderError {
    /// Creates an error for a refusal by the authority.
    pub(super) fn refused(message: String) -> Self {
        Self {
            refused: true,
            ..Self::from(message)
        }
    }
}

impl From<String> for OrderError {
    fn from(message: String) -> Self {
        Self {
            message,
            refused: false,
            no_account: false,
        }
    }
}

impl From<Error> for OrderError {
    fn from(error: Error) -> Self {
        let Error::Api(problem) = &error else {
            return Self::from(match &error {
                Error::Json(error) => format!("what the authority says is not understood: {error}"),
                error => error.to_string(),
            });
        };
        Self {
            no_account: problem.r#type.as_deref() == Some(NO_ACCOUNT),
            ..Self::refused(problem.to_string())
        }
    }
}

impl From<rcgen::Error> for OrderError {
    fn from(error: rcgen::Error) -> Self {
        Self::from(error.to_string())
    }
}
