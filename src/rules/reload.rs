//! Settings of a reload: `reload:`.

use serde::Deserialize;

/// A kind of change that other rules make.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// Only the old rule matches.
    Loses,
    /// Only the new rule matches.
    Gains,
    /// Both match, and the actions or their group are rendered in another way.
    Differs,
}

impl Change {
    pub const ALL: [Self; 3] = [Self::Loses, Self::Gains, Self::Differs];

    /// Name of the kind in the rules file and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Loses => "loses",
            Self::Gains => "gains",
            Self::Differs => "differs",
        }
    }
}

/// Settings of a reload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReloadSettings {
    /// Changes that a new file must not make, judged by the arrivals that are kept. `None`: not
    /// stated.
    pub refuse_if: Option<Vec<Change>>,
}

impl ReloadSettings {
    /// The changes that a new file with the settings `new` must not make. If it states none, those
    /// of the rules in force hold.
    pub fn refused_changes<'s>(&'s self, new: &'s Self) -> &'s [Change] {
        let stated = new.refuse_if.as_ref().or(self.refuse_if.as_ref());
        stated.map_or(&[], Vec::as_slice)
    }
}
