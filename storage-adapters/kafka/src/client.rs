//! What librdkafka tells a client, and errors in our words.

use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use sluice_seams::StoreError;

/// The context of clients that need none of their own: logs as everybody does.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plain;

// === impl Plain ===

impl ClientContext for Plain {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "kafka client");
    }
}

impl ConsumerContext for Plain {}

/// librdkafka's own log lines. Lost connections are told by state, not by line; brokers
/// that do not let us in, or that we do not trust, by line alone.
pub(crate) fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
            tracing::error!(facility, message, "librdkafka");
        }
        RDKafkaLogLevel::Error if is_of_trust(message) => {
            tracing::warn!(facility, message, "librdkafka: check the keys, names and certificates");
        }
        RDKafkaLogLevel::Error | RDKafkaLogLevel::Warning => {
            tracing::debug!(facility, message, "librdkafka");
        }
        _ => tracing::trace!(facility, message, "librdkafka"),
    }
}

/// Of a handshake that failed for a reason that settings mend, in librdkafka's words.
fn is_of_trust(message: &str) -> bool {
    ["SASL authentication error", "SSL handshake failed", "certificate"]
        .iter()
        .any(|words| message.contains(words))
}

/// An error of a request, with its retry class.
pub(crate) fn store_error(what: &str, error: &KafkaError) -> StoreError {
    let detail = format!("kafka: {what}: {error}");
    match error.rdkafka_error_code() {
        Some(code) if is_final(code) => StoreError::Poisoned(detail),
        _ => StoreError::retry(Duration::from_millis(200), detail),
    }
}

/// Nothing that time mends.
fn is_final(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as C;
    matches!(
        code,
        C::TopicAuthorizationFailed
            | C::GroupAuthorizationFailed
            | C::ClusterAuthorizationFailed
            | C::UnsupportedVersion
            | C::InvalidGroupId
            | C::UnknownTopic
            | C::UnknownPartition
    )
}
