//! `D` in fjall: who was first, by partition and day of append.
//!
//! * One keyspace per partition and *log day* (day of a record's time of
//!   append), named `p<partition>.d<day>`. A key is looked up in each of them,
//!   newest first, past bloom filters; expiry deletes whole keyspaces.
//! * What was resolved since the last `persist` lies in a map in memory, the
//!   front. `persist` writes front, next offset and expiry floor as one batch
//!   with one fsync, so that the offset is never ahead of the entries. A front
//!   that grows past its bound is written early *without* an offset: a crash
//!   then resolves the stretch again and meets entries of its own positions.
//! * `expire` takes effect with the next `persist`, never between: a stretch
//!   resolved again after a crash is judged by the same entries as before.
//! * `find` sees everything that any partition has resolved, persisted or not.
//! * Any I/O error is for good, see `poison`.
//!
//! Keyspace `meta`: `format` → `[1]`; partition (4 bytes) → next offset (8) and
//! oldest log day kept (4), big-endian.

mod entry;
mod partition;
pub(crate) mod poison;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use parking_lot::RwLock;
use sluice_seams::key::DAY_MS;
use sluice_seams::{DedupeIndex, DedupePartition, First, Key, StoreError};

use partition::{Owner, Partition};
use poison::{Poison, open_error};

const FORMAT: u8 = 1;
const FORMAT_KEY: &[u8] = b"format";

/// Where the index lives and what it may use.
#[derive(Debug, Clone)]
pub struct DedupeConfig {
    /// Folder of the database; made where absent. One process at a time.
    pub dir: PathBuf,
    /// How long a key is held after its first copy was appended, by log time,
    /// milliseconds, rounded up to whole days (default 7 days). `expire` may
    /// forget sooner.
    pub window_ms: i64,
    /// Blocks and filters held in memory, bytes (default 128 MiB).
    pub cache_bytes: u64,
    /// Entries of the front of one partition, ~100 bytes each, at which it is
    /// written early (default 131 072).
    pub front_entries_max: usize,
}

/// `D` of a whole log in one fjall database.
pub struct EmbeddedDedupe {
    shared: Arc<Shared>,
    partitions: RwLock<BTreeMap<u32, Arc<Partition>>>,
}

/// What all partitions have in common.
struct Shared {
    config: DedupeConfig,
    poison: Poison,
    meta: Keyspace,
    database: Database,
}

// === impl DedupeConfig ===

impl DedupeConfig {
    /// The defaults, in this folder.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            window_ms: 7 * DAY_MS,
            cache_bytes: 128 << 20,
            front_entries_max: 1 << 17,
        }
    }
}

// === impl EmbeddedDedupe ===

impl EmbeddedDedupe {
    /// Opens the index, or makes an empty one. Blocks.
    ///
    /// # Errors
    /// `Refused`: the window is shorter than a day, another process holds the
    /// folder, or the format is not this one's. `Poisoned`: an I/O error.
    pub fn open(config: DedupeConfig) -> Result<Self, StoreError> {
        if config.window_ms < DAY_MS {
            return Err(StoreError::Refused(format!(
                "dedupe window of {} ms: at least one day ({DAY_MS} ms) is needed",
                config.window_ms
            )));
        }
        let failed = |error| open_error(&config.dir, error);
        let database =
            Database::builder(&config.dir).cache_size(config.cache_bytes).open().map_err(failed)?;
        let meta = database.keyspace("meta", KeyspaceCreateOptions::default).map_err(failed)?;
        check_format(&config, &database, &meta)?;
        let names = database.list_keyspace_names();
        let shared = Arc::new(Shared { config, poison: Poison::default(), meta, database });
        let index = Self { shared, partitions: RwLock::default() };
        for name in names {
            if let Some((partition, day)) = parse_name(&name) {
                index.partition(partition)?.recover_bucket(&index.shared, day)?;
            }
        }
        Ok(index)
    }

    /// The state of a partition, made where absent.
    fn partition(&self, number: u32) -> Result<Arc<Partition>, StoreError> {
        if let Some(partition) = self.partitions.read().get(&number) {
            return Ok(Arc::clone(partition));
        }
        let mut partitions = self.partitions.write();
        if let Some(partition) = partitions.get(&number) {
            return Ok(Arc::clone(partition));
        }
        let partition = Arc::new(Partition::load(&self.shared, number)?);
        partitions.insert(number, Arc::clone(&partition));
        Ok(partition)
    }
}

impl DedupeIndex for EmbeddedDedupe {
    fn open(&self, partition: u32) -> Result<Box<dyn DedupePartition>, StoreError> {
        self.shared.poison.check()?;
        let state = self.partition(partition)?;
        Ok(Box::new(Owner::take(Arc::clone(&self.shared), state)?))
    }

    fn find(&self, key: Key) -> Result<Option<First>, StoreError> {
        let partitions: Vec<_> = self.partitions.read().values().cloned().collect();
        for partition in partitions {
            if let Some(first) = partition.find(&self.shared, key)? {
                return Ok(Some(first));
            }
        }
        Ok(None)
    }
}

// === impl Shared ===

impl Shared {
    /// Turns an error of the database into the one that stays.
    fn failed(&self, doing: &'static str) -> impl Fn(fjall::Error) -> StoreError {
        move |error| self.poison.mark(doing, &error)
    }
}

fn bucket_name(partition: u32, day: i32) -> String {
    format!("p{partition}.d{day}")
}

fn parse_name(name: &str) -> Option<(u32, i32)> {
    let (partition, day) = name.strip_prefix('p')?.split_once(".d")?;
    Some((partition.parse().ok()?, day.parse().ok()?))
}

fn check_format(
    config: &DedupeConfig,
    database: &Database,
    meta: &Keyspace,
) -> Result<(), StoreError> {
    let failed = |error| open_error(&config.dir, error);
    match meta.get(FORMAT_KEY).map_err(failed)? {
        Some(format) if *format == [FORMAT] => Ok(()),
        Some(format) => Err(StoreError::Refused(format!(
            "{} has format {:?}, this program knows {FORMAT}: move the folder away, \
             it is rebuilt from the log",
            config.dir.display(),
            &*format
        ))),
        None => {
            meta.insert(FORMAT_KEY, [FORMAT]).map_err(failed)?;
            database.persist(PersistMode::SyncAll).map_err(failed)
        }
    }
}

#[cfg(test)]
mod tests;
