//! What the query API says about itself.

use sluice_telemetry::prometheus_client::encoding::EncodeLabelSet;
use sluice_telemetry::prometheus_client::metrics::counter::Counter;
use sluice_telemetry::prometheus_client::metrics::family::Family;
use sluice_telemetry::prometheus_client::metrics::gauge::Gauge;
use sluice_telemetry::prometheus_client::metrics::histogram::Histogram;
use sluice_telemetry::{Registry, latency_buckets};

/// One endpoint and its status.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct EndpointLabels {
    /// Operation id.
    pub endpoint: &'static str,
    /// HTTP status.
    pub status: u16,
}

/// One endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct LatencyLabels {
    /// Operation id.
    pub endpoint: &'static str,
}

/// Why an endpoint refused.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RefusalLabels {
    /// Operation id.
    pub endpoint: &'static str,
    /// The problem's reason.
    pub reason: &'static str,
}

/// Families of this crate.
#[derive(Clone)]
pub struct Metrics {
    /// Requests by endpoint and status.
    pub requests: Family<EndpointLabels, Counter>,
    /// Seconds to the answer's head, by endpoint.
    pub seconds: Family<LatencyLabels, Histogram>,
    /// Requests refused, by reason.
    pub refusals: Family<RefusalLabels, Counter>,
    /// Rows given in answers.
    pub rows: Counter,
    /// Live streams open.
    pub live_clients: Gauge,
    /// Events that live streams were too slow for.
    pub live_missed: Counter,
}

// === impl Metrics ===

impl Metrics {
    /// Registers the families.
    pub fn new(registry: &Registry) -> Self {
        let histogram: fn() -> Histogram = || Histogram::new(latency_buckets());
        Self {
            requests: registry.register(
                "query_requests",
                "Requests to the query API by endpoint and status",
                Family::default(),
            ),
            seconds: registry.register(
                "query_request_seconds",
                "Time to the head of an answer by endpoint",
                Family::new_with_constructor(histogram),
            ),
            refusals: registry.register(
                "query_refusals",
                "Requests to the query API refused, by reason",
                Family::default(),
            ),
            rows: registry.register("query_rows", "Rows given in answers", Counter::default()),
            live_clients: registry.register(
                "query_live_clients",
                "Live streams open",
                Gauge::default(),
            ),
            live_missed: registry.register(
                "query_live_missed",
                "Events that live streams were too slow for",
                Counter::default(),
            ),
        }
    }
}
