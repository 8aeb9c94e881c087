//! Metric families of this stage.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use sluice_telemetry::Registry;

/// A verified app and the kind of rate it was over.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct LimitedLabels {
    pub(crate) app: String,
    /// `events` or `bytes`.
    pub(crate) kind: &'static str,
}

/// The result of a config reload.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ReloadLabels {
    /// `taken` or `refused`.
    pub(crate) result: &'static str,
}

/// Metrics of admission.
#[derive(Clone)]
pub(crate) struct Metrics {
    pub(crate) unknown_keys: Counter,
    pub(crate) addresses_limited: Counter,
    pub(crate) addresses: Gauge,
    pub(crate) rate_limited: Family<LimitedLabels, Counter>,
    pub(crate) in_flight_bytes: Gauge,
    pub(crate) in_flight_requests: Gauge,
    pub(crate) shed: Counter,
    pub(crate) reloads: Family<ReloadLabels, Counter>,
    pub(crate) apps: Gauge,
}

// === impl Metrics ===

impl Metrics {
    pub(crate) fn new(registry: &Registry) -> Self {
        Self {
            unknown_keys: registry.register(
                "admit_unknown_keys",
                "Requests whose key, project or token is missing or not known",
                Counter::default(),
            ),
            addresses_limited: registry.register(
                "admit_addresses_limited",
                "Requests without a known key whose address was over its rate",
                Counter::default(),
            ),
            addresses: registry.register(
                "admit_addresses",
                "Addresses remembered for coming without a known key",
                Gauge::default(),
            ),
            rate_limited: registry.register(
                "admit_rate_limited",
                "Requests refused because the app was over its rate",
                Family::default(),
            ),
            in_flight_bytes: registry.register(
                "admit_in_flight_bytes",
                "Bytes of bodies in flight",
                Gauge::default(),
            ),
            in_flight_requests: registry.register(
                "admit_in_flight_requests",
                "Requests in flight",
                Gauge::default(),
            ),
            shed: registry.register(
                "admit_shed",
                "Requests refused because too much was in flight",
                Counter::default(),
            ),
            reloads: registry.register(
                "admit_reloads",
                "Reloads of the apps' config by result",
                Family::default(),
            ),
            apps: registry.register("admit_apps", "Apps in the config", Gauge::default()),
        }
    }
}
