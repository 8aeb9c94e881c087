//! Random shares of a wait ("full jitter"): clients that failed together do not
//! come back together.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// A duration drawn evenly from `0..=longest`.
pub(crate) fn share(longest: Duration) -> Duration {
    // A counter under a hash that is keyed at random for each process.
    static KEYS: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    static DRAWN: AtomicU64 = AtomicU64::new(0);
    let bits = KEYS.hash_one(DRAWN.fetch_add(1, Relaxed));
    longest.mul_f64((bits >> 32) as f64 / f64::from(u32::MAX))
}
