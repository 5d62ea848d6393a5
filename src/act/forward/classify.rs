//! Classification of responses: done, worth a retry, or failed for good.
//!
//! Only failures that may pass are retried, and the delay that a target asks for is bounded.

use std::time::Duration;

use http::{HeaderMap, StatusCode};

use crate::act::forward::status::{Meaning, StatusMeanings};
use crate::act::outcome::Verdict;
use crate::base::clock::Timestamp;
use crate::client::retry_after;

/// Maximum `Retry-After` that is respected. Longer ones are cut.
pub const MAX_RETRY_AFTER: Duration = Duration::from_hours(1);

/// Returns the verdict on a response, and its detail. What the rule says comes before the default.
pub fn classify(
    status: StatusCode,
    headers: &HeaderMap,
    now: Timestamp,
    meanings: &StatusMeanings,
) -> (Verdict, String) {
    let detail = format!("HTTP {}", status.as_u16());
    let failed = || {
        let retry_after = retry_after(headers, now).map(|wait| wait.min(MAX_RETRY_AFTER));
        Verdict::Failed { retry_after }
    };
    match meanings.of(status.as_u16()) {
        Some(Meaning::Done) => return (Verdict::Done, detail),
        Some(Meaning::Retry) => return (failed(), detail),
        Some(Meaning::Dead) => return (Verdict::Dead, detail),
        None => {}
    }
    match status.as_u16() {
        200..=299 => (Verdict::Done, detail),
        // A redirect could lead anywhere, also into the private network.
        300..=303 | 307 | 308 => (Verdict::Dead, format!("{detail}: redirects are not followed")),
        // A request that came too early (RFC 8470) or reached the wrong server may succeed the next
        // time.
        408 | 421 | 425 | 429 | 500..=599 => (failed(), detail),
        _ => (Verdict::Dead, detail),
    }
}

#[cfg(test)]
mod tests {
    use http::header::RETRY_AFTER;

    use super::*;

    /// The default classification.
    fn classify(status: StatusCode, headers: &HeaderMap, now: Timestamp) -> (Verdict, String) {
        super::classify(status, headers, now, &StatusMeanings::default())
    }

    #[test]
    fn statuses_have_a_verdict() {
        let failed = Verdict::FAILED;
        for (status, verdict) in [
            (200, Verdict::Done),
            (202, Verdict::Done),
            (204, Verdict::Done),
            (299, Verdict::Done),
            (101, Verdict::Dead),
            (199, Verdict::Dead),
            (300, Verdict::Dead),
            (301, Verdict::Dead),
            (302, Verdict::Dead),
            (304, Verdict::Dead),
            (307, Verdict::Dead),
            (400, Verdict::Dead),
            (401, Verdict::Dead),
            (404, Verdict::Dead),
            (408, failed),
            (409, Verdict::Dead),
            (410, Verdict::Dead),
            (421, failed),
            (422, Verdict::Dead),
            (425, failed),
            (429, failed),
            (499, Verdict::Dead),
            (500, failed),
            (502, failed),
            (503, failed),
            (504, failed),
            (599, failed),
            (600, Verdict::Dead),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            let classified = classify(status, &HeaderMap::new(), Timestamp::from_seconds(0));
            assert_eq!(classified.0, verdict, "{status}");
        }
    }

    #[test]
    fn only_a_redirect_is_called_one() {
        let detail = |status: u16| {
            let status = StatusCode::from_u16(status).unwrap();
            classify(status, &HeaderMap::new(), Timestamp::from_seconds(0)).1
        };
        for status in [300, 301, 302, 303, 307, 308] {
            assert!(detail(status).ends_with("redirects are not followed"), "{status}");
        }
        for status in [101, 304, 305, 306, 399, 425] {
            assert_eq!(detail(status), format!("HTTP {status}"));
        }
    }

    #[test]
    fn retry_after_is_read_and_capped() {
        // 1994-11-06T08:49:37Z
        let now = Timestamp::from_seconds(784_111_777);
        for (text, expected) in [
            ("120", Some(120)),
            (" 7 ", Some(7)),
            ("0", Some(0)),
            ("86400", Some(3600)),
            ("99999999999999999999999", Some(3600)),
            ("Sun, 06 Nov 1994 08:50:37 GMT", Some(60)),
            ("Sun, 06 Nov 1994 08:49:00 GMT", Some(0)),
            ("Wed, 06 Nov 2097 08:49:37 GMT", Some(3600)),
            ("-5", None),
            ("1.5", None),
            ("soon", None),
            ("", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, text.parse().unwrap());
            let (verdict, _) = classify(StatusCode::SERVICE_UNAVAILABLE, &headers, now);
            let retry_after = expected.map(Duration::from_secs);
            assert_eq!(verdict, Verdict::Failed { retry_after }, "{text}");
        }
    }
}
