//! What the wire counts.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use sluice_telemetry::{Registry, latency_buckets};

/// A request's route and the status it got; 0: the connection was closed
/// without an answer.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct RequestLabels {
    pub route: &'static str,
    pub status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct StageLabels {
    pub stage: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct WhyLabels {
    pub why: &'static str,
}

/// The wire's metric families.
#[derive(Clone)]
pub(crate) struct Metrics {
    pub requests: Family<RequestLabels, Counter>,
    pub connections_open: Gauge,
    pub connections: Counter,
    /// Connections that were closed from this side, by why.
    pub connections_closed: Family<WhyLabels, Counter>,
    pub at_limit: Counter,
    pub accept_errors: Counter,
    pub wire_bytes: Counter,
    pub inflated_bytes: Counter,
    /// Of the steps of an ingest request.
    pub read: Histogram,
    pub inflate: Histogram,
    pub decode: Histogram,
    pub collect: Histogram,
    pub streams_open: Gauge,
}

// === impl Metrics ===

impl Metrics {
    pub(crate) fn new(registry: &Registry) -> Self {
        fn counter(registry: &Registry, name: &str, help: &str) -> Counter {
            registry.register(name, help, Counter::default())
        }
        let stages: Family<StageLabels, Histogram> =
            Family::new_with_constructor(|| Histogram::new(latency_buckets()));
        let help = "Time of each step of an ingest request, seconds";
        let stages = registry.register("wire_stage_seconds", help, stages);
        let stage = |stage| stages.get_or_create_owned(&StageLabels { stage });
        let requests = "Requests by route and status (0: closed without an answer)";
        let closed = "Connections closed from this side, by why";
        let open = "Open connections";
        let streams = "Open gRPC streams";
        Self {
            requests: registry.register("wire_requests", requests, Family::default()),
            connections_open: registry.register("wire_connections_open", open, Gauge::default()),
            connections: counter(registry, "wire_connections", "Connections accepted"),
            connections_closed: registry.register(
                "wire_connections_closed",
                closed,
                Family::default(),
            ),
            at_limit: counter(
                registry,
                "wire_at_limit",
                "Times that accepting paused at the limit",
            ),
            accept_errors: counter(registry, "wire_accept_errors", "Failed accepts"),
            wire_bytes: counter(registry, "wire_body_bytes", "Bytes of ingest bodies as sent"),
            inflated_bytes: counter(
                registry,
                "wire_inflated_bytes",
                "Bytes of ingest bodies after inflation",
            ),
            read: stage("read"),
            inflate: stage("inflate"),
            decode: stage("decode"),
            collect: stage("collect"),
            streams_open: registry.register("wire_streams_open", streams, Gauge::default()),
        }
    }

    pub(crate) fn request(&self, route: &'static str, status: u16) {
        self.requests.get_or_create(&RequestLabels { route, status }).inc();
    }

    pub(crate) fn closed(&self, why: &'static str) {
        self.connections_closed.get_or_create(&WhyLabels { why }).inc();
    }
}

/// Observes how long something took.
pub(crate) fn observe(histogram: &Histogram, took: Duration) {
    histogram.observe(took.as_secs_f64());
}
