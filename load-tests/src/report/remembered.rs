//! The set of remembered ids with many live keys, each new one pushing an old
//! one out, against a papaya map that was given all its room before and, as a
//! user of it would have to, forgets the oldest key for each new one. Both by the
//! CPU time of the thread that inserts.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use sluice_remember::{RememberConfig, Remembered, Verdict};
use sluice_seams::Key;
use sluice_telemetry::Registry;

use super::context::Context;
use super::figure::{Better, Figure, median};
use crate::measure::thread_cpu;
use crate::population::Random;

/// Live keys.
const LIVE: usize = 20_000_000;
const LIVE_QUICK: usize = 200_000;
const BATCH: usize = 50;
/// Bytes of a live key that the set is given.
const BYTES_A_KEY: usize = 24;
/// A batch may stall a request for so long, milliseconds.
const STALL_MAX_MS: f64 = 1.0;

/// A papaya map, and the order in which it forgets.
struct Papaya {
    map: papaya::HashMap<u128, u64, ahash::RandomState>,
    order: VecDeque<u128>,
}

/// Keys that never repeat, made as they are needed.
struct Fresh(Random);

// === impl Fresh ===

impl Fresh {
    fn batch(&mut self) -> [(Key, u64); BATCH] {
        std::array::from_fn(|_| {
            let low = self.0.bits();
            (Key((u128::from(self.0.bits()) << 64) | u128::from(low)), low)
        })
    }

    fn batches(&mut self, count: usize) -> Vec<[(Key, u64); BATCH]> {
        (0..count).map(|_| self.batch()).collect()
    }
}

// === impl Papaya ===

impl Papaya {
    fn full(live: usize, fresh: &mut Fresh) -> Self {
        let builder = papaya::HashMap::builder().capacity(live);
        let map = builder.hasher(ahash::RandomState::new()).build();
        let mut full = Self { map, order: VecDeque::with_capacity(live + BATCH) };
        for _ in 0..live / BATCH {
            full.put(&fresh.batch(), live);
        }
        full
    }

    fn put(&mut self, keys: &[(Key, u64)], live: usize) {
        let pinned = self.map.pin();
        for (key, fingerprint) in keys {
            pinned.insert(key.0, *fingerprint);
            self.order.push_back(key.0);
            if self.order.len() > live
                && let Some(oldest) = self.order.pop_front()
            {
                pinned.remove(&oldest);
            }
        }
    }
}

/// Measures it.
///
/// # Errors
/// Where a key is forgotten that must be there, or a new one taken for known.
pub fn measure(context: &Context) -> Result<Vec<Figure>, String> {
    let live = context.size(LIVE, LIVE_QUICK);
    let (per_round, rounds) = (live / 20 / BATCH, context.rounds());
    let mut fresh = Fresh(Random::new(7));
    let registry = Registry::new();
    let set = full(&registry, live, &mut fresh)?;
    let mut map = Papaya::full(live, &mut fresh);
    let (mut ours, mut bare, mut stalls) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        let batches = fresh.batches(per_round);
        let before = thread_cpu();
        batches.iter().try_for_each(|keys| insert(&set, keys))?;
        ours.push(per_s(before, per_round));
        if let Some((key, _)) = batches.iter().flatten().find(|(key, _)| !set.contains(*key)) {
            return Err(format!("{key:?} was just remembered and is not there"));
        }
        stalls.push(worst(&set, &fresh.batches(per_round))?);
        let batches = fresh.batches(per_round);
        let before = thread_cpu();
        batches.iter().for_each(|keys| map.put(keys, live));
        bare.push(per_s(before, per_round));
    }
    let bytes = value(&registry, "sluice_remember_bytes")?;
    let keys = value(&registry, "sluice_remember_keys")?;
    let note = format!("{keys:.0} live keys; papaya has {live}, and forgets the oldest too");
    let name = "remembered ids, against presized papaya";
    let memory = (BYTES_A_KEY as f64, 1.0);
    let stall = "remembered ids, worst stall of a batch";
    Ok(vec![
        Figure::new(name, "inserts/CPU-s", Better::Larger, &ours, (median(&bare), 3.5)).note(note),
        Figure::new(
            "remembered ids, memory",
            "bytes/key",
            Better::Smaller,
            &[bytes / keys],
            memory,
        ),
        Figure::new(stall, "ms of CPU", Better::Smaller, &stalls, (STALL_MAX_MS, 1.0)),
    ])
}

/// A set with as many live keys, in which each new key makes room for itself.
fn full(registry: &Registry, live: usize, fresh: &mut Fresh) -> Result<Arc<Remembered>, String> {
    let config = RememberConfig { bytes_max: live * BYTES_A_KEY, ..Default::default() };
    let set = Remembered::new(config, registry).map_err(|error| error.to_string())?;
    // Twice what it holds: then every bucket is full.
    for _ in 0..live * 2 / BATCH {
        insert(&set, &fresh.batch())?;
    }
    Ok(set)
}

/// Keys a CPU-second of this thread since `before`.
fn per_s(before: Duration, batches: usize) -> f64 {
    // A round that is too short to be seen took a tick of the clock.
    (batches * BATCH) as f64 / (thread_cpu() - before).as_secs_f64().max(1e-6)
}

/// Remembers keys that were never seen.
fn insert(set: &Arc<Remembered>, keys: &[(Key, u64)]) -> Result<(), String> {
    let mut guard = set.reserve(keys).map_err(|_| "no room for keys in flight".to_owned())?;
    if guard.verdicts().iter().any(|verdict| !matches!(verdict, Verdict::Fresh)) {
        return Err("a key that was never seen was taken for known".to_owned());
    }
    guard.confirm(0..keys.len());
    Ok(())
}

/// The longest that a batch took, milliseconds of CPU: what the neighbours on the
/// machine take is not the set's.
fn worst(set: &Arc<Remembered>, batches: &[[(Key, u64); BATCH]]) -> Result<f64, String> {
    let mut worst = Duration::ZERO;
    for keys in batches {
        let before = thread_cpu();
        insert(set, keys)?;
        worst = worst.max(thread_cpu() - before);
    }
    Ok(worst.as_secs_f64() * 1e3)
}

fn value(registry: &Registry, name: &str) -> Result<f64, String> {
    let text = registry.encode().map_err(|error| error.to_string())?;
    let line = text.lines().find(|line| line.starts_with(&format!("{name} ")));
    let number = line.and_then(|line| line.rsplit(' ').next()?.parse().ok());
    number.ok_or_else(|| format!("the metric {name} is not there"))
}
