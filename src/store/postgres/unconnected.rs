//! The error of a connection that could not be made.

use crate::store::StoreError;

/// The error of a connection that no host accepted. What only a change of the setup cures is the
/// error only if it is that of each host: another one may be about to take over.
pub(super) fn unconnected(mut failures: Vec<(&str, StoreError)>) -> StoreError {
    if failures.len() == 1
        && let Some((host, failed)) = failures.pop()
    {
        return named(host, failed);
    }
    let detail = |failures: &[(&str, StoreError)]| {
        let parts = failures.iter().map(|(host, failed)| match failed {
            StoreError::Refused { detail } | StoreError::Unavailable { detail } => {
                format!("{host}: {detail}")
            }
            other => format!("{host}: {other}"),
        });
        parts.collect::<Vec<_>>().join("; ")
    };
    let detail = detail(&failures);
    let is_refused = |(_, failed): &(&str, StoreError)| matches!(failed, StoreError::Refused { .. });
    if failures.iter().all(is_refused) {
        StoreError::Refused { detail }
    } else {
        StoreError::Unavailable { detail }
    }
}

/// Adds the host to the words of an error.
fn named(host: &str, failed: StoreError) -> StoreError {
    match failed {
        StoreError::Refused { detail } => StoreError::Refused {
            detail: format!("{host}: {detail}"),
        },
        StoreError::Unavailable { detail } => StoreError::Unavailable {
            detail: format!("{host}: {detail}"),
        },
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused() -> StoreError {
        StoreError::Refused {
            detail: "no".to_owned(),
        }
    }

    fn away() -> StoreError {
        StoreError::Unavailable {
            detail: "away".to_owned(),
        }
    }

    #[test]
    fn a_setup_is_wrong_only_if_each_host_says_so() {
        let refused_by_all = unconnected(vec![("a:1", refused()), ("b:2", refused())]);
        assert_eq!(
            refused_by_all,
            StoreError::Refused {
                detail: "a:1: no; b:2: no".to_owned()
            }
        );
        let perhaps = unconnected(vec![("a:1", refused()), ("b:2", away())]);
        assert_eq!(
            perhaps,
            StoreError::Unavailable {
                detail: "a:1: no; b:2: away".to_owned()
            }
        );
        let alone = unconnected(vec![("a:1", away())]);
        assert_eq!(
            alone,
            StoreError::Unavailable {
                detail: "a:1: away".to_owned()
            }
        );
    }
}
