//! `D`: who was first.
//!
//! `D[K] = (first position, day, fingerprint)`. An event is *first* iff `D[K]`
//! is absent **or names its own position**: comparing positions rather than
//! presence makes a replay after a crash safe without transactions.

use serde::{Deserialize, Serialize};

use crate::{Day, Key, Position, StoreError};

/// What is asked of `D`: one event at its place in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sighting {
    /// Identity of the event.
    pub key: Key,
    /// Offset of its record.
    pub offset: u64,
    /// Index within its record.
    pub index: u32,
    /// The day it would be filed under.
    pub day: Day,
    /// Hash of what a retry does not change.
    pub fingerprint: u64,
}

/// What `D` holds for a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct First {
    /// Where the first copy stands.
    pub position: Position,
    /// The day it is filed under, inherited by its duplicates.
    pub day: Day,
    /// Its fingerprint.
    pub fingerprint: u64,
}

/// The verdict on one sighting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// The first copy, or a replay of it; files under this day.
    First(Day),
    /// A later copy of the same event.
    Duplicate(First),
    /// A later event that reuses the id of another: keep the first.
    Reused(First),
}

/// `D` of a whole log. One writer per partition.
pub trait DedupeIndex: Send + Sync + 'static {
    /// Takes ownership of a partition's index. A second owner at the same time
    /// is an error.
    fn open(&self, partition: u32) -> Result<Box<dyn DedupePartition>, StoreError>;

    /// Looks a key up in whichever partition holds it; for the event ledger.
    fn find(&self, key: Key) -> Result<Option<First>, StoreError>;
}

/// `D` of one partition.
///
/// Duties: `resolve` is called with rising offsets within a run, but may repeat
/// any already resolved stretch after a restart and then answers the same;
/// nothing at or past `resolved()` was made durable by an earlier run unless it
/// answers consistently when resolved again.
pub trait DedupePartition: Send {
    /// Decides a record's events in order. `log_time_ms` is the record's time of
    /// append and drives expiry. Two equal keys within one call: the lower index
    /// is first.
    fn resolve(
        &mut self,
        log_time_ms: i64,
        sightings: &[Sighting],
        verdicts: &mut Vec<Seen>,
    ) -> Result<(), StoreError>;

    /// Looks up one key.
    fn get(&self, key: Key) -> Result<Option<First>, StoreError>;

    /// The offset up to which the durable state is whole.
    fn resolved(&self) -> u64;

    /// Makes all that was resolved so far durable, and with it `next`, the
    /// offset to go on from.
    fn persist(&mut self, next: u64) -> Result<(), StoreError>;

    /// Forgets keys whose first copy was appended before `log_time_ms`.
    /// May keep some longer.
    fn expire(&mut self, log_time_ms: i64) -> Result<(), StoreError>;
}

impl Seen {
    /// The verdict that follows from what `D` held before (`None`: nothing).
    pub fn judge(held: Option<First>, partition: u32, sighting: &Sighting) -> Self {
        let Some(first) = held else { return Self::First(sighting.day) };
        let own = Position { partition, offset: sighting.offset, index: sighting.index };
        if first.position == own {
            Self::First(first.day)
        } else if first.fingerprint == sighting.fingerprint {
            Self::Duplicate(first)
        } else {
            Self::Reused(first)
        }
    }
}
