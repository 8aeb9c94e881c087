//! Room for bodies whose sender is not yet known.
//!
//! A few SDKs name their app in the body alone. What strangers can make the gateway hold
//! is bounded by one budget for all of them, taken by the length that a request claims, so
//! that many small bodies go past one that is large and slow.

use std::sync::Arc;

use http_body::Body as _;
use hyper::body::Incoming;
use sluice_event::{Reason, Refusal};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What a sender waits for before it tries again.
const RETRY_AFTER_MS: u64 = 1_000;

/// The budget.
pub(crate) struct Unverified(Arc<Semaphore>);

// === impl Unverified ===

impl Unverified {
    pub(crate) fn new(bytes_max: usize) -> Self {
        // A semaphore counts in 32 bits; nothing larger is of use here.
        Self(Arc::new(Semaphore::new(bytes_max.min(u32::MAX as usize))))
    }

    /// Takes room for a body of at most `bytes_max`: what it claims, or all of that where
    /// it claims nothing.
    ///
    /// # Errors
    /// `overloaded` where there is none.
    pub(crate) fn room(
        &self,
        body: &Incoming,
        bytes_max: usize,
    ) -> Result<OwnedSemaphorePermit, Refusal> {
        let claimed = body.size_hint().exact().unwrap_or(bytes_max as u64);
        self.take(claimed.min(bytes_max as u64) as u32)
    }

    fn take(&self, bytes: u32) -> Result<OwnedSemaphorePermit, Refusal> {
        Arc::clone(&self.0).try_acquire_many_owned(bytes).map_err(|_| {
            let detail = "too many bodies are on their way whose app is not yet known; resend";
            Refusal::new(Reason::Overloaded, detail).retry_after_ms(RETRY_AFTER_MS)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_bounded_and_comes_back() {
        let unverified = Unverified::new(100);
        let held = unverified.take(60).expect("room");
        let refused = unverified.take(41).expect_err("no room");
        assert_eq!(refused.reason, Reason::Overloaded);
        drop(unverified.take(40).expect("room for a smaller one"));
        drop(held);
        drop(unverified.take(100).expect("all of it again"));
    }
}
