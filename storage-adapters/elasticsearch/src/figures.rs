//! What the store has done, for metrics: plain counts, cheap to read.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use serde::Serialize;

/// A reading. Counts are since the store was opened.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Figures {
    /// Bulk requests sent, resent ones too.
    pub bulk_requests: u64,
    /// Bytes of their bodies.
    pub bulk_bytes: u64,
    /// Items created or changed.
    pub items_created: u64,
    /// Items that were there already.
    pub items_existing: u64,
    /// Items that will never be taken.
    pub items_refused: u64,
    /// Items sent again after a passing error.
    pub items_retried: u64,
    /// Requests other than bulk that were sent again.
    pub requests_retried: u64,
    /// Requests that no answer came to.
    pub unreached: u64,
    /// Refreshes asked for.
    pub refreshes: u64,
    /// Questions answered or refused.
    pub questions: u64,
    /// Search requests sent for them.
    pub searches: u64,
    /// Bulk requests under way now.
    pub in_flight: u64,
    /// Bulk requests allowed under way at present.
    pub in_flight_limit: u64,
    /// Bytes that a bulk request aims at, at present.
    pub bulk_bytes_aim: u64,
    /// State of each node.
    pub nodes: Vec<NodeFigures>,
}

/// State of one node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct NodeFigures {
    /// Its address.
    pub address: String,
    /// Whether it is marked dead.
    pub dead: bool,
    /// Requests sent to it.
    pub requests: u64,
    /// Those that no answer came to.
    pub failed: u64,
    /// When the last of those was, milliseconds since the Unix epoch.
    pub failed_at_ms: Option<i64>,
    /// What was wrong with it.
    pub last_failure: String,
}

/// The counts behind [`Figures`].
#[derive(Debug, Default)]
pub struct Counters {
    pub bulk_requests: AtomicU64,
    pub bulk_bytes: AtomicU64,
    pub items_created: AtomicU64,
    pub items_existing: AtomicU64,
    pub items_refused: AtomicU64,
    pub items_retried: AtomicU64,
    pub requests_retried: AtomicU64,
    pub unreached: AtomicU64,
    pub refreshes: AtomicU64,
    pub questions: AtomicU64,
    pub searches: AtomicU64,
}

// === impl Counters ===

impl Counters {
    /// Adds to a count.
    pub fn add(count: &AtomicU64, by: u64) {
        count.fetch_add(by, Relaxed);
    }

    /// Reads all counts; the rest is left at its default.
    pub fn read(&self) -> Figures {
        let of = |count: &AtomicU64| count.load(Relaxed);
        Figures {
            bulk_requests: of(&self.bulk_requests),
            bulk_bytes: of(&self.bulk_bytes),
            items_created: of(&self.items_created),
            items_existing: of(&self.items_existing),
            items_refused: of(&self.items_refused),
            items_retried: of(&self.items_retried),
            requests_retried: of(&self.requests_retried),
            unreached: of(&self.unreached),
            refreshes: of(&self.refreshes),
            questions: of(&self.questions),
            searches: of(&self.searches),
            ..Figures::default()
        }
    }
}
