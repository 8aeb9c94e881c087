//! Metrics of fan out.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use sluice_telemetry::{Registry, latency_buckets};

/// The verdict on an event.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct VerdictLabel {
    /// `first`, `duplicate`, `id_reused`, `undecodable`.
    pub verdict: &'static str,
}

/// A lane.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct LaneLabel {
    /// `documents`, `rows`; for dead letters also `resolve`.
    pub lane: &'static str,
}

/// A lane in a partition.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct PartitionLabel {
    /// `documents`, `rows`.
    pub lane: &'static str,
    /// Partition of the log.
    pub partition: u32,
}

/// A partition.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RebuildLabel {
    /// Partition of the log.
    pub partition: u32,
}

/// Families of fan out. Cloning shares them.
#[derive(Debug, Clone)]
pub struct Metrics {
    pub(crate) events: Family<VerdictLabel, Counter>,
    pub(crate) taken: Family<LaneLabel, Counter>,
    pub(crate) lag_records: Family<PartitionLabel, Gauge>,
    pub(crate) lag_seconds: Family<PartitionLabel, Gauge<f64, AtomicU64>>,
    pub(crate) write_seconds: Family<LaneLabel, Histogram, fn() -> Histogram>,
    pub(crate) batch_events: Family<LaneLabel, Histogram, fn() -> Histogram>,
    pub(crate) retries: Family<LaneLabel, Counter>,
    pub(crate) dead_letters: Family<LaneLabel, Counter>,
    pub(crate) rebuild_records: Family<RebuildLabel, Gauge>,
    pub(crate) persist_seconds: Histogram,
    pub(crate) resolve_seconds: Histogram,
}

// === impl Metrics ===

impl Metrics {
    /// Registers the families.
    pub fn new(registry: &Registry) -> Self {
        let latency = || Histogram::new(latency_buckets());
        let sizes = || {
            Histogram::new(prometheus_client::metrics::histogram::exponential_buckets(1.0, 4.0, 8))
        };
        Self {
            events: registry.register(
                "fanout_events",
                "Events read from the log, by verdict of the dedupe index",
                Family::default(),
            ),
            taken: registry.register(
                "fanout_taken_events",
                "First events that a lane's store has taken, replays included",
                Family::default(),
            ),
            lag_records: registry.register(
                "fanout_lag_records",
                "Offsets of the log that a lane's store has not taken yet",
                Family::default(),
            ),
            lag_seconds: registry.register(
                "fanout_lag_seconds",
                "Age of the oldest record that a lane's store has not taken yet",
                Family::default(),
            ),
            write_seconds: registry.register(
                "fanout_write_seconds",
                "Time of one write call to a store, failed ones included",
                Family::new_with_constructor(latency as fn() -> Histogram),
            ),
            batch_events: registry.register(
                "fanout_batch_events",
                "First events in a batch to a store",
                Family::new_with_constructor(sizes as fn() -> Histogram),
            ),
            retries: registry.register(
                "fanout_retries",
                "Write calls that failed in passing and are sent again",
                Family::default(),
            ),
            dead_letters: registry.register(
                "fanout_dead_letters",
                "Writes put aside in the dead-letter log",
                Family::default(),
            ),
            rebuild_records: registry.register(
                "fanout_dedupe_rebuild_records",
                "Offsets still to be read again before the dedupe index of a partition is whole; \
                 lanes wait for it",
                Family::default(),
            ),
            persist_seconds: registry.register(
                "fanout_persist_seconds",
                "Time to make the dedupe index durable",
                latency(),
            ),
            resolve_seconds: registry.register(
                "fanout_resolve_seconds",
                "Time to decode and dedupe one read of the log",
                latency(),
            ),
        }
    }

    pub(crate) fn verdicts(&self, verdict: &'static str, count: u64) {
        if count > 0 {
            self.events.get_or_create(&VerdictLabel { verdict }).inc_by(count);
        }
    }
}
