//! The two rings of arrivals that became no event.

/// A ring of arrivals that became no event. Unverified senders cannot push verified arrivals out of
/// theirs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ring {
    /// Arrivals of verified senders: ignored, duplicate and unreadable ones, also if their body was
    /// too large or could not be stored.
    Ignored,
    /// All others, and handshakes, which some schemes answer to any client.
    Refused,
}

impl Ring {
    pub const ALL: [Self; 2] = [Self::Ignored, Self::Refused];

    pub fn name(self) -> &'static str {
        match self {
            Self::Ignored => "ignored",
            Self::Refused => "refused",
        }
    }

    /// The ring of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|ring| ring.name() == name)
    }
}

/// A value for each ring.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PerRing<T> {
    pub ignored: T,
    pub refused: T,
}

impl<T> PerRing<T> {
    pub fn get(&self, ring: Ring) -> &T {
        match ring {
            Ring::Ignored => &self.ignored,
            Ring::Refused => &self.refused,
        }
    }

    pub fn get_mut(&mut self, ring: Ring) -> &mut T {
        match ring {
            Ring::Ignored => &mut self.ignored,
            Ring::Refused => &mut self.refused,
        }
    }
}
