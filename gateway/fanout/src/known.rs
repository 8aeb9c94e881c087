//! What a lane knows to be in its store already, so as not to write it again.
//!
//! Only a saving: a miss costs a write that changes nothing. An entry is made
//! once the store has *taken* the write, never before, so that a refused write
//! cannot hide a later one. Bounded: two generations, the older one goes.

use ahash::AHashMap;
use sluice_seams::{Day, Key, UserKey};

/// Orders candidates for a user's first event: the smallest wins.
pub(crate) type When = (i64, Key);

/// What the document store has taken of state.
#[derive(Debug)]
pub(crate) struct Known {
    first: Generations<u128, When>,
    visits: Generations<(u128, i32), ()>,
}

/// What a batch adds to [`Known`] once it is taken.
#[derive(Debug, Default)]
pub(crate) struct Learned {
    pub first: Vec<(UserKey, When)>,
    pub visits: Vec<(UserKey, Day)>,
}

/// A bounded map of two generations: the older one goes.
#[derive(Debug)]
pub(crate) struct Generations<K, V> {
    entries_max: usize,
    young: AHashMap<K, V>,
    old: AHashMap<K, V>,
}

// === impl Known ===

impl Known {
    /// Room for about this many users, and as many visits.
    pub(crate) fn new(users_max: usize) -> Self {
        Self { first: Generations::new(users_max), visits: Generations::new(users_max) }
    }

    /// Whether the store holds this or a smaller first event.
    pub(crate) fn first_by(&self, user: UserKey, when: When) -> bool {
        self.first.get(&user.0).is_some_and(|held| *held <= when)
    }

    /// Whether the store holds this visit.
    pub(crate) fn visit(&self, user: UserKey, day: Day) -> bool {
        self.visits.get(&(user.0, day.0)).is_some()
    }

    /// Adds what a store has taken.
    pub(crate) fn learn(&mut self, learned: Learned) {
        for (user, when) in learned.first {
            if !self.first_by(user, when) {
                self.first.insert(user.0, when);
            }
        }
        for (user, day) in learned.visits {
            self.visits.insert((user.0, day.0), ());
        }
    }

    /// Forgets everything: the store may have been emptied before a replay.
    pub(crate) fn clear(&mut self) {
        self.first.clear();
        self.visits.clear();
    }
}

// === impl Generations ===

impl<K: std::hash::Hash + Eq, V> Generations<K, V> {
    pub(crate) fn new(entries_max: usize) -> Self {
        Self { entries_max: (entries_max / 2).max(1), young: AHashMap::new(), old: AHashMap::new() }
    }

    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        self.young.get(key).or_else(|| self.old.get(key))
    }

    pub(crate) fn insert(&mut self, key: K, value: V) {
        if self.young.len() >= self.entries_max {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }

    fn clear(&mut self) {
        self.young.clear();
        self.old.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_earlier_first_event_is_news() {
        let mut known = Known::new(8);
        let learned = |ms| Learned { first: vec![(UserKey(1), (ms, Key(5)))], visits: vec![] };
        known.learn(learned(100));
        known.learn(learned(200));
        assert!(known.first_by(UserKey(1), (100, Key(5))));
        assert!(!known.first_by(UserKey(1), (100, Key(4))));
        assert!(!known.first_by(UserKey(1), (99, Key(9))));
        known.clear();
        assert!(!known.first_by(UserKey(1), (200, Key(5))));
    }

    #[test]
    fn bounded() {
        let mut known = Known::new(4);
        for n in 0..100 {
            known.learn(Learned { first: vec![], visits: vec![(UserKey(n), Day(1))] });
        }
        assert!(known.visits.young.len() + known.visits.old.len() <= 4);
        assert!(known.visit(UserKey(99), Day(1)));
    }
}
