//! What OTLP answers: `ExportLogsServiceResponse`.
//!
//! Of a batch whose records all have their fates it tells how many were rejected,
//! not which, and nothing of duplicates.
//! Source: <https://opentelemetry.io/docs/specs/otlp/#partial-success>.

use prost::Message;
use serde::Deserialize;

use super::Sum;

/// `ExportLogsServiceResponse`.
#[derive(Clone, PartialEq, Message)]
pub struct Exported {
    #[prost(message, optional, tag = "1")]
    partial_success: Option<PartialSuccess>,
}

/// `ExportLogsPartialSuccess`.
#[derive(Clone, PartialEq, Message)]
struct PartialSuccess {
    #[prost(int64, tag = "1")]
    rejected_log_records: i64,
}

/// The same in JSON, where integers of 64 bits are texts.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ExportedJson {
    partial_success: Option<PartialSuccessJson>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PartialSuccessJson {
    rejected_log_records: Option<String>,
}

// === impl Exported ===

impl Exported {
    /// Reads it in JSON.
    ///
    /// # Errors
    /// What is no such answer.
    pub fn of_json(body: &[u8]) -> Result<Self, String> {
        let read: ExportedJson = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        let partial_success = match read.partial_success {
            None => None,
            Some(partial) => {
                let rejected = partial.rejected_log_records.as_deref().unwrap_or("0");
                let rejected = rejected.parse().map_err(|_| format!("rejected: {rejected}"))?;
                Some(PartialSuccess { rejected_log_records: rejected })
            }
        };
        Ok(Self { partial_success })
    }

    /// What it says of a batch of which `bad` events cannot be taken.
    pub fn sum(&self, bad: &[u32]) -> Sum {
        let partial = self.partial_success.as_ref();
        let rejected = partial.map_or(0, |partial| partial.rejected_log_records);
        let rejected = u64::try_from(rejected).unwrap_or_default();
        Sum { durable: None, rejected: Some(rejected), which: bad.to_vec() }
    }
}
