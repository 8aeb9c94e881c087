//! Where the tasks of a partition go on.
//!
//! Lanes go on from their commits. The resolver goes on from what is durable in
//! `D`; where this process holds no `D` of the partition yet (it came from
//! another worker, or the directory is new), `D` is rebuilt from the log: the
//! window of time in which ids are remembered is read again, before any lane is
//! served from it. A lane never runs ahead of the resolver, so nothing is decided
//! on a `D` that is not whole.

use std::time::Duration;

use sluice_seams::{EventLog, StoreError};

use crate::shared::Shared;
use crate::store::LANES;

/// A log that others append to may tell its end a little late.
const END_CHECKS: u32 = 20;
const END_CHECK_PAUSE: Duration = Duration::from_millis(250);

/// Where the tasks of a partition go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// The resolver reads from here.
    pub resolve: u64,
    /// By lane.
    pub lanes: Vec<u64>,
}

// === impl Place ===

impl Place {
    /// Everything below was brought into every store before: what the resolver
    /// reads below it only rebuilds `D`.
    pub(crate) fn known_to(&self) -> u64 {
        self.lanes.iter().copied().min().unwrap_or(0)
    }
}

/// Finds it. `resolved` is what is durable in `D`, 0 where it is empty;
/// `committed` is by lane.
pub(crate) async fn find(
    shared: &Shared,
    partition: u32,
    resolved: u64,
    committed: &[Option<u64>],
) -> Result<Place, StoreError> {
    let log = &*shared.log;
    let first = log.bounds(partition).0;
    let lanes: Vec<u64> = committed.iter().map(|at| at.unwrap_or(first)).collect();
    for (lane, at) in LANES.iter().zip(&lanes) {
        belongs(shared, &format!("lane {lane}"), *at, partition).await?;
    }
    belongs(shared, "the dedupe index", resolved, partition).await?;
    let mut place = Place { resolve: resolved, lanes };
    if resolved == 0 {
        let now_ms = shared.clock.now_ms();
        let since_ms = now_ms.saturating_sub(shared.config.dedupe_window_ms);
        place.resolve = log.offset_at(partition, since_ms).await?.min(place.known_to());
    }
    Ok(place)
}

/// Refuses to run on a log that is not the one the rest was made from.
async fn belongs(shared: &Shared, what: &str, at: u64, partition: u32) -> Result<(), StoreError> {
    let log: &dyn EventLog = &*shared.log;
    for _ in 0..END_CHECKS {
        if at <= log.bounds(partition).1 {
            return Ok(());
        }
        let now_ms = shared.clock.now_ms();
        if log.bounds_at_ms(now_ms) >= now_ms {
            break;
        }
        tokio::time::sleep(END_CHECK_PAUSE).await;
    }
    let end = log.bounds(partition).1;
    Err(StoreError::Poisoned(format!(
        "{what} has gone to offset {at} of partition {partition}, but the log ends at {end}: \
         the log was replaced or cut; restore it, or empty the dedupe index and the lanes' offsets"
    )))
}
