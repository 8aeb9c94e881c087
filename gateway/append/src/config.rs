//! Times and sizes of the append stage.

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Times and sizes of the append stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CollectConfig {
    /// How long an append may take before its events are answered
    /// `outcome_unknown`, milliseconds; 1..=600 000.
    pub append_timeout_ms: u64,
    /// How long an event waits for the fate of a copy that another request is
    /// appending before it is answered `in_flight`, milliseconds; 0..=600 000.
    pub in_flight_wait_ms: u64,
    /// What a client is told to wait where the log names no time itself,
    /// milliseconds; 1..=600 000.
    pub retry_after_ms: u64,
    /// A record is closed once it holds this many bytes; one event more may
    /// stand in it. 1 024..=8 388 608.
    pub record_bytes_max: usize,
    /// How far back the log is read at start to remember ids, milliseconds; 0
    /// for not at all.
    pub tail_ms: u64,
    /// Fates of refused events kept for the event ledger; 0..=1 000 000.
    pub recent_max: usize,
}

/// A value that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{name} is {value}; allowed is {least} to {most}")]
pub struct CollectConfigError {
    /// Name of the setting.
    pub name: &'static str,
    /// Its value.
    pub value: u64,
    /// Least allowed.
    pub least: u64,
    /// Most allowed.
    pub most: u64,
}

const WAIT_MAX_MS: u64 = 600_000;

// === impl CollectConfig ===

impl Default for CollectConfig {
    fn default() -> Self {
        Self {
            append_timeout_ms: 10_000,
            in_flight_wait_ms: 5_000,
            retry_after_ms: 2_000,
            record_bytes_max: 512 * 1024,
            tail_ms: 600_000,
            recent_max: 10_000,
        }
    }
}

impl CollectConfig {
    /// Checks the values.
    pub fn check(&self) -> Result<(), CollectConfigError> {
        let rules = [
            ("append_timeout_ms", self.append_timeout_ms, 1, WAIT_MAX_MS),
            ("in_flight_wait_ms", self.in_flight_wait_ms, 0, WAIT_MAX_MS),
            ("retry_after_ms", self.retry_after_ms, 1, WAIT_MAX_MS),
            ("record_bytes_max", self.record_bytes_max as u64, 1_024, 8 * 1024 * 1024),
            ("recent_max", self.recent_max as u64, 0, 1_000_000),
        ];
        for (name, value, least, most) in rules {
            if !(least..=most).contains(&value) {
                return Err(CollectConfigError { name, value, least, most });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_out_of_range_is_named_with_what_is_allowed() {
        assert_eq!(CollectConfig::default().check(), Ok(()));
        let never = CollectConfig { append_timeout_ms: 0, ..Default::default() };
        let error = never.check().expect_err("0 would fail every append");
        assert_eq!(error.to_string(), "append_timeout_ms is 0; allowed is 1 to 600000");
    }
}
