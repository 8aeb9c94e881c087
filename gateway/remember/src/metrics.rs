//! Metrics of what is remembered.

use sluice_telemetry::Registry;
use sluice_telemetry::prometheus_client::encoding::EncodeLabelSet;
use sluice_telemetry::prometheus_client::metrics::counter::Counter;
use sluice_telemetry::prometheus_client::metrics::family::Family;
use sluice_telemetry::prometheus_client::metrics::gauge::Gauge;

use crate::shard::Change;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Where {
    found: &'static str,
}

pub(crate) struct Metrics {
    keys: Gauge,
    bytes: Gauge,
    in_flight: Gauge,
    forgotten: Counter,
    /// Hits, by where the first copy was found.
    pub(crate) remembered: Counter,
    pub(crate) waiting: Counter,
    pub(crate) twins: Counter,
}

// === impl Metrics ===

impl Metrics {
    pub(crate) fn new(registry: &Registry) -> Self {
        let hits = registry.register(
            "remember_hits",
            "Events whose first copy was known, by where it was found",
            Family::<Where, Counter>::default(),
        );
        let hit = |found| hits.get_or_create_owned(&Where { found });
        Self {
            keys: registry.register("remember_keys", "Event ids remembered", Gauge::default()),
            bytes: registry.register(
                "remember_bytes",
                "Bytes allocated for remembered event ids",
                Gauge::default(),
            ),
            in_flight: registry.register(
                "remember_in_flight_keys",
                "Event ids being appended",
                Gauge::default(),
            ),
            forgotten: registry.register(
                "remember_forgotten",
                "Event ids forgotten to make room for newer ones",
                Counter::default(),
            ),
            remembered: hit("remembered"),
            waiting: hit("in_flight"),
            twins: hit("batch"),
        }
    }

    pub(crate) fn changed(&self, change: Change, in_flight: usize) {
        self.in_flight.set(in_flight as i64);
        if change == Change::default() {
            return;
        }
        self.keys.inc_by(change.inserted as i64 - change.forgotten as i64);
        self.bytes.inc_by(change.allocated_bytes as i64);
        self.forgotten.inc_by(change.forgotten);
    }
}
