//! Hash of a part of the rules file as written, to tell whether two files write it alike.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher as _};

/// Hash of what is written. It is comparable within one process only.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Written(u64);

impl Written {
    pub fn of(value: impl Hash) -> Self {
        let mut hasher = DefaultHasher::new();
        value.hash(&mut hasher);
        Self(hasher.finish())
    }
}

/// Without the hash: two files may mean the same and be written in two ways.
impl fmt::Debug for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Written")
    }
}
