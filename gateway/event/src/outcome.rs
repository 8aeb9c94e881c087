//! The fate of each event, and the receipt of a batch.

use crate::reason::Reason;

/// The fate of one event, as its sender sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Outcome {
    /// Appended durably.
    Accepted,
    /// A copy was appended before.
    Duplicate,
    /// Never going to be taken.
    Rejected,
    /// Not durable now: resend with the same id.
    Retry,
}

/// One event that was not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventResult {
    /// Index in the batch as sent.
    pub index: u32,
    /// Id as sent; empty where there was none that could be read.
    pub id: String,
    /// What became of it.
    pub outcome: Outcome,
    /// Why; `None` for a duplicate.
    pub reason: Option<Reason>,
    /// For people: where it was wrong and what is allowed.
    pub detail: String,
}

/// The answer to one batch. Counts balance: see [`Receipt::total`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Receipt {
    /// Events appended durably.
    pub accepted: u32,
    /// Events of which a copy was appended before.
    pub duplicates: u32,
    /// Events never going to be taken.
    pub rejected: u32,
    /// Events to be sent again.
    pub retry: u32,
    /// Only what was not accepted, ascending by index.
    pub results: Vec<EventResult>,
    /// Milliseconds since the Unix epoch.
    pub server_time_ms: i64,
    /// Wait at least this long before resending, where `retry` is not zero.
    pub retry_after_ms: u64,
}

// === impl Outcome ===

impl Outcome {
    /// The word on the wire and the metric label.
    pub fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Duplicate => "duplicate",
            Self::Rejected => "rejected",
            Self::Retry => "retry",
        }
    }
}

// === impl Receipt ===

impl Receipt {
    /// Events that have a fate. Equal to the events of the batch, always.
    pub fn total(&self) -> u32 {
        self.accepted + self.duplicates + self.rejected + self.retry
    }

    /// Whether nothing is durable and something should be sent again: the
    /// request as a whole is then answered 503.
    pub fn nothing_durable(&self) -> bool {
        self.accepted == 0 && self.duplicates == 0 && self.retry > 0
    }

    /// The reason of the first event to be sent again.
    pub fn retry_reason(&self) -> Option<Reason> {
        let mut results = self.results.iter();
        results.find(|result| result.outcome == Outcome::Retry).and_then(|result| result.reason)
    }
}
