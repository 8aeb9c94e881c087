//! Metrics of the process itself; filled when they are asked for.

use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use sluice_embedded::log::LogFigures;
use sluice_telemetry::Registry;

use super::Parts;
use super::engine_metrics::EngineMetrics;

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
    log: LogMetrics,
    engines: EngineMetrics,
}

/// What the writer of the embedded log has done.
#[derive(Debug, Clone)]
struct LogMetrics {
    records: Counter,
    bytes: Counter,
    groups: Counter,
    syncs: Counter,
    sync_us: Counter,
    queue_bytes: Level,
    dropped_segments: Counter,
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
            log: LogMetrics::new(registry),
            engines: EngineMetrics::new(registry),
        }
    }

    /// Reads the levels from their owners.
    pub async fn read(&self, parts: &Parts, ready: bool) {
        self.ready.set(u64::from(ready));
        if let Some(figures) = parts.stores.logs.embedded_figures() {
            self.log.read(&figures);
        }
        self.engines.read(&parts.stores);
        let log = parts.stores.logs.events.status();
        self.store("log", log.disk_bytes, None);
        self.disk_free_bytes.set(log.disk_free_bytes.unwrap_or(0));
        self.last_append_age_ms.set(log.last_append_age_ms.unwrap_or(0));
        if let Some(documents) = &parts.stores.documents {
            let documents = documents.status().await;
            self.store("documents", documents.disk_bytes, documents.entries);
        }
        if let Some(rows) = &parts.stores.rows {
            let rows = rows.status().await;
            self.store("rows", rows.disk_bytes, rows.entries);
        }
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

// === impl LogMetrics ===

impl LogMetrics {
    fn new(registry: &Registry) -> Self {
        let counter = |name, help| registry.register(name, help, Counter::default());
        Self {
            records: counter("log_records", "Records made durable"),
            bytes: counter("log_bytes", "Bytes written to the log, frames included"),
            groups: counter("log_groups", "Groups of records made durable together"),
            syncs: counter("log_syncs", "Syncs of segment files"),
            sync_us: counter("log_sync_microseconds", "Time spent in syncs of segment files"),
            queue_bytes: registry.register(
                "log_queue_bytes",
                "Bytes handed over and not yet durable",
                Level::default(),
            ),
            dropped_segments: counter("log_dropped_segments", "Segments dropped by retention"),
        }
    }

    fn read(&self, figures: &LogFigures) {
        let set = |counter: &Counter, value| counter.inner().store(value, Ordering::Relaxed);
        set(&self.records, figures.records);
        set(&self.bytes, figures.bytes);
        set(&self.groups, figures.groups);
        set(&self.syncs, figures.syncs);
        set(&self.sync_us, figures.sync_ns / 1000);
        set(&self.dropped_segments, figures.dropped_segments);
        self.queue_bytes.set(figures.queue_bytes);
    }
}
