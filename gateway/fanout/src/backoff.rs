//! Capped exponential backoff with full jitter, for ever.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

/// Waits between tries of one call.
#[derive(Debug)]
pub(crate) struct Backoff {
    min_ms: u64,
    max_ms: u64,
    tries: u32,
}

// === impl Backoff ===

impl Backoff {
    pub(crate) fn new(min_ms: u64, max_ms: u64) -> Self {
        Self { min_ms: min_ms.max(1), max_ms: max_ms.max(1), tries: 0 }
    }

    /// How long to wait before the next try: at least `least`, which the store
    /// asked for; beyond that anything below the doubling cap, so that many
    /// lanes do not come back at the same moment.
    pub(crate) fn next(&mut self, least: Duration) -> Duration {
        let cap = self.cap();
        self.tries = self.tries.saturating_add(1);
        let random = RandomState::new().build_hasher().finish();
        let jitter = Duration::from_millis(random % cap + 1);
        least.min(Duration::from_millis(self.max_ms)).max(jitter)
    }

    fn cap(&self) -> u64 {
        self.min_ms.saturating_mul(1 << self.tries.min(32)).min(self.max_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_to_its_cap_and_keeps_the_stores_wish() {
        let mut backoff = Backoff::new(10, 100);
        let mut caps = Vec::new();
        for _ in 0..40 {
            caps.push(backoff.cap());
            let wait = backoff.next(Duration::from_millis(5));
            assert!(wait >= Duration::from_millis(5) && wait <= Duration::from_millis(100));
        }
        assert_eq!(caps[..6], [10, 20, 40, 80, 100, 100]);
        assert_eq!(backoff.next(Duration::from_secs(999)), Duration::from_millis(100));
    }
}
