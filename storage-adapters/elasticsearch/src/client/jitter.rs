//! Random pauses: clients that failed together do not come back together.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// A pause drawn evenly from `0..=longest` ("full jitter").
pub fn full_jitter(longest: Duration) -> Duration {
    // A counter under a hash that is keyed at random for each process.
    static KEYS: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    static DRAWN: AtomicU64 = AtomicU64::new(0);
    let bits = KEYS.hash_one(DRAWN.fetch_add(1, Relaxed));
    let nanos = longest.as_nanos() * u128::from(bits >> 32) / u128::from(u32::MAX);
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_spread_and_bounded() {
        let longest = Duration::from_millis(100);
        let drawn: Vec<Duration> = (0..1_000).map(|_| full_jitter(longest)).collect();
        assert!(drawn.iter().all(|pause| *pause <= longest));
        let low = drawn.iter().filter(|pause| **pause < longest / 2).count();
        assert!((350..650).contains(&low), "{low} of 1000 are in the lower half");
    }
}
