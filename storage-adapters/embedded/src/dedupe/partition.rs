//! One partition of `D`: front, buckets, owner.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fjall::config::{BloomConstructionPolicy, FilterPolicy, FilterPolicyEntry};
use fjall::{Keyspace, KeyspaceCreateOptions, OwnedWriteBatch, PersistMode};
use parking_lot::RwLock;
use sluice_seams::{Day, DedupePartition, First, Key, Position, Seen, Sighting, StoreError};

use super::{Shared, bucket_name, entry};

/// Log times are held to this range, so that days fit in 32 bits: 1970 to 9999.
const LOG_TIME_MS: std::ops::RangeInclusive<i64> = 0..=253_402_300_799_999;

/// A partition's state: written by its owner only, read by `find`.
pub(super) struct Partition {
    number: u32,
    owned: AtomicBool,
    state: RwLock<State>,
}

struct State {
    /// Resolved since the front was last written: first copy and log day.
    front: HashMap<u128, (First, i32), ahash::RandomState>,
    /// By log day, newest first.
    buckets: Vec<Bucket>,
    /// Durable.
    resolved: u64,
    /// Oldest log day kept; durable.
    floor: i32,
}

struct Bucket {
    day: i32,
    entries: Keyspace,
}

/// The one writer of a partition.
pub(super) struct Owner {
    shared: Arc<Shared>,
    partition: Arc<Partition>,
    /// What the floor becomes with the next `persist`.
    floor_next: i32,
    /// Entries were written that no fsync has followed.
    unsynced: bool,
}

// === impl Partition ===

impl Partition {
    /// Reads the durable offset and floor; buckets are added after.
    pub(super) fn load(shared: &Shared, number: u32) -> Result<Self, StoreError> {
        let row = shared.meta.get(number.to_be_bytes()).map_err(shared.failed("read offset"))?;
        let (resolved, floor) = match &row {
            None => (0, i32::MIN),
            Some(row) => decode_meta(row)
                .ok_or_else(|| shared.poison.mark("read offset", &"damaged entry of `meta`"))?,
        };
        let state = State { front: HashMap::default(), buckets: Vec::new(), resolved, floor };
        Ok(Self { number, owned: AtomicBool::new(false), state: RwLock::new(state) })
    }

    /// Takes a bucket found on disk; one below the floor, left over by a crash
    /// in the middle of expiry, is deleted.
    pub(super) fn recover_bucket(&self, shared: &Shared, day: i32) -> Result<(), StoreError> {
        let entries = open_bucket(shared, self.number, day)?;
        let mut state = self.state.write();
        if day < state.floor {
            drop(state);
            return shared
                .database
                .delete_keyspace(entries)
                .map_err(shared.failed("delete an expired day"));
        }
        state.add_bucket(day, entries);
        Ok(())
    }

    pub(super) fn find(&self, shared: &Shared, key: Key) -> Result<Option<First>, StoreError> {
        shared.poison.check()?;
        self.state.read().lookup(shared, self.number, key)
    }
}

// === impl State ===

impl State {
    fn lookup(&self, shared: &Shared, number: u32, key: Key) -> Result<Option<First>, StoreError> {
        if let Some((first, _)) = self.front.get(&key.0) {
            return Ok(Some(*first));
        }
        let bytes = key.to_bytes();
        for bucket in &self.buckets {
            if let Some(value) =
                bucket.entries.get(bytes).map_err(shared.failed("look up a key"))?
            {
                return entry::decode(number, &value)
                    .map(Some)
                    .ok_or_else(|| shared.poison.mark("look up a key", &"damaged entry"));
            }
        }
        Ok(None)
    }

    fn add_bucket(&mut self, day: i32, entries: Keyspace) {
        let at = self.buckets.partition_point(|bucket| bucket.day > day);
        self.buckets.insert(at, Bucket { day, entries });
    }
}

// === impl Owner ===

impl Owner {
    /// Takes ownership; a second owner at the same time is refused.
    pub(super) fn take(shared: Arc<Shared>, partition: Arc<Partition>) -> Result<Self, StoreError> {
        if partition.owned.swap(true, Ordering::AcqRel) {
            let number = partition.number;
            return Err(StoreError::Refused(format!("partition {number} has an owner already")));
        }
        let floor_next = partition.state.read().floor;
        Ok(Self { shared, partition, floor_next, unsynced: false })
    }

    /// A batch of the whole front. The front stays until [`forget_front`] so
    /// that a reader misses nothing in between.
    ///
    /// [`forget_front`]: Self::forget_front
    fn front_batch(
        &mut self,
        durability: Option<PersistMode>,
    ) -> Result<OwnedWriteBatch, StoreError> {
        self.make_buckets()?;
        let state = self.partition.state.read();
        let database = self.shared.database.clone();
        let mut batch =
            OwnedWriteBatch::with_capacity(database, state.front.len() + 1).durability(durability);
        for (key, (first, day)) in &state.front {
            // Made just now where it was absent; the list is short.
            if let Some(bucket) = state.buckets.iter().find(|bucket| bucket.day == *day) {
                batch.insert(&bucket.entries, key.to_be_bytes(), entry::encode(first));
            }
        }
        Ok(batch)
    }

    fn forget_front(&mut self) {
        self.partition.state.write().front.clear();
    }

