//! Metrics of the append stage: every event's fate, counted once.

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use sluice_event::{Dialect, Outcome, Reason, Receipt};
use sluice_telemetry::{Registry, latency_buckets};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByApp {
    app: Arc<str>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByFate {
    app: Arc<str>,
    fate: &'static str,
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByRefusal {
    app: Arc<str>,
    dialect: &'static str,
    reason: &'static str,
}

pub(crate) struct Metrics {
    received: Family<ByApp, Counter>,
    events: Family<ByFate, Counter>,
    id_reused: Family<ByApp, Counter>,
    client_lost: Family<ByApp, Counter>,
    refused: Family<ByRefusal, Counter>,
    records: Counter,
    record_bytes: Counter,
    prepare: Histogram,
    append: Histogram,
}

/// The events of one batch between their receipt and their fates.
///
/// Received events are counted when it is made, fates when it is settled. Where
/// it is dropped unsettled (the request was given up), its events are counted
/// `lost_answer`: they have a fate in the log, but nobody was told.
pub(crate) struct Tracked {
    metrics: Arc<Metrics>,
    app: Arc<str>,
    received: u32,
    settled: bool,
}

// === impl Metrics ===

impl Metrics {
    pub(crate) fn new(registry: &Registry) -> Self {
        let seconds = || Histogram::new(latency_buckets());
        Self {
            received: registry.register(
                "append_received_events",
                "Events of batches that were let in",
                Family::default(),
            ),
            events: registry.register(
                "append_events",
                "Fates of those events; they add up to the received ones",
                Family::default(),
            ),
            id_reused: registry.register(
                "append_id_reused_events",
                "Events answered duplicate whose content differs from the first copy",
                Family::default(),
            ),
            client_lost: registry.register(
                "append_client_lost_events",
                "Events that clients say they lost before sending",
                Family::default(),
            ),
            refused: registry.register(
                "append_refused_requests",
                "Requests that ended without a receipt",
                Family::default(),
            ),
            records: registry.register(
                "append_records",
                "Records handed to the log",
                Counter::default(),
            ),
            record_bytes: registry.register(
                "append_record_bytes",
                "Bytes of records handed to the log",
                Counter::default(),
            ),
            prepare: registry.register(
                "append_prepare_seconds",
                "Checking, reserving and encoding one batch",
                seconds(),
            ),
            append: registry.register(
                "append_log_seconds",
                "From handing a record to the log until it is durable",
                seconds(),
            ),
        }
    }

    pub(crate) fn prepared(&self, took: Duration) {
        self.prepare.observe(took.as_secs_f64());
    }

    pub(crate) fn handed_over(&self, bytes: usize) {
        self.records.inc();
        self.record_bytes.inc_by(bytes as u64);
    }

    pub(crate) fn appended(&self, took: Duration) {
        self.append.observe(took.as_secs_f64());
    }

    pub(crate) fn reused(&self, app: &Arc<str>, events: u64) {
        if events > 0 {
            self.id_reused.get_or_create(&ByApp { app: app.clone() }).inc_by(events);
        }
    }

    /// `events` is a stranger's word: it is capped before it is added up.
    pub(crate) fn lost_by_client(&self, app: &Arc<str>, events: u64) {
        if events > 0 {
            let events = events.min(u64::from(u32::MAX));
            self.client_lost.get_or_create(&ByApp { app: app.clone() }).inc_by(events);
        }
    }

    pub(crate) fn refused(&self, app: Option<&str>, dialect: Dialect, reason: Reason) {
        let (dialect, reason) = (dialect.name(), reason.name());
        let app = Arc::from(app.unwrap_or_default());
        self.refused.get_or_create(&ByRefusal { app, dialect, reason }).inc();
    }

    fn fate(&self, app: &Arc<str>, fate: &'static str, reason: &'static str, events: u32) {
        if events > 0 {
            let labels = ByFate { app: app.clone(), fate, reason };
            self.events.get_or_create(&labels).inc_by(u64::from(events));
        }
    }
}

// === impl Tracked ===

impl Tracked {
    pub(crate) fn new(metrics: &Arc<Metrics>, app: &Arc<str>, received: usize) -> Self {
        let labels = ByApp { app: app.clone() };
        metrics.received.get_or_create(&labels).inc_by(received as u64);
        let (metrics, app) = (metrics.clone(), app.clone());
        Self { metrics, app, received: received as u32, settled: false }
    }

    /// Counts the fates of a closed batch.
    pub(crate) fn settle(mut self, receipt: &Receipt) {
        self.settled = true;
        debug_assert_eq!(receipt.total(), self.received, "every event has one fate");
        let (metrics, app) = (&self.metrics, &self.app);
        metrics.fate(app, Outcome::Accepted.name(), "", receipt.accepted);
        metrics.fate(app, Outcome::Duplicate.name(), "", receipt.duplicates);
        for result in &receipt.results {
            if let Some(reason) = result.reason {
                metrics.fate(app, result.outcome.name(), reason.name(), 1);
            }
        }
    }
}

impl Drop for Tracked {
    fn drop(&mut self) {
        if !self.settled {
            self.metrics.fate(&self.app, "lost_answer", "", self.received);
        }
    }
}
