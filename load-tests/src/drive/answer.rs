//! What a gateway said of a batch, whichever way it was asked.

use serde::Deserialize;
use sluice_proto::v1::{BatchReply, Outcome};

/// What became of one event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Newly durable.
    Accepted,
    /// Durable before.
    Duplicate,
    /// Never taken.
    Rejected,
    /// Wanted again.
    Retry,
}

/// What was said of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Every event has a fate: accepted, unless it stands here by its index.
    Told(Vec<(u32, Fate)>),
    /// Nothing was taken.
    Refused {
        /// HTTP status, or gRPC code.
        code: u32,
        /// It said when to come again.
        wait: bool,
    },
    /// No answer came; the outcome is unknown.
    Lost(String),
}

#[derive(Deserialize)]
struct Reply {
    results: Vec<ReplyResult>,
}

#[derive(Deserialize)]
struct ReplyResult {
    index: u32,
    outcome: ReplyOutcome,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum ReplyOutcome {
    Accepted,
    Duplicate,
    Rejected,
    Retry,
}

// === impl Fate ===

impl Fate {
    /// All of them, each with its letter in a ledger.
    pub const LETTERS: [(char, Self); 4] =
        [('A', Self::Accepted), ('D', Self::Duplicate), ('R', Self::Rejected), ('T', Self::Retry)];

    /// Its letter in a ledger.
    pub fn letter(self) -> char {
        Self::LETTERS.iter().find(|(_, fate)| *fate == self).map_or('?', |(letter, _)| *letter)
    }
}

// === impl Answer ===

impl Answer {
    /// Reads an answer over HTTP.
    pub fn of_http(status: u16, wait: bool, body: &[u8]) -> Self {
        if status != 200 {
            return Self::Refused { code: status.into(), wait };
        }
        match serde_json::from_slice::<Reply>(body) {
            Ok(reply) => {
                let fate = |result: ReplyResult| (result.index, result.outcome.fate());
                Self::Told(reply.results.into_iter().map(fate).collect())
            }
            Err(error) => Self::Lost(format!("an answer that is no receipt: {error}")),
        }
    }

    /// Reads an answer over gRPC.
    pub fn of_grpc(reply: &BatchReply) -> Self {
        if let Some(error) = &reply.error {
            return Self::Refused { code: error.code, wait: reply.retry_after_ms > 0 };
        }
        let fate = |outcome: i32| match Outcome::try_from(outcome) {
            Ok(Outcome::Accepted) => Fate::Accepted,
            Ok(Outcome::Duplicate) => Fate::Duplicate,
            Ok(Outcome::Retry) => Fate::Retry,
            // An outcome of a later version is none that makes durable.
            Ok(Outcome::Rejected) | Err(_) => Fate::Rejected,
        };
        Self::Told(reply.results.iter().map(|it| (it.index, fate(it.outcome))).collect())
    }

    /// The fate of each of `events` events; `None` where the batch has none.
    pub fn fates(&self, events: usize) -> Option<Vec<Fate>> {
        let Self::Told(others) = self else { return None };
        let mut fates = vec![Fate::Accepted; events];
        for (index, fate) in others {
            *fates.get_mut(*index as usize)? = *fate;
        }
        Some(fates)
    }
}

impl ReplyOutcome {
    fn fate(&self) -> Fate {
        match self {
            Self::Accepted => Fate::Accepted,
            Self::Duplicate => Fate::Duplicate,
            Self::Rejected => Fate::Rejected,
            Self::Retry => Fate::Retry,
        }
    }
}
