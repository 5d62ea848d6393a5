//! Moments of a search, as durations before now or as times.

use std::time::Duration;

use crate::base::clock::Timestamp;
use crate::base::units::HumanDuration;

/// Start of a time range that ends now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    /// A duration before now.
    Ago(Duration),
    At(Timestamp),
}

impl Since {
    /// Parses a duration, a date, a date with a time, or RFC 3339.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if let Ok(HumanDuration(period)) = HumanDuration::parse(text) {
            return Ok(Self::Ago(period));
        }
        let separated = text.replacen(' ', "T", 1);
        let as_written = Timestamp::parse_rfc3339(&separated);
        // Without an offset, with or without seconds, with or without a time.
        let mut completed = ["Z", ":00Z", "T00:00:00Z"]
            .iter()
            .map(|rest| Timestamp::parse_rfc3339(&format!("{separated}{rest}")));
        let at = as_written.or_else(|| completed.find_map(|at| at));
        at.map(Self::At).ok_or_else(|| {
            format!("`{text}` is neither a duration nor a time; write `90s`, `7d`, `2026-11-24` or `2026-11-24 14:02`")
        })
    }

    /// Resolves the start, relative to `now`.
    pub fn at(self, now: Timestamp) -> Timestamp {
        match self {
            Self::Ago(period) => {
                let period = i64::try_from(period.as_millis()).unwrap_or(i64::MAX);
                Timestamp::from_millis(now.as_millis().saturating_sub(period))
            }
            Self::At(at) => at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beginning_is_a_duration_or_a_time() {
        let now = Timestamp::parse_rfc3339("2026-11-24T15:00:00Z").unwrap();
        for (text, expected) in [
            ("90s", "2026-11-24T14:58:30.000Z"),
            ("1h 30m", "2026-11-24T13:30:00.000Z"),
            ("7d", "2026-11-17T15:00:00.000Z"),
            ("2026-11-24", "2026-11-24T00:00:00.000Z"),
            ("2026-11-24 14:02", "2026-11-24T14:02:00.000Z"),
            ("2026-11-24 14:02:03", "2026-11-24T14:02:03.000Z"),
            ("2026-11-24T14:02", "2026-11-24T14:02:00.000Z"),
            ("2026-11-24T14:02:03.5Z", "2026-11-24T14:02:03.500Z"),
            ("2026-11-24T14:02:00+01:00", "2026-11-24T13:02:00.000Z"),
            (" 2026-11-24 ", "2026-11-24T00:00:00.000Z"),
        ] {
            let since = Since::parse(text).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(since.at(now).to_string(), expected, "{text}");
        }
        for text in [
            "",
            "90",
            "yesterday",
            "2026-13-01",
            "2026-11-31",
            "14:02",
            "24.11.2026",
            "-1h",
        ] {
            let error = Since::parse(text).unwrap_err();
            assert!(error.contains("write `90s`"), "{error}");
        }
    }
}
