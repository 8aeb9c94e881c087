//! Settings of fan out, with their units and what they trade.

use serde::{Deserialize, Serialize};

/// Settings of fan out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FanOutConfig {
    /// Log bytes of recently resolved records kept in memory *per partition*,
    /// for lanes that keep up. Decoded, they take about three times as much.
    pub window_bytes_max: usize,
    /// Log bytes read at a time.
    pub read_bytes_max: usize,
    /// The dedupe index is made durable after this many records ...
    pub persist_records_max: u64,
    /// ... or this long after the first record that is not, milliseconds.
    /// No lane commits past what is durable there.
    pub persist_interval_ms: u64,
    /// How long an event id is remembered, by log time, milliseconds. Should be
    /// no shorter than the log's retention.
    pub dedupe_window_ms: i64,
    /// Longest time to finish and commit partitions that another worker is to
    /// have, milliseconds; what is not done by then is done again there.
    pub revoke_timeout_ms: u64,
    /// Days of documents and timelines that are kept; 0: for ever.
    pub retention_days: u32,
    /// How often retention runs, milliseconds; the first time is at start.
    pub retention_interval_ms: u64,
    /// Users (and visits) per partition that are known to be in the document
    /// store already and not written again.
    pub known_users_max: usize,
    /// Event ids per lane and partition that are remembered while a lane reads
    /// records older than the dedupe window.
    pub forgotten_max: usize,
    /// Events that a slow reader of the live stream may fall behind.
    pub live_events_max: usize,
    /// The lane to the document store.
    pub documents: LaneConfig,
    /// The lane to the row store.
    pub rows: LaneConfig,
}

/// Settings of one lane.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LaneConfig {
    /// A batch is full at this many events (it ends with a whole record).
    pub batch_events_max: usize,
    /// A batch is full at this many log bytes (it ends with a whole record).
    pub batch_bytes_max: usize,
    /// How long a batch that is not full waits for more while the store is
    /// idle, milliseconds. While the store is busy it waits for that.
    pub linger_ms: u64,
    /// Batches in flight at once, at least 1. The second goes only when full.
    pub depth: usize,
    /// Least time between two commits, milliseconds.
    pub commit_interval_ms: u64,
    /// First wait after a passing error, milliseconds; doubles, full jitter.
    pub retry_min_ms: u64,
    /// Longest wait after a passing error, milliseconds.
    pub retry_max_ms: u64,
}

impl Default for FanOutConfig {
    fn default() -> Self {
        Self {
            window_bytes_max: 8 * 1024 * 1024,
            read_bytes_max: 1024 * 1024,
            persist_records_max: 4_096,
            persist_interval_ms: 200,
            dedupe_window_ms: 7 * 86_400_000,
            revoke_timeout_ms: 10_000,
            retention_days: 90,
            retention_interval_ms: 3_600_000,
            known_users_max: 100_000,
            forgotten_max: 1_000_000,
            live_events_max: 1_024,
            documents: LaneConfig::default(),
            rows: LaneConfig::default(),
        }
    }
}

impl Default for LaneConfig {
    fn default() -> Self {
        Self {
            batch_events_max: 8_000,
            batch_bytes_max: 4 * 1024 * 1024,
            linger_ms: 200,
            depth: 2,
            commit_interval_ms: 200,
            retry_min_ms: 50,
            retry_max_ms: 10_000,
        }
    }
}
