//! Rotation of a file to which lines are appended.
//!
//! `file` becomes `file.1`, `file.1` becomes `file.2`, and so on. Files past `keep` are deleted.
//! The renames start at the first free number and end with the file itself. A crash between two of
//! them loses no file: it leaves a free number, at which the next rotation starts. Locking the file
//! is left to `locked_file.rs`.

use std::ffi::OsString;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::base::clock::Timestamp;
use crate::base::diagnostic::Diagnostics;
use crate::base::units::Size;
use crate::base::yaml::Node;

/// Rotated files to keep if the rule does not say.
const DEFAULT_KEEP: u32 = 7;
/// Maximum rotated files to keep. A rotation may check all of them.
const MAX_KEEP: u32 = 1000;
/// Seconds of a day.
const DAY: i64 = 86_400;

/// Rotation settings of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotate {
    /// Maximum size in bytes. The file is rotated before it would grow larger.
    size: Option<u64>,
    /// True if the file is rotated before the first line of a day (UTC).
    daily: bool,
    keep: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RotateFields {
    size: Option<Size>,
    every: Option<Every>,
    keep: Option<u32>,
}

/// Interval of rotation.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Every {
    Day,
}

impl Rotate {
    /// Returns the number of rotated files to keep.
    pub fn keep(self) -> u32 {
        self.keep
    }

    /// Reads `rotate`.
    pub(super) fn compile(node: Node<'_>, diagnostics: &mut Diagnostics) -> Option<Self> {
        let before = diagnostics.errors();
        let fields: RotateFields = node
            .read(diagnostics)
            .filter(|_| diagnostics.errors() == before)?;
        let rotate = Self {
            size: fields.size.map(|Size(bytes)| bytes),
            daily: matches!(fields.every, Some(Every::Day)),
            keep: fields.keep.unwrap_or(DEFAULT_KEEP),
        };
        if rotate.size.is_none() && !rotate.daily {
            let diagnostic = node.error("rotate", "`rotate` says neither `size` nor `every`");
            diagnostics
                .push(diagnostic.hint("write `rotate: {size: 100MiB, keep: 7}` or `rotate: {every: day}`"));
        }
        if let (Some(0), Some(node)) = (rotate.size, node.get("size")) {
            diagnostics.push(node.error("rotate", "`size` must be more than nothing"));
        }
        if let (false, Some(node)) = ((1..=MAX_KEEP).contains(&rotate.keep), node.get("keep")) {
            diagnostics.push(node.error("rotate", format!("`keep` is 1 to {MAX_KEEP}")));
        }
        (diagnostics.errors() == before).then_some(rotate)
    }

    /// True if a file of `length` bytes, last written to at `written`, must be rotated before
    /// `line` more bytes.
    pub(super) fn is_due(&self, length: u64, written: Timestamp, line: usize, now: Timestamp) -> bool {
        let line = u64::try_from(line).unwrap_or(u64::MAX);
        let full = self.size.is_some_and(|size| length.saturating_add(line) > size);
        let old = self.daily && day(written) < day(now);
        length > 0 && (full || old)
    }

