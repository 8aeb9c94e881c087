//! One shard: what is remembered in generations of small tables, and what is in
//! flight.
//!
//! Forgetting drops the oldest table whole; nothing is ever rehashed or copied.
//! A table is allocated when its first key arrives.

use std::collections::VecDeque;
use std::sync::Arc;

use ahash::RandomState;

use crate::flight::Flight;
use crate::table::{SLOT_BYTES, Table};

/// Tables of a shard. More of them forget in smaller steps and cost a miss one
/// more look each.
pub(crate) const GENERATIONS: usize = 4;

/// A key that a request is appending.
pub(crate) struct Pending {
    pub(crate) flight: Arc<Flight>,
    /// Index of the key in that request.
    pub(crate) index: u32,
    pub(crate) fingerprint: u32,
}

/// A part of all keys, by hash.
pub(crate) struct Shard {
    /// Oldest first.
    generations: VecDeque<Table>,
    table_slots: usize,
    pub(crate) in_flight: std::collections::HashMap<u128, Pending, RandomState>,
}

/// What an insertion did to the sizes.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) inserted: u64,
    pub(crate) forgotten: u64,
    pub(crate) allocated_bytes: u64,
    pub(crate) freed_bytes: u64,
    pub(crate) rotations: u64,
}

// === impl Shard ===

impl Shard {
    pub(crate) fn new(table_slots: usize, hasher: RandomState) -> Self {
        Self {
            generations: VecDeque::with_capacity(GENERATIONS),
            table_slots,
            in_flight: std::collections::HashMap::with_hasher(hasher),
        }
    }

    /// The fingerprint of a remembered key.
    pub(crate) fn get(&self, key: u128, hash: impl Fn(u128) -> u64 + Copy) -> Option<u32> {
        self.generations.iter().rev().find_map(|table| table.get(key, hash))
    }

    /// Remembers a key, forgetting the oldest generation where all are full.
    /// A key that is remembered stays as it is.
    pub(crate) fn insert(
        &mut self,
        key: u128,
        fingerprint: u32,
        hash: impl Fn(u128) -> u64 + Copy,
    ) -> Change {
        if self.get(key, hash).is_some() {
            return Change::default();
        }
        let mut change = Change { inserted: 1, ..Change::default() };
        if self.generations.back().is_none_or(Table::is_full) {
            self.rotate(&mut change);
        }
        let newest = self.generations.back_mut().expect("rotate leaves a table");
        newest.insert(key, fingerprint, hash);
        change
    }

    fn rotate(&mut self, change: &mut Change) {
        let table_bytes = (self.table_slots * SLOT_BYTES) as u64;
        if self.generations.len() == GENERATIONS {
            // Freed before the new one is allocated: the bound holds throughout.
            let oldest = self.generations.pop_front().expect("there are some");
            change.forgotten = oldest.len() as u64;
            change.freed_bytes = table_bytes;
            change.rotations = 1;
        }
        self.generations.push_back(Table::new(self.table_slots));
        change.allocated_bytes = table_bytes;
    }
}

// === impl Change ===

impl std::ops::AddAssign for Change {
    fn add_assign(&mut self, other: Self) {
        self.inserted += other.inserted;
        self.forgotten += other.forgotten;
        self.allocated_bytes += other.allocated_bytes;
        self.freed_bytes += other.freed_bytes;
        self.rotations += other.rotations;
    }
}
