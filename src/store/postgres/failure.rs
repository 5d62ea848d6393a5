//! The meaning of an error of the server: whether the call may be repeated, and whether it may have
//! been carried out.

use std::error::Error as _;
use std::io;

use tokio_postgres::error::{DbError, SqlState};

use crate::store::StoreError;

/// Function of the server that gives up the wait for a standby. Its message is translated, its name
/// is not.
const STANDBY_WAIT: &str = "SyncRepWaitForLSN";

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

    /// The error that callers get if the call is not repeated.
    pub fn into_error(self) -> StoreError {
        match self {
            Self::Failed(error) => error,
            Self::Conflict(detail) | Self::Lost(detail) => StoreError::Unavailable { detail },
        }
    }

    /// True if the same call may succeed when it is repeated soon. A full disk and a missing privilege
    /// last longer than a sender waits.
    pub fn may_pass_soon(&self) -> bool {
        match self {
            Self::Conflict(_) | Self::Lost(_) => true,
            Self::Failed(error) => matches!(error, StoreError::Unavailable { .. }),
        }
    }

    /// True if the failure is that of one call, and other calls of its batch may succeed.
    pub fn is_of_one_call(&self) -> bool {
        matches!(self, Self::Failed(StoreError::Unexpected { .. }))
    }

    /// Reads an error from before the connection was ready for use. Nothing was carried out.
    pub fn of_connecting(error: &tokio_postgres::Error) -> Self {
        let detail = words(error);
        let refused = match error.as_db_error() {
            Some(said) => is_refusal(said.code()),
            None => is_misconfigured(error),
        };
        Self::Failed(if refused {
            StoreError::Refused { detail }
        } else {
            StoreError::Unavailable { detail }
        })
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Failed(error)
    }
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        let detail = words(&error);
        match error.as_db_error() {
            Some(said) => meaning(said.code(), detail),
            None if is_own_fault(&error) => Self::unexpected(detail),
            None => Self::Lost(detail),
        }
    }
}

/// The meaning of a code of the server.
fn meaning(code: &SqlState, detail: String) -> Failure {
    match code.code() {
        // Deadlock, serialization failure, a lock that another transaction holds for too long. Of these
        // 22012, a division by zero, is how statements say that another transaction was faster. 25P02
        // follows an error whose own answer was not read, and 42P07 says that a table is there already.
        "42P07" | "40001" | "40P01" | "40002" | "22012" | "23505" | "55P03" | "25P02" => {
            Failure::Conflict(detail)
        }
        // The outcome of a commit is unknown, the server stops or only reads, or the plan of a prepared
        // statement is of tables that have changed.
        "40003" | "25006" | "25P03" | "25P04" | "57P01" | "57P02" | "57P03" | "57P04" | "57P05" | "0A000"
        | "26000" => Failure::Lost(detail),
        "53100" => Failure::Failed(StoreError::Full { detail }),
        "42501" => Failure::Failed(StoreError::Forbidden { detail }),
        other => match other.get(..2).unwrap_or_default() {
            "08" => Failure::Lost(detail),
            // Resources, operator's intervention such as a timeout, an error of the system.
            "53" | "57" | "58" | "28" | "55" => Failure::Failed(StoreError::Unavailable { detail }),
            // Values that the server cannot store, tables that are not ours, a damaged file.
            _ => Failure::unexpected(detail),
        },
    }
}

/// True if the server will not let this user in, however often it is asked.
fn is_refusal(code: &SqlState) -> bool {
    // Wrong password, no entry in `pg_hba.conf`, no such database, no right to connect, a wrong setting.
    matches!(code.code(), "28P01" | "28000" | "3D000" | "42501") || code.code().starts_with("22")
}

/// True for an error that the driver found in its parameters or in the values of a row.
fn is_own_fault(error: &tokio_postgres::Error) -> bool {
    let said = error.to_string();
    [
        "error serializing parameter",
        "error deserializing column",
        "invalid column",
        "query returned an unexpected number",
        "expected ",
    ]
    .iter()
    .any(|start| said.starts_with(start))
}

/// True for an error that only another URL, password or certificate mends.
fn is_misconfigured(error: &tokio_postgres::Error) -> bool {
    let said = error.to_string();
    if said.starts_with("authentication error") || said.starts_with("invalid configuration") {
        return true;
    }
    let source = error.source();
    if said.starts_with("error performing TLS handshake") {
        // A connection that ends in the handshake is no verdict.
        let ended = source.and_then(|cause| cause.downcast_ref::<io::Error>());
        return ended.is_none_or(|cause| {
            let inner = cause.get_ref();
            inner.is_some_and(<dyn std::error::Error + Send + Sync>::is::<rustls::Error>)
        });
    }
    false
}

/// True for a notice that a transaction was committed without waiting for the standby.
pub(super) fn gave_up_standby(notice: &DbError) -> bool {
    notice.routine() == Some(STANDBY_WAIT) || notice.message().contains("synchronous replication")
}

/// The words of an error with those of its causes.
fn words(error: &tokio_postgres::Error) -> String {
    if let Some(said) = error.as_db_error() {
        let hint = said.detail().or(said.hint());
        let hint = hint.map(|hint| format!(": {hint}")).unwrap_or_default();
        return format!("{}{hint} ({})", said.message(), said.code().code());
    }
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let said = next.to_string();
        if !words.contains(&said) {
            words = format!("{words}: {said}");
        }
        cause = next.source();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(code: &str) -> Failure {
        meaning(&SqlState::from_code(code), code.to_owned())
    }

    #[test]
    fn a_code_says_whether_the_call_is_repeated_and_whether_it_may_be_there() {
        for undone in ["40001", "40P01", "22012", "23505", "55P03", "25P02"] {
            assert!(matches!(of(undone), Failure::Conflict(_)), "{undone}");
        }
        for unknown in [
            "08006", "08P01", "25006", "25P03", "40003", "57P01", "57P02", "57P03", "57P05", "0A000", "26000",
        ] {
            assert!(matches!(of(unknown), Failure::Lost(_)), "{unknown}");
        }
        for passing in ["53200", "53300", "53400", "57014", "58030", "55006"] {
            let failure = of(passing);
            assert!(failure.may_pass_soon() && !failure.is_of_one_call(), "{passing}");
            assert!(failure.into_error().may_pass());
        }
        for lasting in ["53100", "42501"] {
            let failure = of(lasting);
            assert!(!failure.may_pass_soon() && !failure.is_of_one_call(), "{lasting}");
            // Settlements are tried until there is room, or the privilege is back.
            assert!(failure.into_error().may_pass(), "{lasting}");
        }
        for own in ["22021", "22P05", "23514", "42P01", "42703", "54000", "XX001"] {
            let failure = of(own);
            assert!(failure.is_of_one_call() && !failure.may_pass_soon(), "{own}");
            assert!(!failure.into_error().may_pass(), "{own}");
        }
    }
}
