//! Metrics registry, shared label types and clock.
//!
//! Each crate registers its own families in its `metrics.rs`; nothing is global.
//! Names are `sluice_<stage>_<what>_<unit>[_total]` (the registry adds `sluice_`,
//! prometheus-client adds `_total` to counters). Only verified apps become a label.

pub mod clock;
mod registry;

pub use clock::{Clock, ManualClock, SystemClock};
pub use prometheus_client;
pub use registry::Registry;

/// Buckets for latencies, seconds: 50 µs to 52 s, doubling.
pub fn latency_buckets() -> impl Iterator<Item = f64> {
    prometheus_client::metrics::histogram::exponential_buckets(50e-6, 2.0, 21)
}
