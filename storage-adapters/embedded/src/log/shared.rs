//! What callers, the writer and the noter of commits share.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, AtomicU64};

use super::commits::Commits;
use super::config::LogConfig;
use super::partition::Partitions;
use super::queue::Queue;

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) config: LogConfig,
    pub(super) disk_reserve_bytes: u64,
    pub(super) partitions: Partitions,
    pub(super) queue: Queue,
    pub(super) commits: Commits,
    pub(super) figures: Counters,
    pub(super) poisoned: OnceLock<String>,
}

/// Counters since the log was opened.
#[derive(Debug)]
pub(super) struct Counters {
    pub(super) records: AtomicU64,
    pub(super) bytes: AtomicU64,
    pub(super) groups: AtomicU64,
    pub(super) syncs: AtomicU64,
    pub(super) sync_ns: AtomicU64,
    pub(super) dropped_segments: AtomicU64,
    /// `i64::MIN` before the first append.
    pub(super) last_append_ms: AtomicI64,
}

// === impl Shared ===

impl Shared {
    /// Ends the log for good.
    pub(super) fn poison(&self, detail: &str) {
        if self.poisoned.set(detail.to_owned()).is_ok() {
            tracing::error!(detail, "the event log is out of order for good");
        }
        self.queue.poison(detail);
        self.commits.poison(detail);
    }

    /// Why `bytes` more must not be written to this disk.
    pub(super) fn disk_refusal(&self, bytes: u64) -> Option<String> {
        let reserve = self.disk_reserve_bytes;
        match self.config.disk.space(&self.config.dir) {
            Ok(space) if space.free_bytes.saturating_sub(bytes) >= reserve => None,
            Ok(space) => Some(format!(
                "the disk below {} has {} bytes free; {reserve} must stay free",
                self.config.dir.display(),
                space.free_bytes
            )),
            Err(error) => Some(format!(
                "the free space of the disk below {} cannot be told: {error}",
                self.config.dir.display()
            )),
        }
    }
}

// === impl Counters ===

impl Default for Counters {
    fn default() -> Self {
        Self {
            records: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            groups: AtomicU64::new(0),
            syncs: AtomicU64::new(0),
            sync_ns: AtomicU64::new(0),
            dropped_segments: AtomicU64::new(0),
            last_append_ms: AtomicI64::new(i64::MIN),
        }
    }
}
