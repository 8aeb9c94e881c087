//! When the next request may go, and how many events it may hold. Nothing here
//! looks at a clock or a socket (SDK-TIME-5: instants are monotonic).

use std::time::Duration;

use tokio::time::Instant;

use crate::limits::{BACKOFF_BASE, BACKOFF_MAX, BATCH_EVENTS_MAX, HOLD_MAX};
use crate::random;

/// What the answers so far leave.
#[derive(Debug)]
pub(crate) struct Pace {
    /// Failures in a row.
    pub(crate) failures: u32,
    /// Not before this, by the gateway's word or our own.
    pub(crate) not_before: Option<Instant>,
    /// When the last request went.
    pub(crate) last_sent: Option<Instant>,
    /// Events in a request, after 413.
    narrowed: usize,
    /// Asked to go on at once, after 413.
    pub(crate) at_once: bool,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            failures: 0,
            not_before: None,
            last_sent: None,
            narrowed: BATCH_EVENTS_MAX,
            at_once: false,
        }
    }
}

// === impl Pace ===

impl Pace {
    /// Events that a request may hold, of those allowed otherwise.
    pub(crate) fn events_max(&self, allowed: usize) -> usize {
        allowed.min(self.narrowed).clamp(1, BATCH_EVENTS_MAX)
    }

    /// All is well (SDK-RETRY-5: resets the waits; SDK-RETRY-6: batches grow again).
    pub(crate) fn succeed(&mut self) {
        self.failures = 0;
        self.not_before = None;
        self.narrowed = (self.narrowed + (self.narrowed / 4).max(1)).min(BATCH_EVENTS_MAX);
    }

    /// Some of it is to be sent again, after the wait that the reply asks for
    /// (SDK-RETRY-4) and a random share of one that doubles (SDK-RETRY-5).
    pub(crate) fn fail(&mut self, now: Instant, asked: Duration) {
        let longest = BACKOFF_BASE.saturating_mul(1 << self.failures.min(20)).min(BACKOFF_MAX);
        self.failures = self.failures.saturating_add(1);
        self.not_before = Some(now + asked.min(HOLD_MAX) + random::share(longest));
    }

    /// 413 for so many events: at most half in the next request, at once (SDK-RETRY-6).
    pub(crate) fn halve(&mut self, events: usize) {
        self.narrowed = (events / 2).max(1);
        self.at_once = true;
    }

    /// A batch was dropped: the next goes at the next interval, not at once
    /// (SDK-RETRY-7).
    pub(crate) fn dropped(&mut self, now: Instant, interval: Duration) {
        self.failures = 0;
        self.not_before = Some(now + interval);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_are_spread_and_end() {
        let now = Instant::now();
        let asked = Duration::from_secs(7);
        for failures in [0, 1, 5, 9, u32::MAX] {
            let longest = Duration::from_secs(1 << failures.min(9)).min(BACKOFF_MAX);
            let waits: Vec<Duration> = (0..400)
                .map(|_| {
                    let mut pace = Pace { failures, ..Pace::default() };
                    pace.fail(now, asked);
                    pace.not_before.expect("set") - now
                })
                .collect();
            assert!(waits.iter().all(|wait| *wait >= asked && *wait <= asked + longest));
            let low = waits.iter().filter(|wait| **wait < asked + longest / 2).count();
            assert!((120..280).contains(&low), "{low} of 400 after {failures}");
        }
        let mut pace = Pace::default();
        pace.fail(now, Duration::from_secs(1_000_000));
        assert!(pace.not_before.expect("set") - now <= HOLD_MAX + BACKOFF_BASE);
        pace.succeed();
        assert_eq!((pace.failures, pace.not_before), (0, None));
    }

    #[test]
    fn batches_halve_and_grow_again() {
        let mut pace = Pace::default();
        assert_eq!(pace.events_max(50), 50);
        pace.halve(50);
        assert_eq!(pace.events_max(50), 25);
        pace.halve(1);
        assert_eq!(pace.events_max(50), 1);
        (0..40).for_each(|_| pace.succeed());
        assert_eq!(pace.events_max(9_999), BATCH_EVENTS_MAX);
    }
}
