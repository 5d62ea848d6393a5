//! `status:` of a forward: the meaning of a response's status, where it differs from the default.

use std::ops::RangeInclusive;

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::base::diagnostic::Diagnostics;
use crate::base::yaml::Node;

/// Statuses of final responses.
const FINAL: RangeInclusive<u16> = 200..=599;
/// Lists, in the order of [`Meaning`].
const LISTS: [(&str, Meaning); 3] = [
    ("done", Meaning::Done),
    ("retry", Meaning::Retry),
    ("dead", Meaning::Dead),
];

/// Meaning of a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    Done,
    /// Another attempt may succeed.
    Retry,
    /// No other attempt succeeds.
    Dead,
}

/// Meaning of the listed statuses. All others keep the default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatusMeanings(Vec<(RangeInclusive<u16>, Meaning)>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "read from the node: the position is needed")]
struct StatusShape {
    done: Option<IgnoredAny>,
    retry: Option<IgnoredAny>,
    dead: Option<IgnoredAny>,
}

impl StatusMeanings {
    /// Compiles `status:`. Reports statuses that are listed twice.
    pub fn compile(node: Node<'_>, diagnostics: &mut Diagnostics) -> Self {
        let mut meanings = Self::default();
        if node.read::<StatusShape>(diagnostics).is_none() {
            return meanings;
        }
        for (key, meaning) in LISTS {
            let Some(list) = node.given(key) else { continue };
            if !list.value().is_sequence() {
                let diagnostic = list.error("wrong-value", format!("`{key}` is a list of statuses"));
                diagnostics.push(diagnostic.hint(format!("write `{key}: [404, 5xx]`")));
                continue;
            }
            for item in list.items() {
                let Some(range) = statuses(item) else {
                    let message = "a status is a number from 200 to 599, or a class such as `5xx`";
                    diagnostics.push(item.error("wrong-value", message));
                    continue;
                };
                let overlaps = |known: &RangeInclusive<u16>| {
                    known.start() <= range.end() && range.start() <= known.end()
                };
                if meanings.0.iter().any(|(known, _)| overlaps(known)) {
                    let message = format!("`{}` is listed twice", item.written());
                    let diagnostic = item.error("wrong-value", message);
                    diagnostics
                        .push(diagnostic.hint("a status has one meaning, and a class contains its numbers"));
                    continue;
                }
                meanings.0.push((range, meaning));
            }
        }
        meanings
    }

    /// Meaning of a status, if it is listed.
    pub fn of(&self, status: u16) -> Option<Meaning> {
        let mut listed = self.0.iter();
        listed
            .find(|(range, _)| range.contains(&status))
            .map(|(_, meaning)| *meaning)
    }
}

/// Reads a status or a class.
fn statuses(node: Node<'_>) -> Option<RangeInclusive<u16>> {
    if let Some(number) = node.value().as_u64() {
        let status = u16::try_from(number)
            .ok()
            .filter(|status| FINAL.contains(status))?;
        return Some(status..=status);
    }
    let class = node.as_str()?.strip_suffix("xx")?;
    let hundreds: u16 = class.parse().ok().filter(|_| class.len() == 1)?;
    let first = hundreds * 100;
    FINAL.contains(&first).then_some(first..=first + 99)
}
