//! Rates of one app: events and bytes per second, with burst (GCRA).
//!
//! A request that is larger than the burst is charged one full burst: it waits
//! for a full bucket instead of being refused for ever.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use governor::clock::Clock as GovernorClock;
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{NotUntil, Quota, RateLimiter};
use sluice_event::limits::{BATCH_EVENTS_MAX, WIRE_BYTES_MAX};
use sluice_telemetry::Clock;

use crate::config::RateConfig;

/// What the limiters tell time by.
#[derive(Clone)]
pub enum Ticks {
    /// The machine's monotonic clock, since this moment. A wall clock that is
    /// set back must not hold anybody's requests back.
    Monotonic(Instant),
    /// A given clock; for tests and simulations.
    Clock(Arc<dyn Clock>),
}

/// A limiter without keys.
type Direct = RateLimiter<NotKeyed, InMemoryState, Ticks, NoOpMiddleware<Duration>>;

/// Bytes that one cell of the bytes limiter stands for: a limiter spaces cells
/// in whole nanoseconds, too coarse for single bytes.
const CELL_BYTES: u64 = 64;
/// Longest wait that is asked for, milliseconds.
const WAIT_MAX_MS: u64 = 60_000;

/// One rate with its burst.
struct Limiter {
    bucket: Direct,
    burst: NonZeroU32,
    ticks: Ticks,
}

/// The rates of one app.
pub(crate) struct AppRate {
    config: RateConfig,
    events: Option<Limiter>,
    bytes: Option<Limiter>,
}

// === impl Ticks ===

impl Ticks {
    /// The machine's monotonic clock, from now on.
    pub fn monotonic() -> Self {
        Self::Monotonic(Instant::now())
    }
}

impl GovernorClock for Ticks {
    type Instant = Duration;

    fn now(&self) -> Duration {
        match self {
            Self::Monotonic(since) => since.elapsed(),
            Self::Clock(clock) => Duration::from_millis(clock.now_ms().max(0).unsigned_abs()),
        }
    }
}

// === impl Limiter ===

impl Limiter {
    fn new(per_s: NonZeroU32, burst: NonZeroU32, ticks: Ticks) -> Self {
        let quota = Quota::per_second(per_s).allow_burst(burst);
        Self { bucket: RateLimiter::direct_with_clock(quota, ticks.clone()), burst, ticks }
    }

    /// Takes `cells`; `Err`: milliseconds to wait.
    fn take(&self, cells: u64) -> Result<(), u64> {
        let Some(cells) = NonZeroU32::new(u32::try_from(cells).unwrap_or(u32::MAX)) else {
            return Ok(());
        };
        match self.bucket.check_n(cells.min(self.burst)) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(until)) => Err(wait_ms(&until, &self.ticks)),
            // Unreachable: never more than the burst is asked for.
            Err(_insufficient) => Err(WAIT_MAX_MS),
        }
    }
}

/// Milliseconds until a refused request would pass, rounded up, at least one.
pub(crate) fn wait_ms(until: &NotUntil<Duration>, ticks: &Ticks) -> u64 {
    let wait = until.wait_time_from(ticks.now()).as_nanos().div_ceil(1_000_000);
    u64::try_from(wait).unwrap_or(u64::MAX).clamp(1, WAIT_MAX_MS)
}

// === impl AppRate ===

impl AppRate {
    /// The limiters that a valid config asks for, their buckets full.
    pub(crate) fn new(config: &RateConfig, ticks: &Ticks) -> Self {
        let events = config.events_per_s.and_then(NonZeroU32::new).map(|per_s| {
            let by_default = per_s.get().saturating_mul(2).max(BATCH_EVENTS_MAX as u32);
            let burst = config.events_burst.unwrap_or(by_default);
            Limiter::new(per_s, NonZeroU32::new(burst).unwrap_or(per_s), ticks.clone())
        });
        let bytes = config.bytes_per_s.map(|per_s| {
            let by_default = per_s.saturating_mul(2).max(WIRE_BYTES_MAX as u64);
            let burst = cells(config.bytes_burst.unwrap_or(by_default));
            Limiter::new(cells(per_s), burst, ticks.clone())
        });
        Self { config: config.clone(), events, bytes }
    }

