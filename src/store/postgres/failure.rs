//! The meaning of an error of the server: whether the call may be repeated, and whether it may have
//! been carried out.

use tokio_postgres::error::SqlState;

use crate::store::StoreError;

/// An error of a transaction.
#[derive(Clone, Debug)]
pub(super) enum Failure {
    /// Another transaction was faster. This one was undone and may be repeated at once.
    Conflict(String),
    /// The connection is of no more use, and the outcome is unknown.
    Lost(String),
    /// The transaction was undone.
    Failed(StoreError),
}

impl Failure {
    pub fn unexpected(detail: impl Into<String>) -> Self {
        let detail = detail.into();
        Self::Failed(StoreError::Unexpected { detail })
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Failed(error)
    }
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        let Some(said) = error.as_db_error() else {
            return Self::Lost(error.to_string());
        };
        let detail = format!("{} ({})", said.message(), said.code().code());
        match said.code() {
            // `DIVISION_BY_ZERO` is how statements say that another transaction was faster.
            &(SqlState::T_R_DEADLOCK_DETECTED
            | SqlState::T_R_SERIALIZATION_FAILURE
            | SqlState::DIVISION_BY_ZERO
            | SqlState::UNIQUE_VIOLATION) => Self::Conflict(detail),
            _ => Self::Failed(StoreError::Unavailable { detail }),
        }
    }
}
