//! Durations, sizes and rates as people write them: `90s`, `10m`, `24h`, `1MiB`, `10/s`.
//!
//! A bare number is not a duration, because its unit would be a guess. A size beyond 1 PiB is
//! rejected.

use std::fmt;
use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error, Visitor};

use crate::base::diagnostic::Diagnostics;
use crate::base::yaml::Node;

/// A duration, written `90s`, `10m`, `1h 30m`, `7d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HumanDuration(pub Duration);

/// A number of bytes, written `512`, `64KiB`, `1MiB`, `10MB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

/// A rate limit, written `10/s`, `60/m`, `500/h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// From 1 to 1,000,000.
    pub count: u32,
    /// A second, a minute or an hour.
    pub unit: Duration,
}

/// Maximum `count` of a [`Rate`].
const MOST: u32 = 1_000_000;

/// Maximum [`HumanDuration`]: ten years, so that adding one to a timestamp stays far from overflow.
const LONGEST: Duration = Duration::from_hours(87840);

impl HumanDuration {
    /// Parses a duration. The error says what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let period = humantime::parse_duration(text.trim())
            .map_err(|error| format!("invalid duration `{text}`: {error}; write `90s`, `10m` or `24h`"))?;
        if period > LONGEST {
            return Err(format!("invalid duration `{text}`: longer than ten years"));
        }
        Ok(Self(period))
    }
}

impl HumanDuration {
    /// The duration in its two largest units: `3days 4h`.
    pub fn rounded(self) -> String {
        let text = self.to_string();
        text.split(' ').take(2).collect::<Vec<_>>().join(" ")
    }
}

impl Size {
    /// Parses a size. The error says what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let size: bytesize::ByteSize = text
            .trim()
            .parse()
            // The crate's error describes parser internals.
            .or(Err(()))
            .map_err(|()| format!("invalid size `{text}`; write `64KiB`, `1MiB` or `10MB`"))?;
        // A larger size is a typing error, and arithmetic with it could wrap to a tiny limit.
        if size.as_u64() > 1 << 50 {
            return Err(format!("invalid size `{text}`: more than 1 PiB"));
        }
        Ok(Self(size.as_u64()))
    }
}

impl Rate {
    /// The part of each of `nodes` that keep to this rate together.
    #[must_use]
    pub fn shared_by(self, nodes: u32) -> Self {
        Self {
            unit: self.unit * nodes.max(1),
            ..self
        }
    }

    /// Parses the rate under `key`. Adds a diagnostic if it is invalid.
    pub fn compile(node: Node<'_>, key: &str, diagnostics: &mut Diagnostics) -> Option<Self> {
        let rate = node.as_str().and_then(Self::parse);
        if rate.is_none() {
            let message = format!("`{key}` is how many requests, 1 to {MOST}, in a second, minute or hour");
            let diagnostic = node.error("wrong-value", message);
            diagnostics
                .push(diagnostic.hint(format!("write `{key}: 10/s`, `{key}: 60/m` or `{key}: 500/h`")));
        }
        rate
    }

    pub fn parse(text: &str) -> Option<Self> {
        let (count, unit) = text.split_once('/')?;
        let unit = match unit.trim() {
            "s" => Duration::from_secs(1),
            "m" => Duration::from_mins(1),
            "h" => Duration::from_hours(1),
            _ => return None,
        };
        let count = count.trim().parse().ok()?;
        (1..=MOST).contains(&count).then_some(Self { count, unit })
    }

    /// The time between two requests at this rate.
    pub fn interval(self) -> Duration {
        self.unit / self.count
    }
}

impl fmt::Display for HumanDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(f)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        bytesize::ByteSize(self.0).fmt(f)
    }
}

impl<'de> Deserialize<'de> for HumanDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        /// Accepts text only.
        struct DurationVisitor;
        impl Visitor<'_> for DurationVisitor {
            type Value = HumanDuration;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration with its unit, such as `90s`, `10m` or `24h`")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<HumanDuration, E> {
                HumanDuration::parse(text).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(DurationVisitor)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        /// Accepts text, or a whole number of bytes.
        struct SizeVisitor;
        impl Visitor<'_> for SizeVisitor {
            type Value = Size;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size such as `64KiB` or `1MiB`")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Size, E> {
                Size::parse(text).map_err(E::custom)
            }
            fn visit_u64<E: Error>(self, bytes: u64) -> Result<Size, E> {
                Size::parse(&bytes.to_string()).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(SizeVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_and_sizes_are_read_as_people_write_them() {
        assert_eq!(
            HumanDuration::parse("90s"),
            Ok(HumanDuration(Duration::from_secs(90)))
        );
        assert_eq!(
            HumanDuration::parse("24h"),
            Ok(HumanDuration(Duration::from_hours(24)))
        );
        assert_eq!(Size::parse("1MiB"), Ok(Size(1 << 20)));
        assert_eq!(Size::parse("25 MiB"), Ok(Size(25 << 20)));
    }

    #[test]
    fn rates_are_read_with_their_unit() {
        for (text, millis) in [
            ("10/s", 100),
            ("1/s", 1000),
            ("60/m", 1000),
            (" 120 / h ", 30_000),
        ] {
            let interval = Rate::parse(text).unwrap().interval();
            assert_eq!(interval, Duration::from_millis(millis), "{text}");
        }
        for wrong in [
            "",
            "10",
            "10/d",
            "0/s",
            "-1/s",
            "1.5/s",
            "/s",
            "1000001/s",
            "10/s/s",
        ] {
            assert_eq!(Rate::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_number_without_a_unit_or_out_of_bounds_is_refused() {
        for wrong in ["", "10", "-1s", "1y 1parsec", "20years", "99999999999999999999s"] {
            assert!(HumanDuration::parse(wrong).is_err(), "{wrong}");
        }
        for wrong in ["", "MiB", "-1", "999999999TiB", "1.5.5MB"] {
            assert!(Size::parse(wrong).is_err(), "{wrong}");
        }
    }
}
