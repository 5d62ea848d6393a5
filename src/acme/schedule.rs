//! Schedule of renewals: early enough, spread over daemons, with growing pauses after failures.
//!
//! Pure: time, validity and failures are arguments.

use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::base::clock::Timestamp;
use crate::tls::pem::Validity;

/// Pause after an attempt that did not reach the authority. The pause doubles with every further
/// failure.
const PAUSE: Duration = Duration::from_mins(1);
/// Pause after a refusal, which also doubles. Let's Encrypt allows five "failed authorizations" per
/// hour.
const REFUSED_PAUSE: Duration = Duration::from_mins(15);
/// Maximum pause after failures.
const MAX_PAUSE: Duration = Duration::from_hours(6);
/// Minimum pause after a certificate was issued, however short its lifetime.
const ISSUED_PAUSE: Duration = Duration::from_mins(1);

/// Derives a number from 0 to 1 from a certificate. The number differs between certificates, so
/// that daemons do not all ask at the same time. A restart does not change the number.
pub(super) fn fraction(certificate: &[u8]) -> f64 {
    let digest = Sha256::digest(certificate);
    let (high, low) = (digest.first().copied(), digest.get(1).copied());
    (f64::from(high.unwrap_or_default()) * 256.0 + f64::from(low.unwrap_or_default())) / 65536.0
}

/// Renewal time without a suggestion: when a third of the lifetime is left, or up to a thirtieth
/// earlier.
pub(super) fn usual(validity: Validity, fraction: f64) -> Timestamp {
    let lifetime = validity.lifetime();
    validity
        .from
        .plus((lifetime * 2 / 3).saturating_sub((lifetime / 30).mul_f64(fraction)))
}

/// Renewal time within the window that the authority suggests (RFC 9773 §4.2). Never in the last
/// tenth of the lifetime.
pub(super) fn suggested(
    validity: Validity,
    (start, end): (Timestamp, Timestamp),
    fraction: f64,
) -> Timestamp {
    let latest = validity.from.plus(validity.lifetime() * 9 / 10);
    start.plus(end.since(start).mul_f64(fraction)).min(latest)
}

/// Pause after `failures` failed attempts in a row, at least one.
pub(super) fn pause(failures: u32, refused: bool, retry_after: Option<Duration>) -> Duration {
    let first = if refused { REFUSED_PAUSE } else { PAUSE };
    let doubled = 1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX);
    let pause = first.saturating_mul(doubled).min(MAX_PAUSE);
    pause.max(retry_after.unwrap_or_default())
}

/// Pause after a certificate was issued, whatever renewal time the authority or the clock suggests.
pub(super) fn pause_after(validity: Validity) -> Duration {
    ISSUED_PAUSE.max(validity.lifetime() / 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_hours(24);

    fn days(days: u32) -> Timestamp {
        Timestamp::EPOCH.plus(DAY * days)
    }

    #[test]
    fn a_certificate_is_renewed_when_at_most_a_third_of_its_lifetime_is_left() {
        let validity = Validity {
            from: days(0),
            until: days(90),
        };
        assert_eq!(usual(validity, 0.0), days(60));
        assert_eq!(usual(validity, 1.0), days(57));
        let window = (days(50), days(52));
        assert_eq!(suggested(validity, window, 0.5), days(51));
        // An impossible window is corrected.
        assert_eq!(suggested(validity, (days(200), days(300)), 0.5), days(81));
        assert_eq!(suggested(validity, (days(52), days(50)), 0.5), days(52));
    }

    #[test]
    fn a_certificate_has_its_own_fraction() {
        let all: Vec<f64> = (0..100_u8).map(|number| fraction(&[number])).collect();
        assert!(
            all.iter().all(|fraction| (0.0..1.0).contains(fraction)),
            "{all:?}"
        );
        assert!(all.iter().any(|fraction| *fraction < 0.2) && all.iter().any(|fraction| *fraction > 0.8));
    }

    #[test]
    fn failed_attempts_become_rare() {
        let minutes = |failures, refused| pause(failures, refused, None).as_secs() / 60;
        assert_eq!(
            [1, 2, 3, 9, 40].map(|failures| minutes(failures, false)),
            [1, 2, 4, 256, 360]
        );
        assert_eq!([1, 2, 6].map(|failures| minutes(failures, true)), [15, 30, 360]);
        assert_eq!(pause(1, true, Some(DAY)), DAY);
    }
}
