//! What a gateway said of a batch, whichever way it was asked.
//!
//! | kinds | a success tells |
//! |---|---|
//! | native, CloudEvents, Segment | the fate of each event |
//! | DataRangers | which were rejected; how many were new and how many known |
//! | OTLP | how many were rejected |
//! | Sensors | that nothing is to be sent again |
//!
//! Where it does not tell which events were rejected, the run takes those that it
//! made so that they cannot be taken, and every other one for durable: a gateway
//! that has it otherwise is found out by `check`.

pub mod exported;

use prost::Message;
use serde::Deserialize;
use sluice_proto::v1::{BatchReply, Outcome};

use super::kind::Kind;
use exported::Exported;

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
    /// Durable; whether newly or before was not said.
    Taken,
}

/// What is said of a batch without a word of each event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sum {
    /// Events newly durable and events durable before, where they are counted.
    pub durable: Option<(u64, u64)>,
    /// Events never taken, where they are counted.
    pub rejected: Option<u64>,
    /// Which were never taken, as said or as meant; every other one is durable.
    pub which: Vec<u32>,
}

/// What was said of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Every event has a fate: accepted, unless it stands here by its index.
    Told(Vec<(u32, Fate)>),
    /// Every event has a final fate.
    Summed(Sum),
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

/// What DataRangers SDKs are answered.
#[derive(Deserialize)]
struct Listed {
    accepted: u64,
    duplicates: u64,
    rejected: u64,
    #[serde(default)]
    results: Vec<ListedResult>,
}

#[derive(Deserialize)]
struct ListedResult {
    index: u32,
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
    pub const LETTERS: [(char, Self); 5] = [
        ('A', Self::Accepted),
        ('D', Self::Duplicate),
        ('R', Self::Rejected),
        ('T', Self::Retry),
        ('K', Self::Taken),
    ];

    /// Its letter in a ledger.
    pub fn letter(self) -> char {
        Self::LETTERS.iter().find(|(_, fate)| *fate == self).map_or('?', |(letter, _)| *letter)
    }
}

// === impl Answer ===

impl Answer {
    /// Reads an answer over HTTP to a batch of which `bad` events cannot be taken.
    pub fn of_http(kind: Kind, status: u16, wait: bool, body: &[u8], bad: &[u32]) -> Self {
        if status != 200 {
            return Self::Refused { code: status.into(), wait };
        }
        let answer = match kind {
            Kind::Sensors => {
                Ok(Self::Summed(Sum { durable: None, rejected: None, which: bad.to_vec() }))
            }
            Kind::DataRangers => listed(body),
            Kind::OtlpJson => Exported::of_json(body).map(|it| Self::of_exported(&it, bad)),
            Kind::OtlpProtobuf => Exported::decode(body)
                .map(|it| Self::of_exported(&it, bad))
                .map_err(|error| error.to_string()),
            _ => receipt(body),
        };
        answer.unwrap_or_else(|error| Self::Lost(format!("an answer that is no receipt: {error}")))
    }

    /// Reads an answer of OTLP to a batch of which `bad` events cannot be taken.
    pub fn of_exported(reply: &Exported, bad: &[u32]) -> Self {
        Self::Summed(reply.sum(bad))
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
        match self {
            Self::Told(others) => {
                let mut fates = vec![Fate::Accepted; events];
                for (index, fate) in others {
                    *fates.get_mut(*index as usize)? = *fate;
                }
                Some(fates)
            }
            Self::Summed(sum) => {
                let mut fates = vec![Fate::Taken; events];
                for index in &sum.which {
                    *fates.get_mut(*index as usize)? = Fate::Rejected;
                }
                Some(fates)
            }
            Self::Refused { .. } | Self::Lost(_) => None,
        }
    }
}

fn receipt(body: &[u8]) -> Result<Answer, String> {
    let reply: Reply = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let fate = |result: ReplyResult| (result.index, result.outcome.fate());
    Ok(Answer::Told(reply.results.into_iter().map(fate).collect()))
}

fn listed(body: &[u8]) -> Result<Answer, String> {
    let reply: Listed = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    Ok(Answer::Summed(Sum {
        durable: Some((reply.accepted, reply.duplicates)),
        rejected: Some(reply.rejected),
        which: reply.results.iter().map(|result| result.index).collect(),
    }))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn said(kind: Kind, body: &[u8]) -> Answer {
        Answer::of_http(kind, 200, false, body, &[1])
    }

    fn summed(durable: Option<(u64, u64)>, rejected: Option<u64>, which: &[u32]) -> Answer {
        Answer::Summed(Sum { durable, rejected, which: which.to_vec() })
    }

    #[test]
    fn each_dialect_tells_what_it_tells() {
        let receipt = br#"{"success":true,"accepted":1,"duplicates":1,"rejected":0,"retry":0,
            "results":[{"index":1,"id":"x","outcome":"duplicate"}],"server_time":1}"#;
        let told = Answer::Told(vec![(1, Fate::Duplicate)]);
        for kind in [Kind::Json, Kind::CloudEvents, Kind::Segment] {
            assert_eq!(said(kind, receipt), told);
        }
        assert_eq!(said(Kind::Sensors, b""), summed(None, None, &[1]));
        let listed = br#"{"e":0,"message":"success","accepted":3,"duplicates":4,"rejected":1,
            "results":[{"index":2,"reason":"name_invalid","detail":"x"}],"server_time":1}"#;
        assert_eq!(said(Kind::DataRangers, listed), summed(Some((3, 4)), Some(1), &[2]));
        assert_eq!(said(Kind::OtlpJson, b"{}"), summed(None, Some(0), &[1]));
        let partial = br#"{"partialSuccess":{"rejectedLogRecords":"1","errorMessage":"x"}}"#;
        assert_eq!(said(Kind::OtlpJson, partial), summed(None, Some(1), &[1]));
        // Field 1, a message of field 1 with 3.
        assert_eq!(said(Kind::OtlpProtobuf, &[10, 2, 8, 3]), summed(None, Some(3), &[1]));
        assert_eq!(said(Kind::OtlpProtobuf, b""), summed(None, Some(0), &[1]));
        for kind in [Kind::Json, Kind::DataRangers, Kind::OtlpJson, Kind::OtlpProtobuf] {
            assert!(matches!(said(kind, b"?"), Answer::Lost(_)), "{}", kind.name());
        }
    }

    #[test]
    fn what_is_not_told_apart_is_taken_or_rejected() {
        use Fate::{Accepted, Rejected, Retry, Taken};
        let fates = summed(None, None, &[1]).fates(3);
        assert_eq!(fates, Some(vec![Taken, Rejected, Taken]));
        assert_eq!(summed(None, None, &[3]).fates(3), None, "there is no such event");
        let told = Answer::Told(vec![(0, Retry)]);
        assert_eq!(told.fates(2), Some(vec![Retry, Accepted]));
        assert_eq!(Answer::Lost(String::new()).fates(2), None);
    }
}
