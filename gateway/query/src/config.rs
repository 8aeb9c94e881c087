//! Bounds of the query API. Every one of them is reached before memory is spent.

use serde::{Deserialize, Serialize};

/// Time buckets in one answer.
pub const BUCKETS_MAX: usize = 10_000;
/// Metrics in one question.
pub const METRICS_MAX: usize = 50;
/// Dimensions in one question.
pub const DIMENSIONS_MAX: usize = 8;
/// Bytes of a question's body.
pub const BODY_BYTES_MAX: usize = 64 * 1024;
/// Days in one question: ten years and a leap day or two.
pub const RANGE_DAYS_MAX: i64 = 3_660;
/// Rows of one page of a timeline.
pub const TIMELINE_LIMIT_MAX: usize = 1_000;

/// What one process lets its askers have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QueryConfig {
    /// Groups that a store may return for one question.
    pub groups_max: usize,
    /// Documents that sessions, follow states or retention may read for one question.
    pub visits_max: usize,
    /// Longest a question may take, milliseconds.
    pub timeout_ms: u64,
    /// Questions answered at the same time; more are told to come back.
    pub concurrent_max: usize,
    /// Largest `limit` of a question.
    pub limit_max: usize,
    /// Live streams open at the same time.
    pub live_clients_max: usize,
    /// Pause between two heartbeats of a live stream, milliseconds.
    pub live_heartbeat_ms: u64,
}

// === impl QueryConfig ===

impl Default for QueryConfig {
    fn default() -> Self {
        Self {
            groups_max: 200_000,
            visits_max: 2_000_000,
            timeout_ms: 30_000,
            concurrent_max: 8,
            limit_max: 10_000,
            live_clients_max: 64,
            live_heartbeat_ms: 15_000,
        }
    }
}
