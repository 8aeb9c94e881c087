//! The guard over the keys of one request.

use std::sync::Arc;

use crate::Remembered;
use crate::flight::{Fate, Flight, Waiter};
use crate::shard::Change;

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
    /// Reserved by this call and not settled.
    pub(crate) held: bool,
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
        let mut change = Change::default();
        let mut settled = 0;
        for index in indices {
            let Some(asked) = self.asked.get_mut(index).filter(|asked| asked.held) else {
                continue;
            };
            asked.held = false;
            settled += 1;
            change += self.remembered.confirm(asked);
            self.flight.settle(index as u32, Fate::Appended);
        }
        self.remembered.settled(settled, change);
        self.flight.tell();
    }

    /// Gives up the keys at `indices` now rather than on drop: their append
    /// failed. Indices that this call does not hold are passed over.
    pub fn release(&mut self, indices: impl IntoIterator<Item = usize>) {
        let mut settled = 0;
        for index in indices {
            let Some(asked) = self.asked.get_mut(index).filter(|asked| asked.held) else {
                continue;
            };
            asked.held = false;
            settled += 1;
            self.remembered.release(asked);
            self.flight.settle(index as u32, Fate::Released);
        }
        if settled > 0 {
            self.remembered.settled(settled, Change::default());
            self.flight.tell();
        }
    }
}

impl Drop for Reservations {
    fn drop(&mut self) {
        self.release(0..self.asked.len());
    }
}
