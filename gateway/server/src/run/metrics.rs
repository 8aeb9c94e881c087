//! Metrics of the process itself; filled when they are asked for.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use sluice_telemetry::Registry;

use super::Parts;

/// A number that rises and falls.
type Level = Gauge<u64, AtomicU64>;

/// Which store.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StoreLabels {
    store: &'static str,
}

/// Levels that are read from their owners at each scrape.
#[derive(Debug, Clone)]
pub struct Metrics {
    ready: Level,
    disk_bytes: Family<StoreLabels, Level>,
    disk_free_bytes: Level,
    entries: Family<StoreLabels, Level>,
    last_append_age_ms: Level,
}

// === impl Metrics ===

impl Metrics {
    /// Registers the families.
    pub fn new(registry: &Registry) -> Self {
        Self {
            ready: registry.register("ready", "1 where /readyz answers 200", Level::default()),
            disk_bytes: registry.register(
                "store_disk_bytes",
                "Bytes on disk by store",
                Family::default(),
            ),
            disk_free_bytes: registry.register(
                "disk_free_bytes",
                "Bytes free below the data directory",
                Level::default(),
            ),
            entries: registry.register(
                "store_entries",
                "Documents or rows by store",
                Family::default(),
            ),
            last_append_age_ms: registry.register(
                "log_last_append_age_ms",
                "Age of the newest durable append",
                Level::default(),
            ),
        }
    }

    /// Reads the levels from their owners.
    pub async fn read(&self, parts: &Parts, ready: bool) {
        self.ready.set(u64::from(ready));
        let log = parts.log.status();
        self.store("log", log.disk_bytes, None);
        self.disk_free_bytes.set(log.disk_free_bytes.unwrap_or(0));
        self.last_append_age_ms.set(log.last_append_age_ms.unwrap_or(0));
        let documents = parts.documents.status().await;
        self.store("documents", documents.disk_bytes, documents.entries);
        let rows = parts.rows.status().await;
        self.store("rows", rows.disk_bytes, rows.entries);
    }

    fn store(&self, store: &'static str, disk_bytes: Option<u64>, entries: Option<u64>) {
        let labels = StoreLabels { store };
        if let Some(bytes) = disk_bytes {
            self.disk_bytes.get_or_create(&labels).set(bytes);
        }
        if let Some(entries) = entries {
            self.entries.get_or_create(&labels).set(entries);
        }
    }
}
