//! A bounded, exact set of recently appended event ids.
//!
//! Never drops an event whose first copy is not yet durable: a key is *reserved*
//! while its record is being appended, *remembered* only by
//! [`Reservations::confirm`], and released otherwise. A second copy that arrives
//! in between waits for the fate of the first. Whoever holds the guard may be
//! dropped, panic or time out at any point: the guard releases.
//!
//! Exact: full 128-bit keys are compared, so that a hit is never a guess.
//! Bounded: keys are forgotten one by one, roughly first in, first out. Forgetting
//! is harmless: the log's own order decides who was first, a forgotten duplicate
//! costs an append and is sorted out behind it.
//!
//! Tables are keyed by a hash with a seed of this process: ids are chosen by
//! strangers, who must not be able to crowd one slot.

mod config;
mod flight;
mod metrics;
mod reservations;
mod shard;
mod table;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ahash::RandomState;
use hashbrown::hash_table::Entry;
use parking_lot::Mutex;
use sluice_seams::Key;
use sluice_telemetry::Registry;
use thiserror::Error;

pub use crate::config::{BYTES_MIN, RememberConfig, RememberConfigError};
pub use crate::flight::{Fate, Waiter};
pub use crate::reservations::{Reservations, Verdict};

use crate::flight::Flight;
use crate::metrics::Metrics;
use crate::reservations::Asked;
use crate::shard::{Change, Pending, Shard};
use crate::table::Table;

/// Recently appended event ids, and those in flight. Shared by all requests.
pub struct Remembered {
    tables: Box<[Table]>,
    table_shift: u32,
    shards: Box<[Padded]>,
    hasher: RandomState,
    in_flight: AtomicUsize,
    in_flight_max: usize,
    capacity: usize,
    metrics: Metrics,
}

/// A shard on cache lines of its own.
#[repr(align(128))]
struct Padded(Mutex<Shard>);

/// Locks. Few, so that a batch takes each at most once for all its keys there: taking one
/// for every key would wait for memory key by key.
const SHARDS: usize = 8;

/// Too many keys are in flight; nothing was reserved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{in_flight} events are being appended and {asked} more would pass {in_flight_max}")]
pub struct Full {
    /// Keys in flight.
    pub in_flight: usize,
    /// Keys asked for.
    pub asked: usize,
    /// Keys allowed in flight.
    pub in_flight_max: usize,
}

// === impl Remembered ===

impl Remembered {
    /// An empty set. Allocates its tables as keys arrive.
    pub fn new(
        config: RememberConfig,
        registry: &Registry,
    ) -> Result<Arc<Self>, RememberConfigError> {
        config.check()?;
        let layout = config.layout();
        let hasher = RandomState::new();
        let shard = || Padded(Mutex::new(Shard::new()));
        Ok(Arc::new(Self {
            tables: (0..layout.tables).map(|_| Table::new(layout.buckets)).collect(),
            table_shift: 64 - layout.tables.trailing_zeros(),
            shards: (0..SHARDS).map(|_| shard()).collect(),
            hasher,
            in_flight: AtomicUsize::new(0),
            in_flight_max: config.in_flight_max,
            capacity: layout.capacity(),
            metrics: Metrics::new(registry),
        }))
    }

    /// Keys remembered when every bucket is full. All but one in 10,000 of the newest
    /// 40 % of that are remembered, and half of those that are as old as all of it.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Keys in flight.
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Reserves keys (each with its fingerprint), in order. The verdicts are
    /// those of one moment for each key, not of one moment for all.
    pub fn reserve(self: &Arc<Self>, keys: &[(Key, u64)]) -> Result<Reservations, Full> {
        let before = self.in_flight.fetch_add(keys.len(), Ordering::Relaxed);
        if before.saturating_add(keys.len()) > self.in_flight_max {
            self.in_flight.fetch_sub(keys.len(), Ordering::Relaxed);
            let in_flight_max = self.in_flight_max;
            return Err(Full { in_flight: before, asked: keys.len(), in_flight_max });
        }
        // From here on the guard exists: a panic below releases what is held.
        let mut reservations = Reservations {
            remembered: Arc::clone(self),
            flight: Arc::new(Flight::new(keys.len())),
            asked: Vec::with_capacity(keys.len()),
            held: vec![false; keys.len()],
            verdicts: vec![Verdict::Fresh; keys.len()],
        };
        reservations.asked.extend(keys.iter().map(|&(Key(key), fingerprint)| Asked {
            key,
            hash: self.hasher.hash_one(key),
            fingerprint: fold(fingerprint),
        }));
        self.approach(reservations.asked.iter());
        let Reservations { flight, asked, held, verdicts, .. } = &mut reservations;
        self.by_shard(
            0..keys.len(),
            |index| asked[index].hash,
            |shard, index| {
                let verdict = self.reserve_one(shard, &asked[index], index as u32, flight);
                held[index] = matches!(verdict, Verdict::Fresh);
                verdicts[index] = verdict;
            },
        );
        let held = reservations.held.iter().filter(|held| **held).count();
        self.settled(keys.len() - held, Change::default());
        self.count(&reservations.verdicts);
        Ok(reservations)
    }

