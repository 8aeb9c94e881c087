//! Where each partition begins and ends, as far as this process has heard.
//!
//! Its own appends and reads tell at once, the broker is asked once a second for
//! what others append. Ends never fall.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use tokio::sync::watch;

/// First offset kept and the next one, by partition.
#[derive(Debug)]
pub(crate) struct Ends {
    bounds: Vec<(AtomicU64, AtomicU64)>,
    /// The moment for which all of them hold, milliseconds since the Unix epoch.
    known_at_ms: AtomicI64,
    /// Told whenever an end rises.
    grown: watch::Sender<()>,
}

// === impl Ends ===

impl Ends {
    pub(crate) fn new(partitions: u32) -> Self {
        Self {
            bounds: (0..partitions).map(|_| Default::default()).collect(),
            known_at_ms: AtomicI64::new(0),
            grown: watch::channel(()).0,
        }
    }

    pub(crate) fn bounds(&self, partition: u32) -> (u64, u64) {
        self.bounds.get(partition as usize).map_or((0, 0), |(first, end)| {
            (first.load(Ordering::Acquire), end.load(Ordering::Acquire))
        })
    }

    /// The partition reaches at least here.
    pub(crate) fn at_least(&self, partition: u32, end: u64) {
        if let Some((_, known)) = self.bounds.get(partition as usize)
            && known.fetch_max(end, Ordering::AcqRel) < end
        {
            self.grown.send_replace(());
        }
    }

    /// Nothing before this is kept.
    pub(crate) fn begins_at(&self, partition: u32, first: u64) {
        if let Some((known, _)) = self.bounds.get(partition as usize) {
            known.fetch_max(first, Ordering::AcqRel);
        }
    }

    /// Everything told so far holds for this moment.
    pub(crate) fn hold_at(&self, at_ms: i64) {
        self.known_at_ms.fetch_max(at_ms, Ordering::AcqRel);
    }

    pub(crate) fn known_at_ms(&self) -> i64 {
        self.known_at_ms.load(Ordering::Acquire)
    }

    /// Resolves once the partition is known to reach past `offset`.
    pub(crate) async fn past(&self, partition: u32, offset: u64) {
        let mut grown = self.grown.subscribe();
        while self.bounds(partition).1 <= offset {
            if grown.changed().await.is_err() {
                return;
            }
        }
    }
}