    /// Makes the buckets that the front needs. The one before goes to disk, so
    /// that looking into it costs a filter instead of a walk through its memtable.
    fn make_buckets(&mut self) -> Result<(), StoreError> {
        let missing: std::collections::BTreeSet<i32> = {
            let state = self.partition.state.read();
            let known = |day: i32| state.buckets.iter().any(|bucket| bucket.day == day);
            state.front.values().map(|(_, day)| *day).filter(|day| !known(*day)).collect()
        };
        for day in missing {
            let entries = open_bucket(&self.shared, self.partition.number, day)?;
            let mut state = self.partition.state.write();
            let before = state.buckets.first().map(|bucket| bucket.entries.clone());
            state.add_bucket(day, entries);
            drop(state);
            if let Some(before) = before {
                before.rotate_memtable().map_err(self.shared.failed("flush a day"))?;
            }
        }
        Ok(())
    }

    /// Deletes the buckets below the floor, which is durable by now.
    fn drop_expired(&mut self) -> Result<(), StoreError> {
        let expired: Vec<Bucket> = {
            let mut state = self.partition.state.write();
            let floor = state.floor;
            let kept = state.buckets.partition_point(|bucket| bucket.day >= floor);
            state.buckets.split_off(kept)
        };
        let failed = self.shared.failed("delete an expired day");
        for bucket in expired {
            self.shared.database.delete_keyspace(bucket.entries).map_err(&failed)?;
        }
        Ok(())
    }
}

impl DedupePartition for Owner {
    fn resolve(
        &mut self,
        log_time_ms: i64,
        sightings: &[Sighting],
        verdicts: &mut Vec<Seen>,
    ) -> Result<(), StoreError> {
        self.shared.poison.check()?;
        let (number, window_ms) = (self.partition.number, self.shared.config.window_ms);
        let mut state = self.partition.state.write();
        let day = day_of(log_time_ms).max(state.floor);
        self.floor_next = self.floor_next.max(day_of(log_time_ms.saturating_sub(window_ms)));
        for sighting in sightings {
            let held = state.lookup(&self.shared, number, sighting.key)?;
            verdicts.push(Seen::judge(held, number, sighting));
            if held.is_none() {
                let position =
                    Position { partition: number, offset: sighting.offset, index: sighting.index };
                let Sighting { day: filed, fingerprint, .. } = *sighting;
                let first = First { position, day: filed, fingerprint };
                state.front.insert(sighting.key.0, (first, day));
            }
        }
        let full = state.front.len() >= self.shared.config.front_entries_max;
        drop(state);
        if full {
            let batch = self.front_batch(None)?;
            batch.commit().map_err(self.shared.failed("write entries"))?;
            self.unsynced = true;
            self.forget_front();
        }
        Ok(())
    }

    fn get(&self, key: Key) -> Result<Option<First>, StoreError> {
        self.partition.find(&self.shared, key)
    }

    fn resolved(&self) -> u64 {
        self.partition.state.read().resolved
    }

    fn persist(&mut self, next: u64) -> Result<(), StoreError> {
        self.shared.poison.check()?;
        let (number, floor) = (self.partition.number, self.floor_next);
        {
            let state = self.partition.state.read();
            let same = state.resolved == next && state.floor == floor;
            if same && state.front.is_empty() && !self.unsynced {
                return Ok(());
            }
        }
        let mut batch = self.front_batch(Some(PersistMode::SyncAll))?;
        batch.insert(&self.shared.meta, number.to_be_bytes(), encode_meta(next, floor));
        batch.commit().map_err(self.shared.failed("persist entries and offset"))?;
        self.unsynced = false;
        {
            let mut state = self.partition.state.write();
            state.front.clear();
            (state.resolved, state.floor) = (next, floor);
        }
        self.drop_expired()
    }

    fn expire(&mut self, log_time_ms: i64) -> Result<(), StoreError> {
        self.shared.poison.check()?;
        self.floor_next = self.floor_next.max(day_of(log_time_ms));
        Ok(())
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.forget_front();
        self.partition.owned.store(false, Ordering::Release);
    }
}

fn day_of(log_time_ms: i64) -> i32 {
    Day::of(log_time_ms.clamp(*LOG_TIME_MS.start(), *LOG_TIME_MS.end())).0
}

fn encode_meta(next: u64, floor: i32) -> [u8; 12] {
    let mut row = [0; 12];
    row[..8].copy_from_slice(&next.to_be_bytes());
    row[8..].copy_from_slice(&floor.to_be_bytes());
    row
}

fn decode_meta(row: &[u8]) -> Option<(u64, i32)> {
    let (next, floor) = row.split_at_checked(8)?;
    Some((u64::from_be_bytes(next.try_into().ok()?), i32::from_be_bytes(floor.try_into().ok()?)))
}

/// Opens a day's keyspace. Nearly every look-up is of a key that is not there:
/// filters on every level, one false positive in a thousand.
fn open_bucket(shared: &Shared, number: u32, day: i32) -> Result<Keyspace, StoreError> {
    let options = || {
        let filter = BloomConstructionPolicy::FalsePositiveRate(0.001);
        KeyspaceCreateOptions::default()
            .max_memtable_size(16 << 20)
            .filter_policy(FilterPolicy::all(FilterPolicyEntry::Bloom(filter)))
    };
    shared
        .database
        .keyspace(&bucket_name(number, day), options)
        .map_err(shared.failed("open a day's entries"))
}
