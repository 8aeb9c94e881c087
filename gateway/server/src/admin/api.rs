//! What the admin API and the command line say to each other.

use serde::{Deserialize, Serialize};

/// Where a replay begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplayFrom {
    /// At the oldest record kept.
    Start,
    /// At the first record appended at or after this moment, milliseconds.
    TimeMs(i64),
    /// At the first record younger than this, milliseconds.
    AgeMs(u64),
}

/// `POST /replay`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplayRequest {
    /// `documents` or `rows`.
    pub store: String,
    /// From where.
    pub from: ReplayFrom,
}

/// Answer to `POST /replay` and `GET /replay/{store}`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ReplayState {
    /// Records from where it began to where the log ended then.
    pub records_total: u64,
    /// Of those, taken again.
    pub records_done: u64,
    /// The store has caught up with the log's end of that moment.
    pub done: bool,
    /// What holds it up now.
    pub last_error: Option<String>,
}

/// `POST /dead-letters/replay`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeadLetterReplayRequest {
    /// Which.
    #[serde(default)]
    pub ids: Vec<u64>,
    /// All that are not yet replayed.
    #[serde(default)]
    pub all: bool,
}

/// Answer to `POST /dead-letters/replay`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeadLetterReplayed {
    /// Taken now.
    pub replayed: u64,
    /// Refused again.
    pub refused: u64,
}
