//! Durations and sizes as people write them: `90s`, `10m`, `24h`, `1MiB`.
//!
//! A bare number is refused, for nobody can tell its unit; so is a size that does not fit.

use std::fmt;
use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error, Visitor};

/// A length of time, written `90s`, `10m`, `1h 30m`, `7d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period(pub Duration);

/// A number of bytes, written `512`, `64KiB`, `1MiB`, `10MB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

/// The longest [`Period`]: ten years, so that sums with a moment stay far from overflow.
const LONGEST: Duration = Duration::from_hours(87840);

impl Period {
    /// Reads one; the error says what is wrong, to follow "invalid duration".
    pub fn parse(text: &str) -> Result<Self, String> {
        let period = humantime::parse_duration(text.trim())
            .map_err(|error| format!("invalid duration `{text}`: {error}; write `90s`, `10m` or `24h`"))?;
        if period > LONGEST {
            return Err(format!("invalid duration `{text}`: longer than ten years"));
        }
        Ok(Self(period))
    }
}

impl Size {
    /// Reads one; the error says what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let size: bytesize::ByteSize = text
            .trim()
            .parse()
            // Its own words speak of the parser's insides.
            .or(Err(()))
            .map_err(|()| format!("invalid size `{text}`; write `64KiB`, `1MiB` or `10MB`"))?;
        // A size past this is a slip, and arithmetic with it could wrap to a tiny limit.
        if size.as_u64() > 1 << 50 {
            return Err(format!("invalid size `{text}`: more than 1 PiB"));
        }
        Ok(Self(size.as_u64()))
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(f)
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        /// Takes text alone.
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Period;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration with its unit, such as `90s`, `10m` or `24h`")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Period, E> {
                Period::parse(text).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Text)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        /// Takes text, or a whole number of bytes.
        struct Text;
        impl Visitor<'_> for Text {
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
        deserializer.deserialize_any(Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_and_sizes_are_read_as_people_write_them() {
        assert_eq!(Period::parse("90s"), Ok(Period(Duration::from_secs(90))));
        assert_eq!(Period::parse("24h"), Ok(Period(Duration::from_hours(24))));
        assert_eq!(Size::parse("1MiB"), Ok(Size(1 << 20)));
        assert_eq!(Size::parse("25 MiB"), Ok(Size(25 << 20)));
    }

    #[test]
    fn a_number_without_a_unit_or_out_of_bounds_is_refused() {
        for wrong in ["", "10", "-1s", "1y 1parsec", "20years", "99999999999999999999s"] {
            assert!(Period::parse(wrong).is_err(), "{wrong}");
        }
        for wrong in ["", "MiB", "-1", "999999999TiB", "1.5.5MB"] {
            assert!(Size::parse(wrong).is_err(), "{wrong}");
        }
    }
}
