//! What a store is told about first events: pure functions.
//!
//! Every write is idempotent and free of order, so that deriving the same
//! events again, in other batches, ends in the same state.

pub(crate) mod documents;
pub(crate) mod rows;

use sluice_seams::key::AppHash;
use sluice_seams::{EventDocument, UserKey};

use crate::known::Learned;

/// Writes of a batch of events.
#[derive(Debug)]
pub(crate) struct Derived<W> {
    pub writes: Vec<W>,
    /// For each write, the index of the event it was derived from.
    pub origins: Vec<u32>,
    /// What is known once all of them are taken.
    pub learned: Learned,
}

// === impl Derived ===

impl<W> Derived<W> {
    fn with_capacity(writes: usize) -> Self {
        Self {
            writes: Vec::with_capacity(writes),
            origins: Vec::with_capacity(writes),
            learned: Learned::default(),
        }
    }

    fn push(&mut self, origin: usize, write: W) {
        self.writes.push(write);
        self.origins.push(origin as u32);
    }
}

/// The user of an event; `None` where it names neither user nor device.
fn user_of(document: &EventDocument) -> Option<UserKey> {
    let user = document.user();
    (!user.is_empty()).then(|| AppHash::of(document.app_id()).user(user))
}
