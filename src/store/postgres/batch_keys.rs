//! Keys of a batch of new events, with what is remembered of each: read once, decided on in memory,
//! written once.
//!
//! The events of a batch are decided one after the other. Each sees what those before it remember.

use tokio_postgres::Row;

use super::failure::Failure;
use super::link::Link;

/// The keys of a batch.
pub(super) struct BatchKeys<'c, V> {
    /// Keys with their rules or endpoints, in the order in which they are locked.
    names: Vec<(&'c [u8], &'c str)>,
    states: Vec<KeyState<V>>,
}

#[derive(Clone)]
struct KeyState<V> {
    /// The value as it was read.
    before: Option<V>,
    /// The value after the events that were decided.
    now: Option<V>,
}

/// A key that is to be written, with its value before, if there was one.
pub(super) struct KeyChange<'k, 'c, V> {
    pub key: &'c [u8],
    pub owner: &'c str,
    pub before: Option<&'k V>,
    pub now: &'k V,
}

impl<'c, V: Clone + PartialEq> BatchKeys<'c, V> {
    /// The keys with their owners, each once.
    pub fn of(names: impl Iterator<Item = (&'c [u8], &'c str)>) -> Self {
        let mut names: Vec<_> = names.collect();
        names.sort_unstable();
        names.dedup();
        let state = KeyState {
            before: None,
            now: None,
        };
        let states = vec![state; names.len()];
        Self { names, states }
    }

    /// Reads what is remembered. The statement takes keys and owners, and its first column is the
    /// position of a key among them, from 1.
    pub async fn read(
        &mut self,
        link: &Link,
        statement: &'static str,
        value: impl Fn(&Row) -> V,
    ) -> Result<(), Failure> {
        if self.names.is_empty() {
            return Ok(());
        }
        let (keys, owners): (Vec<&[u8]>, Vec<&str>) = self.names.iter().copied().unzip();
        for row in link.query(statement, &[&keys, &owners]).await? {
            let number: i64 = row.get(0);
            let index = usize::try_from(number - 1).unwrap_or(usize::MAX);
            if let Some(state) = self.states.get_mut(index) {
                let known = value(&row);
                (state.before, state.now) = (Some(known.clone()), Some(known));
            }
        }
        Ok(())
    }

    /// The value of a key now.
    pub fn get(&self, key: &[u8], owner: &str) -> Option<&V> {
        let index = self.names.binary_search(&(key, owner)).ok()?;
        self.states.get(index)?.now.as_ref()
    }

    /// Replaces the value of a key, which is one of the batch.
    pub fn set(&mut self, key: &[u8], owner: &str, value: V) {
        if let Ok(index) = self.names.binary_search(&(key, owner))
            && let Some(state) = self.states.get_mut(index)
        {
            state.now = Some(value);
        }
    }

    /// The keys that are new.
    pub fn new_keys(&self) -> impl Iterator<Item = KeyChange<'_, 'c, V>> {
        self.changes().filter(|change| change.before.is_none())
    }

    /// The keys that were there and are changed.
    pub fn renewed_keys(&self) -> impl Iterator<Item = KeyChange<'_, 'c, V>> {
        let is_changed = |change: &KeyChange<'_, 'c, V>| change.before.is_some_and(|it| it != change.now);
        self.changes().filter(is_changed)
    }

    fn changes(&self) -> impl Iterator<Item = KeyChange<'_, 'c, V>> {
        let states = self.names.iter().zip(&self.states);
        states.filter_map(|(&(key, owner), state)| {
            Some(KeyChange {
                key,
                owner,
                before: state.before.as_ref(),
                now: state.now.as_ref()?,
            })
        })
    }
}
