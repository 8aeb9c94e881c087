//! Limits of the wire contract. Their relations compile or they do not.

use serde::{Deserialize, Serialize};

use crate::service::Dialect;

/// Events in one batch.
pub const BATCH_EVENTS_MAX: usize = 500;
/// OpenTelemetry's exporters and collectors send what is configured at their end, 512 and
/// 8,192 records by default, and lose a batch that is refused for its size. So a batch of
/// theirs may carry this many times as many events.
pub const OTLP_BATCH_FACTOR: usize = 20;
/// Bytes of one event as sent (JSON text or protobuf).
pub const EVENT_BYTES_MAX: usize = 64 * 1024;
/// Bytes of a request body on the wire.
pub const WIRE_BYTES_MAX: usize = 1024 * 1024;
/// Bytes of a request body after inflation.
pub const INFLATED_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Nesting of JSON in a batch: batch, events, event, properties and theirs.
pub const JSON_DEPTH_MAX: usize = 16;

/// Bytes of an event id.
pub const EVENT_ID_BYTES_MAX: usize = 64;
/// Bytes of an event name.
pub const EVENT_NAME_BYTES_MAX: usize = 128;
/// Bytes of a device id.
pub const DEVICE_ID_BYTES_MAX: usize = 128;
/// Bytes of a user id.
pub const USER_ID_BYTES_MAX: usize = 255;
/// Bytes of a session id.
pub const SESSION_ID_BYTES_MAX: usize = 64;
/// Bytes of any other text field of an event or a batch.
pub const TEXT_BYTES_MAX: usize = 8 * 1024;
/// Entries of `ids`.
pub const IDS_MAX: usize = 16;
/// Keys of `properties`, at every level together.
pub const PROPERTIES_MAX: usize = 100;
/// Bytes of a property key.
pub const PROPERTY_KEY_BYTES_MAX: usize = 128;
/// Bytes of a property string; longer ones are truncated and flagged.
pub const PROPERTY_TEXT_BYTES_MAX: usize = 8 * 1024;
/// Depth of `properties`: 1 is flat.
pub const PROPERTIES_DEPTH_MAX: usize = 3;

/// Clock skew that is taken for network delay and ignored, milliseconds.
pub const SKEW_IGNORED_MS: i64 = 5_000;
/// How far in the past an event may lie, milliseconds.
pub const PAST_MAX_MS: i64 = 7 * 86_400_000;
/// How far in the future an event may lie, milliseconds.
pub const FUTURE_MAX_MS: i64 = 86_400_000;

const _: () = assert!(EVENT_BYTES_MAX <= WIRE_BYTES_MAX);
const _: () = assert!(WIRE_BYTES_MAX <= INFLATED_BYTES_MAX);
const _: () = assert!(PROPERTY_TEXT_BYTES_MAX < EVENT_BYTES_MAX);
const _: () = assert!(BATCH_EVENTS_MAX * OTLP_BATCH_FACTOR >= 8_192);
const _: () = assert!(PROPERTIES_DEPTH_MAX + 4 <= JSON_DEPTH_MAX);

/// The limits that a config may narrow, never widen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Events in one batch; 1..=[`BATCH_EVENTS_MAX`].
    pub batch_events_max: usize,
    /// Bytes of one event; 1..=[`EVENT_BYTES_MAX`].
    pub event_bytes_max: usize,
    /// Bytes of a body on the wire; 1..=[`WIRE_BYTES_MAX`].
    pub wire_bytes_max: usize,
    /// Bytes of a body after inflation; 1..=[`INFLATED_BYTES_MAX`].
    pub inflated_bytes_max: usize,
}

// === impl Limits ===

impl Limits {
    /// Events in one batch that comes in a dialect.
    pub fn batch_events_max_of(&self, dialect: Dialect) -> usize {
        match dialect {
            Dialect::Otlp => self.batch_events_max.saturating_mul(OTLP_BATCH_FACTOR),
            _ => self.batch_events_max,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            batch_events_max: BATCH_EVENTS_MAX,
            event_bytes_max: EVENT_BYTES_MAX,
            wire_bytes_max: WIRE_BYTES_MAX,
            inflated_bytes_max: INFLATED_BYTES_MAX,
        }
    }
}