    /// Remembers a key that is known to be durable; for the log's tail at start.
    pub fn seed(&self, key: Key, fingerprint: u64) {
        let hash = self.hasher.hash_one(key.0);
        let shard = self.shard(hash).lock();
        let known = self.table(hash).get(key.0, hash).is_some();
        let change =
            if known { Change::default() } else { self.remember(key.0, fold(fingerprint), hash) };
        drop(shard);
        self.metrics.changed(change, self.in_flight());
    }

    /// Whether a key is remembered (not merely in flight).
    pub fn contains(&self, key: Key) -> bool {
        let hash = self.hasher.hash_one(key.0);
        let _shard = self.shard(hash).lock();
        self.table(hash).get(key.0, hash).is_some()
    }

    /// Waits for the memory behind all these keys at once, not for one after another: the
    /// loads of each pass do not depend on each other, and locks, which would order them,
    /// come after.
    pub(crate) fn approach<'k>(&self, asked: impl Iterator<Item = &'k Asked> + Clone) {
        let lines = asked.clone().map(|asked| self.table(asked.hash).approach(asked.hash));
        std::hint::black_box(lines.fold(0, |seen, line| seen ^ line));
        let slots = asked.map(|asked| self.table(asked.hash).approach_slot(asked.hash));
        std::hint::black_box(slots.fold(0, |seen, slot| seen ^ slot));
    }

    /// Calls `each` for every index with the shard of its hash locked: shard by shard, in
    /// order within each, so that a twin comes after its first.
    pub(crate) fn by_shard(
        &self,
        indices: impl Iterator<Item = usize> + Clone,
        hash: impl Fn(usize) -> u64,
        mut each: impl FnMut(&mut Shard, usize),
    ) {
        let mut ends = [0; SHARDS];
        indices.clone().for_each(|index| ends[shard_number(hash(index))] += 1);
        let mut total = 0;
        for end in &mut ends {
            // Where it begins, until its indices are filled in.
            total += std::mem::replace(end, total);
        }
        let mut order = vec![0; total];
        for index in indices {
            let end = &mut ends[shard_number(hash(index))];
            order[*end] = index;
            *end += 1;
        }
        let mut begin = 0;
        for (shard, end) in self.shards.iter().zip(ends) {
            if begin < end {
                let mut locked = shard.0.lock();
                order[begin..end].iter().for_each(|&index| each(&mut locked, index));
            }
            begin = end;
        }
    }

    fn reserve_one(
        &self,
        shard: &mut Shard,
        asked: &Asked,
        index: u32,
        flight: &Arc<Flight>,
    ) -> Verdict {
        let Asked { key, hash, fingerprint } = *asked;
        match shard.entry(hash, |pending| pending.key == key, |pending| pending.hash) {
            Entry::Occupied(pending) => {
                let pending = pending.get();
                let same = pending.fingerprint == fingerprint;
                if Arc::ptr_eq(&pending.flight, flight) {
                    return Verdict::Twin { first: pending.index as usize, same };
                }
                let flight = Arc::clone(&pending.flight);
                Verdict::InFlight(Waiter { flight, index: pending.index, same })
            }
            Entry::Vacant(room) => {
                if let Some(remembered) = self.table(hash).get(key, hash) {
                    return Verdict::Remembered { same: remembered == fingerprint };
                }
                let flight = Arc::clone(flight);
                room.insert(Pending { key, hash, flight, index, fingerprint });
                Verdict::Fresh
            }
        }
    }

    /// Remembers a key that was not, forgetting another where its bucket is full; its shard
    /// must be locked.
    pub(crate) fn remember(&self, key: u128, fingerprint: u32, hash: u64) -> Change {
        let table = self.table(hash);
        let allocates = !table.is_allocated();
        let forgets = table.insert(key, fingerprint, hash);
        let allocated_bytes = if allocates { table.bytes() as u64 } else { 0 };
        Change { inserted: 1, forgotten: u64::from(forgets), allocated_bytes }
    }

    /// Notes that `keys` are no longer in flight.
    pub(crate) fn settled(&self, keys: usize, change: Change) {
        let before = self.in_flight.fetch_sub(keys, Ordering::Relaxed);
        self.metrics.changed(change, before - keys);
    }

    fn count(&self, verdicts: &[Verdict]) {
        let (mut remembered, mut waiting, mut twins) = (0, 0, 0);
        for verdict in verdicts {
            match verdict {
                Verdict::Fresh => {}
                Verdict::Remembered { .. } => remembered += 1,
                Verdict::Twin { .. } => twins += 1,
                Verdict::InFlight(_) => waiting += 1,
            }
        }
        if remembered + waiting + twins > 0 {
            self.metrics.remembered.inc_by(remembered);
            self.metrics.waiting.inc_by(waiting);
            self.metrics.twins.inc_by(twins);
        }
    }

    /// The upper bits choose the table, the lower ones the bucket.
    fn table(&self, hash: u64) -> &Table {
        &self.tables[(hash >> self.table_shift) as usize]
    }

    fn shard(&self, hash: u64) -> &Mutex<Shard> {
        &self.shards[shard_number(hash)].0
    }
}

/// All keys of a table are in one shard, whose lock orders what is done to it.
fn shard_number(hash: u64) -> usize {
    (hash >> (64 - SHARDS.trailing_zeros())) as usize
}

/// 32 bits of a fingerprint; never 0, which marks an empty slot.
fn fold(fingerprint: u64) -> u32 {
    ((fingerprint ^ (fingerprint >> 32)) as u32).max(1)
}
