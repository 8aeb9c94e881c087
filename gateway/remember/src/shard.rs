//! One shard: the keys in flight of one part of all hashes, and the lock that orders
//! whatever is done to that part.

use std::sync::Arc;

use hashbrown::HashTable;

use crate::flight::Flight;

/// A key that a request is appending.
pub(crate) struct Pending {
    pub(crate) key: u128,
    /// Of the key, with the seed of this process: made once for all that is done with it.
    pub(crate) hash: u64,
    pub(crate) flight: Arc<Flight>,
    /// Index of the key in that request.
    pub(crate) index: u32,
    pub(crate) fingerprint: u32,
}

/// Keys in flight.
pub(crate) type Shard = HashTable<Pending>;

/// What insertions did to the sizes.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) inserted: u64,
    pub(crate) forgotten: u64,
    pub(crate) allocated_bytes: u64,
}

// === impl Change ===

impl std::ops::AddAssign for Change {
    fn add_assign(&mut self, other: Self) {
        self.inserted += other.inserted;
        self.forgotten += other.forgotten;
        self.allocated_bytes += other.allocated_bytes;
    }
}
