//! A flat, insert-only table of keys with 32 bits of fingerprint each.
//!
//! Open addressing with Robin Hood order: a slot's occupant is never closer to
//! its home than a key that was pushed past it, so that a search for a key that
//! is not there (the usual case) ends after a few slots even when the table is
//! full. A slot is 20 bytes; at [`LOAD_PERCENT`] that is 23.5 bytes a key. The
//! whole table is allocated at once and never grows: the caller keeps tables
//! small and drops them whole.

/// Bytes of one slot.
pub(crate) const SLOT_BYTES: usize = size_of::<Slot>();
/// How full a table gets. Above this, searches for absent keys grow long.
const LOAD_PERCENT: usize = 85;

/// Four words of key, one of fingerprint; a fingerprint of 0 marks an empty
/// slot. An array of integers, so that a zeroed table comes from the allocator
/// without being written.
type Slot = [u32; 5];

/// A table that was sized once.
pub(crate) struct Table {
    slots: Vec<Slot>,
    len: usize,
}

// === impl Table ===

impl Table {
    /// A table of `slots` slots, at least one.
    pub(crate) fn new(slots: usize) -> Self {
        Self { slots: vec![[0; 5]; slots.max(1)], len: 0 }
    }

    /// Keys that a table of `slots` slots takes.
    pub(crate) fn keys_max(slots: usize) -> usize {
        (slots * LOAD_PERCENT / 100).max(1)
    }

    /// Keys in the table.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Whether no more keys may be inserted.
    pub(crate) fn is_full(&self) -> bool {
        self.len >= Self::keys_max(self.slots.len())
    }

    /// The fingerprint of a key; `hash` gives a key's hash, of which the lower
    /// 32 bits are used here.
    pub(crate) fn get(&self, key: u128, hash: impl Fn(u128) -> u64) -> Option<u32> {
        let words = words(key);
        let mut at = self.home(hash(key));
        for distance in 0..self.slots.len() {
            let slot = &self.slots[at];
            if slot[4] == 0 {
                return None;
            }
            if slot[..4] == words {
                return Some(slot[4]);
            }
            if distance > 0 && self.distance(at, hash(unpack(slot))) < distance {
                return None;
            }
            at = self.next(at);
        }
        None
    }

    /// Inserts a key that is not in the table; the table must not be full and
    /// `fingerprint` not 0.
    pub(crate) fn insert(&mut self, key: u128, fingerprint: u32, hash: impl Fn(u128) -> u64) {
        debug_assert!(!self.is_full() && fingerprint != 0);
        let [a, b, c, d] = words(key);
        let mut carried = [a, b, c, d, fingerprint];
        let mut at = self.home(hash(key));
        let mut distance = 0;
        while self.slots[at][4] != 0 {
            let theirs = self.distance(at, hash(unpack(&self.slots[at])));
            if theirs < distance {
                std::mem::swap(&mut self.slots[at], &mut carried);
                distance = theirs;
            }
            at = self.next(at);
            distance += 1;
        }
        self.slots[at] = carried;
        self.len += 1;
    }

    fn home(&self, hash: u64) -> usize {
        ((u64::from(hash as u32) * self.slots.len() as u64) >> 32) as usize
    }

    fn next(&self, at: usize) -> usize {
        if at + 1 == self.slots.len() { 0 } else { at + 1 }
    }

    /// How far slot `at` is from the home of the key with this hash.
    fn distance(&self, at: usize, hash: u64) -> usize {
        let home = self.home(hash);
        if at >= home { at - home } else { at + self.slots.len() - home }
    }
}

fn words(key: u128) -> [u32; 4] {
    [key as u32, (key >> 32) as u32, (key >> 64) as u32, (key >> 96) as u32]
}

fn unpack(slot: &Slot) -> u128 {
    slot[..4].iter().rev().fold(0, |key, &word| (key << 32) | u128::from(word))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_key_at_capacity_takes_at_most_24_bytes() {
        assert_eq!(SLOT_BYTES, 20);
        let slots = 10_000;
        assert!(SLOT_BYTES * slots / Table::keys_max(slots) <= 24);
    }

    proptest! {
        /// Filled to the brim with hashes that crowd a few homes, the table
        /// answers as a map does: keys that share a hash are told apart.
        #[test]
        fn answers_as_a_map(
            keys in prop::collection::vec((0u128..400, 1u32..), 0..200),
            spread in 1u64..64,
        ) {
            let hash = |key: u128| (key as u64 % spread) * 0x0400_0000;
            let mut table = Table::new(100);
            let mut model = HashMap::new();
            for (key, fingerprint) in keys {
                if !table.is_full() && !model.contains_key(&key) {
                    table.insert(key, fingerprint, hash);
                    model.insert(key, fingerprint);
                }
            }
            prop_assert_eq!(table.len(), model.len());
            for key in 0..400 {
                prop_assert_eq!(table.get(key, hash), model.get(&key).copied());
            }
        }
    }
}
