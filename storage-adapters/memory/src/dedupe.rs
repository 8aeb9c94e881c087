//! `D` in memory: a map per partition, copied whole at `persist`.
//!
//! A clone is the same index, so that a test can drop an owner without
//! persisting (a crash) and open the partition again.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use sluice_seams::{
    DedupeIndex, DedupePartition, First, Key, Position, Seen, Sighting, StoreError,
};

use crate::fault::{Fault, Script};

/// `D` of a whole log in memory. `find` sees persisted entries and those that
/// the running owners have not persisted yet.
#[derive(Clone, Default)]
pub struct MemoryDedupe {
    partitions: Arc<Mutex<HashMap<u32, Partition>>>,
    script: Script,
    poisoned: Arc<AtomicBool>,
}

#[derive(Default)]
struct Partition {
    owned: bool,
    durable: State,
    working: State,
}

#[derive(Clone, Default)]
struct State {
    /// Key to first copy and the log time of its record.
    entries: HashMap<Key, (First, i64)>,
    resolved: u64,
    /// Asked for by `expire`; takes effect with the next `persist`.
    expire_before_ms: Option<i64>,
}

struct Owner {
    index: MemoryDedupe,
    partition: u32,
}

// === impl MemoryDedupe ===

impl MemoryDedupe {
    /// An empty index without faults.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty index whose `resolve` and `persist` calls follow a script.
    pub fn with_script(script: Script) -> Self {
        Self { script, ..Self::default() }
    }

    /// How many of `count` entries the script lets through, and what is answered.
    fn plan(&self, count: usize) -> (usize, Result<(), StoreError>) {
        let fault = match self.poisoned.load(Ordering::Relaxed) {
            true => Fault::Poison,
            false => self.script.take(),
        };
        let retry = || Err(StoreError::retry(Duration::from_millis(1), "scripted fault"));
        match fault {
            Fault::None => (count, Ok(())),
            Fault::Slow(delay) => {
                std::thread::sleep(delay);
                (count, Ok(()))
            }
            Fault::RetryBefore => (0, retry()),
            Fault::RetryAfter => (count, retry()),
            Fault::RetryAfterSome(some) => (some.min(count), retry()),
            Fault::Poison => {
                self.poisoned.store(true, Ordering::Relaxed);
                (0, Err(StoreError::Poisoned("scripted fault".into())))
            }
        }
    }
}

impl DedupeIndex for MemoryDedupe {
    fn open(&self, partition: u32) -> Result<Box<dyn DedupePartition>, StoreError> {
        let mut partitions = self.partitions.lock();
        let state = partitions.entry(partition).or_default();
        if state.owned {
            return Err(StoreError::Refused(format!("partition {partition} has an owner already")));
        }
        state.owned = true;
        Ok(Box::new(Owner { index: self.clone(), partition }))
    }

    fn find(&self, key: Key) -> Result<Option<First>, StoreError> {
        let partitions = self.partitions.lock();
        let held = partitions.values().filter_map(|state| state.working.entries.get(&key));
        Ok(held.map(|(first, _)| *first).min_by_key(|first| first.position))
    }
}

// === impl Owner ===

impl Owner {
    fn state<T>(&self, act: impl FnOnce(&mut Partition) -> T) -> T {
        act(self.index.partitions.lock().entry(self.partition).or_default())
    }
}

impl DedupePartition for Owner {
    fn resolve(
        &mut self,
        log_time_ms: i64,
        sightings: &[Sighting],
        verdicts: &mut Vec<Seen>,
    ) -> Result<(), StoreError> {
        let (applied, answer) = self.index.plan(sightings.len());
        self.state(|state| {
            for sighting in &sightings[..applied] {
                let held = state.working.entries.get(&sighting.key).map(|(first, _)| *first);
                verdicts.push(Seen::judge(held, self.partition, sighting));
                if held.is_none() {
                    let first = first_of(self.partition, sighting);
                    state.working.entries.insert(sighting.key, (first, log_time_ms));
                }
            }
        });
        answer
    }

    fn get(&self, key: Key) -> Result<Option<First>, StoreError> {
        Ok(self.state(|state| state.working.entries.get(&key).map(|(first, _)| *first)))
    }

    fn resolved(&self) -> u64 {
        self.state(|state| state.durable.resolved)
    }

    fn persist(&mut self, next: u64) -> Result<(), StoreError> {
        let (applied, answer) = self.index.plan(1);
        if applied == 1 {
            self.state(|state| {
                state.working.resolved = next;
                if let Some(before_ms) = state.working.expire_before_ms.take() {
                    state.working.entries.retain(|_, (_, log_time_ms)| *log_time_ms >= before_ms);
                }
                state.durable = state.working.clone();
            });
        }
        answer
    }

    fn expire(&mut self, log_time_ms: i64) -> Result<(), StoreError> {
        self.state(|state| {
            let asked = &mut state.working.expire_before_ms;
            *asked = Some(asked.map_or(log_time_ms, |before| before.max(log_time_ms)));
        });
        Ok(())
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.state(|state| {
            state.working = state.durable.clone();
            state.owned = false;
        });
    }
}

fn first_of(partition: u32, sighting: &Sighting) -> First {
    First {
        position: Position { partition, offset: sighting.offset, index: sighting.index },
        day: sighting.day,
        fingerprint: sighting.fingerprint,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fresh() -> impl Fn() -> MemoryDedupe {
        let index = MemoryDedupe::new();
        move || index.clone()
    }

    sluice_seams::dedupe_index_suite!(fresh);

    #[test]
    fn a_poisoned_index_stays_so() {
        let script = Script::default();
        let index = MemoryDedupe::with_script(script.clone());
        let mut owner = index.open(0).expect("a free partition opens");
        script.then([Fault::RetryBefore, Fault::Poison]);
        assert!(matches!(owner.persist(1), Err(StoreError::Retry { .. })));
        assert_eq!(owner.resolved(), 0);
        assert!(matches!(owner.persist(1), Err(StoreError::Poisoned(_))));
        assert!(matches!(owner.persist(1), Err(StoreError::Poisoned(_))));
    }
}
