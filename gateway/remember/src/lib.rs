//! A bounded, exact set of recently appended event ids.
//!
//! Never drops an event whose first copy is not yet durable: a key is *reserved*
//! while its record is being appended, *remembered* only by
//! [`Reservations::confirm`], and released otherwise. A second copy that arrives
//! in between waits for the fate of the first. Whoever holds the guard may be
//! dropped, panic or time out at any point: the guard releases.
//!
//! Exact: full 128-bit keys are compared, so that a hit is never a guess.
//! Bounded: keys are forgotten roughly first in, first out, a quarter of a
//! shard at a time. Forgetting is harmless: the log's own order decides who was
//! first, a forgotten duplicate costs an append and is sorted out behind it.
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

/// Recently appended event ids, and those in flight. Shared by all requests.
pub struct Remembered {
    shards: Box<[Mutex<Shard>]>,
    shard_shift: u32,
    hasher: RandomState,
    in_flight: AtomicUsize,
    in_flight_max: usize,
    capacity: usize,
    metrics: Metrics,
}

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
        let shard = || Mutex::new(Shard::new(layout.table_slots, hasher.clone()));
        Ok(Arc::new(Self {
            shards: (0..layout.shards).map(|_| shard()).collect(),
            shard_shift: 64 - layout.shards.trailing_zeros(),
            hasher,
            in_flight: AtomicUsize::new(0),
            in_flight_max: config.in_flight_max,
            capacity: layout.capacity(),
            metrics: Metrics::new(registry),
        }))
    }

    /// Keys remembered when every table is full. At least three quarters of
    /// that are, once so many were confirmed.
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
            verdicts: Vec::with_capacity(keys.len()),
        };
        for &(Key(key), fingerprint) in keys {
            let hash = self.hasher.hash_one(key);
            let mut asked = Asked { key, hash, fingerprint: fold(fingerprint), held: false };
            let index = reservations.asked.len() as u32;
            let verdict = self.reserve_one(&asked, index, &reservations.flight);
            asked.held = matches!(verdict, Verdict::Fresh);
            reservations.asked.push(asked);
            reservations.verdicts.push(verdict);
        }
        let held = reservations.asked.iter().filter(|asked| asked.held).count();
        self.settled(keys.len() - held, Change::default());
        self.count(&reservations.verdicts);
        Ok(reservations)
    }

    /// Remembers a key that is known to be durable; for the log's tail at start.
    pub fn seed(&self, key: Key, fingerprint: u64) {
        let hash = self.hasher.hash_one(key.0);
        let mut shard = self.shard(hash).lock();
        let change = shard.insert(key.0, fold(fingerprint), self.hash());
        drop(shard);
        self.metrics.changed(change, self.in_flight());
    }

    /// Whether a key is remembered (not merely in flight).
    pub fn contains(&self, key: Key) -> bool {
        let hash = self.hasher.hash_one(key.0);
        self.shard(hash).lock().get(key.0, self.hash()).is_some()
    }

    fn reserve_one(&self, asked: &Asked, index: u32, flight: &Arc<Flight>) -> Verdict {
        let mut shard = self.shard(asked.hash).lock();
        if let Some(pending) = shard.in_flight.get(&asked.key) {
            let same = pending.fingerprint == asked.fingerprint;
            if Arc::ptr_eq(&pending.flight, flight) {
                return Verdict::Twin { first: pending.index as usize, same };
            }
            let flight = Arc::clone(&pending.flight);
            return Verdict::InFlight(Waiter { flight, index: pending.index, same });
        }
        if let Some(fingerprint) = shard.get(asked.key, self.hash()) {
            return Verdict::Remembered { same: fingerprint == asked.fingerprint };
        }
        let flight = Arc::clone(flight);
        let pending = Pending { flight, index, fingerprint: asked.fingerprint };
        shard.in_flight.insert(asked.key, pending);
        Verdict::Fresh
    }

    /// Turns a key in flight into a remembered one, in one step.
    pub(crate) fn confirm(&self, asked: &Asked) -> Change {
        let mut shard = self.shard(asked.hash).lock();
        shard.in_flight.remove(&asked.key);
        shard.insert(asked.key, asked.fingerprint, self.hash())
    }

    pub(crate) fn release(&self, asked: &Asked) {
        self.shard(asked.hash).lock().in_flight.remove(&asked.key);
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

    /// The upper bits choose the shard, the lower ones the slot.
    fn shard(&self, hash: u64) -> &Mutex<Shard> {
        &self.shards[(hash >> self.shard_shift) as usize]
    }

    fn hash(&self) -> impl Fn(u128) -> u64 + Copy + '_ {
        |key| self.hasher.hash_one(key)
    }
}

/// 32 bits of a fingerprint; never 0, which marks an empty slot.
fn fold(fingerprint: u64) -> u32 {
    ((fingerprint ^ (fingerprint >> 32)) as u32).max(1)
}
