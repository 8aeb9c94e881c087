//! The guard over the keys of one request.

use std::sync::Arc;

use crate::Remembered;
use crate::flight::{Fate, Flight, Waiter};
use crate::shard::{Change, Shard};

/// What is known of a key at the moment it is reserved.
#[derive(Debug, Clone)]
pub enum Verdict {
    /// Reserved by this call: append it.
    Fresh,
    /// A copy is durable.
    Remembered {
        /// It has the same fingerprint.
        same: bool,
    },
    /// The same key stands earlier in this call and was reserved there: its
    /// fate is that of the first.
    Twin {
        /// Index of the first.
        first: usize,
        /// It has the same fingerprint.
        same: bool,
    },
    /// Another request is appending it.
    InFlight(Waiter),
}

/// A key as it is looked up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    pub(crate) key: u128,
    pub(crate) hash: u64,
    pub(crate) fingerprint: u32,
}

/// The keys that one request holds until they are confirmed or released.
///
/// What is not confirmed when this is dropped, for whatever reason, is released
/// and whoever waits for it is told.
#[must_use = "dropping it releases the keys"]
pub struct Reservations {
    pub(crate) remembered: Arc<Remembered>,
    pub(crate) flight: Arc<Flight>,
    pub(crate) asked: Vec<Asked>,
    /// Whether each was reserved by this call and is not settled.
    pub(crate) held: Vec<bool>,
    pub(crate) verdicts: Vec<Verdict>,
}

// === impl Reservations ===

impl Reservations {
    /// One verdict for each key asked for, in order.
    pub fn verdicts(&self) -> &[Verdict] {
        &self.verdicts
    }

    /// Remembers the keys at `indices`: call only once their append is durable.
    /// Indices that this call does not hold are passed over.
    pub fn confirm(&mut self, indices: impl IntoIterator<Item = usize>) {
        let held = self.take(indices);
        // What was at hand when the keys were reserved may be far again.
        self.remembered.approach(held.iter().map(|&index| &self.asked[index]));
        let mut change = Change::default();
        self.settle(&held, Fate::Appended, |shard, asked| {
            forget(shard, asked);
            change += self.remembered.remember(asked.key, asked.fingerprint, asked.hash);
        });
        self.remembered.settled(held.len(), change);
    }

    /// Gives up the keys at `indices` now rather than on drop: their append
    /// failed. Indices that this call does not hold are passed over.
    pub fn release(&mut self, indices: impl IntoIterator<Item = usize>) {
        let held = self.take(indices);
        if held.is_empty() {
            return;
        }
        self.settle(&held, Fate::Released, forget);
        self.remembered.settled(held.len(), Change::default());
    }

    /// Those of the indices that this call holds; it holds them no more.
    fn take(&mut self, indices: impl IntoIterator<Item = usize>) -> Vec<usize> {
        let held = &mut self.held;
        let held =
            indices.into_iter().filter(|&index| held.get_mut(index).is_some_and(std::mem::take));
        held.collect()
    }

    /// Does `each` to the keys, with their shards locked, and tells their fate.
    fn settle(&self, held: &[usize], fate: Fate, mut each: impl FnMut(&mut Shard, &Asked)) {
        let hash = |index: usize| self.asked[index].hash;
        self.remembered.by_shard(held.iter().copied(), hash, |shard, index| {
            each(shard, &self.asked[index]);
            self.flight.settle(index as u32, fate);
        });
        self.flight.tell();
    }
}

/// Takes a key out of those in flight.
fn forget(shard: &mut Shard, asked: &Asked) {
    if let Ok(pending) = shard.find_entry(asked.hash, |pending| pending.key == asked.key) {
        pending.remove();
    }
}

impl Drop for Reservations {
    fn drop(&mut self) {
        self.release(0..self.asked.len());
    }
}