    /// Renames the file at `path` and shifts the older ones.
    pub(super) fn perform(&self, path: &Path) -> io::Result<()> {
        // If the path is a link, rotate the file that it leads to.
        let path = path.canonicalize()?;
        for (from, to) in self.renames(|number| numbered(&path, number).symlink_metadata().is_ok()) {
            std::fs::rename(numbered(&path, from), numbered(&path, to))?;
        }
        // An earlier `keep` may have been larger.
        for surplus in (self.keep + 1)..=(MAX_KEEP + 1) {
            match std::fs::remove_file(numbered(&path, surplus)) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::NotFound => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Returns the renames in order. 0 is the file itself. If no number is free, the last file to
    /// keep is overwritten.
    fn renames(&self, is_there: impl Fn(u32) -> bool) -> Vec<(u32, u32)> {
        let free = (1..self.keep).find(|number| !is_there(*number));
        let free = free.unwrap_or(self.keep);
        (0..free).rev().map(|number| (number, number + 1)).collect()
    }
}

/// Returns the number of days since 1970.
fn day(at: Timestamp) -> i64 {
    at.as_seconds().div_euclid(DAY)
}

/// Returns the path of a rotated file. 0 is the file itself.
fn numbered(path: &Path, number: u32) -> PathBuf {
    if number == 0 {
        return path.to_owned();
    }
    let mut name = OsString::from(path);
    name.push(format!(".{number}"));
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rotate(size: Option<u64>, daily: bool, keep: u32) -> Rotate {
        Rotate { size, daily, keep }
    }

    #[test]
    fn a_file_is_rotated_before_it_grows_too_large_or_a_day_begins() {
        let noon = Timestamp::from_seconds(20_000 * DAY + DAY / 2);
        let midnight = Timestamp::from_seconds(20_001 * DAY);
        let before = Timestamp::from_millis(midnight.as_millis() - 1);
        for (rotate, length, written, line, now, due) in [
            (rotate(Some(100), false, 7), 90, noon, 10, midnight, false),
            (rotate(Some(100), false, 7), 90, noon, 11, noon, true),
            // A line larger than the limit is written all the same.
            (rotate(Some(100), false, 7), 0, noon, 500, noon, false),
            (rotate(None, true, 7), 1, noon, 1, before, false),
            (rotate(None, true, 7), 1, before, 1, midnight, true),
            (rotate(None, true, 7), 0, before, 1, midnight, false),
            // The clock was set back.
            (rotate(None, true, 7), 1, midnight, 1, noon, false),
            (rotate(Some(100), true, 7), 100, noon, 1, noon, true),
        ] {
            assert_eq!(
                rotate.is_due(length, written, line, now),
                due,
                "{rotate:?} {length} {line}"
            );
        }
    }

    #[test]
    fn the_renames_end_at_the_first_free_number() {
        let three = rotate(Some(1), false, 3);
        for (there, renames) in [
            (&[][..], &[(0, 1)][..]),
            (&[1], &[(1, 2), (0, 1)]),
            (&[1, 2], &[(2, 3), (1, 2), (0, 1)]),
            (&[1, 2, 3], &[(2, 3), (1, 2), (0, 1)]),
            (&[2, 3], &[(0, 1)]),
            (&[1, 3], &[(1, 2), (0, 1)]),
        ] {
            assert_eq!(
                three.renames(|number| there.contains(&number)),
                renames,
                "{there:?}"
            );
        }
        assert_eq!(rotate(Some(1), false, 1).renames(|_| true), [(0, 1)]);
    }

    #[test]
    fn a_crash_between_two_renames_costs_no_file() {
        let three = rotate(Some(1), false, 4);
        for crash in 0..4 {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("log");
            for number in 0..4 {
                std::fs::write(numbered(&path, number), number.to_string()).unwrap();
            }
            let renames = three.renames(|number| numbered(&path, number).exists());
            for (from, to) in &renames[..crash] {
                std::fs::rename(numbered(&path, *from), numbered(&path, *to)).unwrap();
            }
            // The daemon starts again, and the file is still due.
            three.perform(&path).unwrap();
            let left: Vec<String> = (1..=5)
                .filter_map(|number| std::fs::read_to_string(numbered(&path, number)).ok())
                .collect();
            assert_eq!(left, ["0", "1", "2", "3"], "{crash}");
        }
    }

    #[test]
    fn files_beyond_keep_are_deleted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        for number in [0, 1, 2, 3, 4, 6] {
            std::fs::write(numbered(&path, number), number.to_string()).unwrap();
        }
        rotate(Some(1), false, 2).perform(&path).unwrap();
        let read = |number| std::fs::read_to_string(numbered(&path, number)).ok();
        assert_eq!((read(1).as_deref(), read(2).as_deref()), (Some("0"), Some("1")));
        assert_eq!((read(0), read(3), read(4)), (None, None, None));
        assert!(
            read(6).is_some(),
            "what does not follow on is not taken to be ours"
        );
    }

    #[test]
    fn the_file_behind_a_link_is_rotated() {
        let folder = tempfile::tempdir().unwrap();
        let (link, file) = (folder.path().join("log"), folder.path().join("real"));
        std::fs::write(&file, "x").unwrap();
        std::os::unix::fs::symlink("real", &link).unwrap();
        rotate(Some(1), false, 2).perform(&link).unwrap();
        assert_eq!(std::fs::read_to_string(numbered(&file, 1)).unwrap(), "x");
        assert!(link.is_symlink() && !file.exists());
    }
}
