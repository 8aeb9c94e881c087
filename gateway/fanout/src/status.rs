//! State of fan out, for people, readiness and metrics.

use serde::Serialize;

/// State of all lanes.
#[derive(Debug, Clone, Default, Serialize)]
pub struct FanOutStatus {
    /// Why fan out ended; `None` while it runs.
    pub fatal: Option<String>,
    /// Each lane in each partition: all of `documents`, then all of `rows`.
    pub lanes: Vec<LaneStatus>,
}

/// State of one lane in one partition.
#[derive(Debug, Clone, Serialize)]
pub struct LaneStatus {
    /// `documents` or `rows`.
    pub lane: &'static str,
    /// Partition of the log.
    pub partition: u32,
    /// The lane goes on from here after a restart.
    pub committed: u64,
    /// Everything below is in the store.
    pub taken: u64,
    /// Everything below was decided by the dedupe index.
    pub resolved: u64,
    /// Everything below is durable in the dedupe index.
    pub persisted: u64,
    /// The offset the next record of the log gets.
    pub end: u64,
    /// Offsets not yet in the store; 0: it keeps up.
    pub lag_records: u64,
    /// Age of the oldest record not yet in the store, milliseconds, where there
    /// is one and the lane has seen it.
    pub oldest_unserved_age_ms: Option<u64>,
    /// What it does.
    pub state: LaneState,
    /// The last error of its store, kept until the store takes a write.
    pub last_error: Option<String>,
    /// A deliberate replay that is under way.
    pub replay: Option<ReplayProgress>,
}

/// What a lane does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LaneState {
    /// Everything resolved is in the store.
    #[default]
    Idle,
    /// Writes are on their way.
    Writing,
    /// The store fails in passing; the same writes are sent again.
    Retrying,
    /// Ended.
    Stopped,
}

/// A replay under way: `from <= now < target`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ReplayProgress {
    /// Where it began.
    pub from: u64,
    /// Everything between `from` and this was replayed.
    pub now: u64,
    /// Where it ends: the log's end when the replay began.
    pub target: u64,
}

/// What a lane notes about itself.
#[derive(Debug, Clone, Default)]
pub(crate) struct LaneNotes {
    pub committed: u64,
    pub taken: u64,
    pub state: LaneState,
    pub last_error: Option<String>,
    /// Append time of the oldest record read but not taken.
    pub oldest_unserved_at_ms: Option<i64>,
    /// Append time of the newest record taken.
    pub taken_at_ms: Option<i64>,
    pub replay: Option<(u64, u64)>,
}

// === impl LaneNotes ===

impl LaneNotes {
    /// Everything appended before this moment is taken, as far as is known
    /// without looking at the log's end.
    pub(crate) fn complete_until_ms(&self) -> Option<i64> {
        self.oldest_unserved_at_ms.or(self.taken_at_ms)
    }

    pub(crate) fn progress(&self) -> Option<ReplayProgress> {
        let (from, target) = self.replay?;
        Some(ReplayProgress { from, now: self.taken, target })
    }
}
