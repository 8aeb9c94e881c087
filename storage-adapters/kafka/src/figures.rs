//! What the log in Kafka has done, for metrics.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// Figures at a moment; counters since the start of the process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KafkaFigures {
    /// Records that the broker has acknowledged.
    pub delivered: u64,
    /// Bytes of them.
    pub delivered_bytes: u64,
    /// Records whose delivery failed or timed out.
    pub failed: u64,
    /// Records refused before they were handed over.
    pub refused: u64,
    /// Bytes handed over and not yet acknowledged, with 256 for each record.
    pub queue_bytes: u64,
    /// Records handed over and not yet acknowledged.
    pub queue_records: u64,
    /// Records read.
    pub read: u64,
    /// Readers that were placed anew.
    pub seeks: u64,
    /// Producers made after a fatal error of the one before.
    pub producers_replaced: u64,
    /// Mean round trip to the brokers, microseconds; 0 where not known.
    pub round_trip_us: u64,
    /// Requests to brokers that failed.
    pub request_errors: u64,
}

/// Shared by all parts of a log.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub delivered: AtomicU64,
    pub delivered_bytes: AtomicU64,
    pub failed: AtomicU64,
    pub refused: AtomicU64,
    pub queue_bytes: AtomicU64,
    pub queue_records: AtomicU64,
    pub read: AtomicU64,
    pub seeks: AtomicU64,
    pub producers_replaced: AtomicU64,
    pub round_trip_us: AtomicU64,
    pub request_errors: AtomicU64,
    /// When the broker last acknowledged a record, or something began to wait
    /// for it, milliseconds since the Unix epoch.
    pub progress_ms: AtomicI64,
    /// When it last acknowledged a record; 0: never.
    pub delivered_ms: AtomicI64,
}

// === impl Counters ===

impl Counters {
    pub(crate) fn figures(&self) -> KafkaFigures {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        KafkaFigures {
            delivered: get(&self.delivered),
            delivered_bytes: get(&self.delivered_bytes),
            failed: get(&self.failed),
            refused: get(&self.refused),
            queue_bytes: get(&self.queue_bytes),
            queue_records: get(&self.queue_records),
            read: get(&self.read),
            seeks: get(&self.seeks),
            producers_replaced: get(&self.producers_replaced),
            round_trip_us: get(&self.round_trip_us),
            request_errors: get(&self.request_errors),
        }
    }
}

/// Adds to a counter.
pub(crate) fn add(counter: &AtomicU64, value: u64) {
    counter.fetch_add(value, Ordering::Relaxed);
}
