//! Sheds load by what is in flight, over all apps together.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::metrics::gauge::Gauge;
use sluice_event::reason::{Reason, Refusal};
use sluice_event::service::InFlight;

use crate::config::GlobalLimits;

/// How long a shed request is asked to wait, milliseconds.
const WAIT_MS: u64 = 1_000;

/// Requests and bytes in flight. Cloning shares the counts.
#[derive(Clone)]
pub(crate) struct Load(Arc<Counts>);

struct Counts {
    bytes: AtomicU64,
    requests: AtomicU64,
    bytes_gauge: Gauge,
    requests_gauge: Gauge,
}

// === impl Load ===

impl Load {
    pub(crate) fn new(bytes_gauge: Gauge, requests_gauge: Gauge) -> Self {
        let (bytes, requests) = (AtomicU64::new(0), AtomicU64::new(0));
        Self(Arc::new(Counts { bytes, requests, bytes_gauge, requests_gauge }))
    }

    /// Counts a request of `bytes` as in flight until the permit is dropped.
    pub(crate) fn enter(&self, bytes: u64, limits: &GlobalLimits) -> Result<InFlight, Refusal> {
        // Counted first and looked at second, so that two at once cannot both
        // take the last place. The permit takes the count back in any case.
        let counts = &self.0;
        let bytes_now = counts.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let requests_now = counts.requests.fetch_add(1, Ordering::Relaxed) + 1;
        counts.bytes_gauge.inc_by(bytes as i64);
        counts.requests_gauge.inc();
        let permit = self.permit(bytes);
        let (what, limit) = if bytes_now > limits.in_flight_bytes_max {
            ("bytes", limits.in_flight_bytes_max)
        } else if requests_now > limits.in_flight_requests_max {
            ("requests", limits.in_flight_requests_max)
        } else {
            return Ok(permit);
        };
        let detail = format!("the gateway has too many {what} in flight: resend later");
        Err(Refusal::new(Reason::Overloaded, detail).limit(limit).retry_after_ms(WAIT_MS))
    }

    fn permit(&self, bytes: u64) -> InFlight {
        let Self(counts) = self.clone();
        InFlight::new(move || {
            counts.bytes.fetch_sub(bytes, Ordering::Relaxed);
            counts.requests.fetch_sub(1, Ordering::Relaxed);
            counts.bytes_gauge.dec_by(bytes as i64);
            counts.requests_gauge.dec();
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(load: &Load, bytes: u64, limits: &GlobalLimits) -> Option<Refusal> {
        load.enter(bytes, limits).err()
    }

    #[test]
    fn a_dropped_permit_makes_room() {
        let limits = GlobalLimits { in_flight_bytes_max: 100, ..GlobalLimits::default() };
        let load = Load::new(Gauge::default(), Gauge::default());
        let first = load.enter(60, &limits);
        assert!(first.is_ok());
        let refusal = refused(&load, 41, &limits).expect("full");
        assert_eq!(refusal.reason, Reason::Overloaded);
        assert_eq!((refusal.limit, refusal.retry_after_ms), (Some(100), Some(WAIT_MS)));
        assert!(load.enter(40, &limits).is_ok(), "a refused request holds no room");
        drop(first);
        assert!(load.enter(100, &limits).is_ok());
        assert_eq!(load.0.bytes_gauge.get(), 0);
        assert_eq!(load.0.requests_gauge.get(), 0);
    }

    #[test]
    fn requests_are_limited_too() {
        let limits = GlobalLimits { in_flight_requests_max: 1, ..GlobalLimits::default() };
        let load = Load::new(Gauge::default(), Gauge::default());
        let _first = load.enter(0, &limits);
        assert_eq!(refused(&load, 0, &limits).and_then(|refusal| refusal.limit), Some(1));
    }
}
