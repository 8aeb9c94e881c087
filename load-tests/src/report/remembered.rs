//! The set of remembered ids with many live keys, each new one pushing an old
//! one out, against a papaya map that was given all its room before and forgets
//! nothing.

use std::sync::Arc;
use std::time::Duration;

use sluice_remember::{RememberConfig, Remembered};
use sluice_seams::Key;
use sluice_telemetry::Registry;

use super::context::Context;
use super::figure::{Better, Figure, median};
use crate::limits::per_cpu_s;
use crate::measure::{Stopwatch, thread_cpu};
use crate::population::Random;

/// Live keys.
const LIVE: usize = 20_000_000;
const LIVE_QUICK: usize = 200_000;
const BATCH: usize = 50;
/// Bytes a key for which the set is told to have room.
const BYTES_A_KEY: usize = 24;
/// A batch may stall a request for so long, milliseconds.
const STALL_MAX_MS: f64 = 1.0;

type Papaya = papaya::HashMap<u128, u64, ahash::RandomState>;

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

/// Measures it.
///
/// # Errors
/// Where a key is forgotten that must be there.
pub fn measure(context: &Context) -> Result<Vec<Figure>, String> {
    let live = context.size(LIVE, LIVE_QUICK);
    let (per_round, rounds) = (live / 20 / BATCH, context.rounds());
    let mut fresh = Fresh(Random::new(7));
    let registry = Registry::new();
    let set = full(&registry, live, &mut fresh)?;
    let map = Papaya::with_capacity_and_hasher(live * 2, ahash::RandomState::new());
    for _ in 0..live / BATCH {
        put(&map, &fresh.batch());
    }
    let (mut ours, mut bare, mut stalls) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        let batches = fresh.batches(per_round);
        let watch = Stopwatch::start();
        batches.iter().try_for_each(|keys| insert(&set, keys))?;
        ours.push(per_cpu_s(watch.spent(), per_round * BATCH));
        if let Some((key, _)) = batches.iter().flatten().find(|(key, _)| !set.contains(*key)) {
            return Err(format!("{key:?} was just remembered and is not there"));
        }
        stalls.push(worst(&set, &fresh.batches(per_round))?);
        let batches = fresh.batches(per_round);
        let watch = Stopwatch::start();
        batches.iter().for_each(|keys| put(&map, keys));
        bare.push(per_cpu_s(watch.spent(), per_round * BATCH));
    }
    let bytes = value(&registry, "sluice_remember_bytes")?;
    let keys = value(&registry, "sluice_remember_keys")?;
    let note = format!("{keys:.0} live keys; papaya has room for {} and forgets none", live * 2);
    let limit = (median(&bare), 3.5);
    let name = "remembered ids, against presized papaya";
    Ok(vec![
        Figure::new(name, "inserts/CPU-s", Better::Larger, &ours, limit).note(note),
        Figure::new(
            "remembered ids, memory",
            "bytes/key",
            Better::Smaller,
            &[bytes / set.capacity() as f64],
            (BYTES_A_KEY as f64, 1.0),
        )
        .note(format!("a key of the capacity; {:.1} a key that is held", bytes / keys)),
        Figure::new(
            "remembered ids, worst stall of a batch",
            "ms of CPU",
            Better::Smaller,
            &stalls,
            (STALL_MAX_MS, 1.0),
        ),
    ])
}

/// A set with as many live keys, in which each new key makes room for itself.
fn full(registry: &Registry, live: usize, fresh: &mut Fresh) -> Result<Arc<Remembered>, String> {
    // At least three quarters of a set that was filled are held.
    let config = RememberConfig { bytes_max: live * 4 / 3 * BYTES_A_KEY, ..Default::default() };
    let set = Remembered::new(config, registry).map_err(|error| error.to_string())?;
    for _ in 0..live * 3 / 2 / BATCH {
        fresh.batch().into_iter().for_each(|(key, fingerprint)| set.seed(key, fingerprint));
    }
    Ok(set)
}

fn insert(set: &Arc<Remembered>, keys: &[(Key, u64)]) -> Result<(), String> {
    let mut guard = set.reserve(keys).map_err(|_| "no room for keys in flight".to_owned())?;
    guard.confirm(0..keys.len());
    Ok(())
}

fn put(map: &Papaya, keys: &[(Key, u64)]) {
    let pinned = map.pin();
    for (key, fingerprint) in keys {
        pinned.insert(key.0, *fingerprint);
    }
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