    /// Whether this is what `config` asks for, so that its state can be kept.
    pub(crate) fn is(&self, config: &RateConfig) -> bool {
        self.config == *config
    }

    /// Takes events; `Err`: milliseconds to wait.
    pub(crate) fn take_events(&self, count: usize) -> Result<(), u64> {
        self.events.as_ref().map_or(Ok(()), |limiter| limiter.take(count as u64))
    }

    /// Takes bytes; `Err`: milliseconds to wait.
    pub(crate) fn take_bytes(&self, count: usize) -> Result<(), u64> {
        let cells = (count as u64).div_ceil(CELL_BYTES);
        self.bytes.as_ref().map_or(Ok(()), |limiter| limiter.take(cells))
    }

    /// Events per second, where limited.
    pub(crate) fn events_per_s(&self) -> Option<u64> {
        self.config.events_per_s.map(u64::from)
    }

    /// Bytes per second, where limited.
    pub(crate) fn bytes_per_s(&self) -> Option<u64> {
        self.config.bytes_per_s
    }
}

/// Whole cells, at least one.
fn cells(bytes: u64) -> NonZeroU32 {
    let cells = u32::try_from(bytes / CELL_BYTES).unwrap_or(u32::MAX);
    NonZeroU32::new(cells).unwrap_or(NonZeroU32::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sluice_telemetry::ManualClock;

    fn rate(config: RateConfig) -> (AppRate, ManualClock) {
        let clock = ManualClock::at(1_000);
        (AppRate::new(&config, &Ticks::Clock(Arc::new(clock.clone()))), clock)
    }

    #[test]
    fn events_pass_up_to_the_burst_and_then_at_the_rate() {
        let (rate, clock) = rate(RateConfig {
            events_per_s: Some(10),
            events_burst: Some(20),
            ..RateConfig::default()
        });
        assert_eq!(rate.take_events(20), Ok(()));
        assert_eq!(rate.take_events(1), Err(100));
        clock.advance(99);
        assert_eq!(rate.take_events(1), Err(1));
        clock.advance(1);
        assert_eq!(rate.take_events(1), Ok(()));
        clock.advance(2_000);
        assert_eq!(rate.take_events(20), Ok(()));
    }

    #[test]
    fn more_than_the_burst_waits_for_a_full_bucket() {
        let (rate, clock) = rate(RateConfig {
            bytes_per_s: Some(64_000),
            bytes_burst: Some(64_000),
            ..RateConfig::default()
        });
        assert_eq!(rate.take_bytes(1_000_000), Ok(()));
        assert_eq!(rate.take_bytes(1_000_000), Err(1_000));
        clock.advance(999);
        assert_eq!(rate.take_bytes(1_000_000), Err(1));
        clock.advance(1);
        assert_eq!(rate.take_bytes(1_000_000), Ok(()));
    }

    #[test]
    fn no_rate_is_no_limit() {
        let (rate, _clock) = rate(RateConfig::default());
        assert!(
            (0..1_000).all(|_| rate.take_events(500).is_ok() && rate.take_bytes(1 << 20).is_ok())
        );
    }

    #[test]
    fn a_default_burst_takes_a_full_batch_and_a_full_body() {
        let config =
            RateConfig { events_per_s: Some(1), bytes_per_s: Some(1_024), ..RateConfig::default() };
        let (rate, _clock) = rate(config);
        assert_eq!(rate.take_events(BATCH_EVENTS_MAX), Ok(()));
        assert!(rate.take_events(1).is_err());
        assert_eq!(rate.take_bytes(WIRE_BYTES_MAX), Ok(()));
        assert!(rate.take_bytes(1).is_err());
    }
}
