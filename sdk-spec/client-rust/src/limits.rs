//! Limits of the contract (`sdk-spec/collect.md`, §1 and §3; `spec.md`, §6), and
//! the client's own.

use std::time::Duration;

/// Events of a request (SDK-BATCH-1).
pub(crate) const BATCH_EVENTS_MAX: usize = 500;
/// Bytes of a request's body: 1 MiB (SDK-BATCH-1) less room for the batch's own fields.
pub(crate) const BODY_BYTES_MAX: usize = 1_000_000;
/// Bytes of an event as JSON (SDK-EVENT-5).
pub(crate) const EVENT_BYTES_MAX: usize = 64 * 1024;
/// Bytes of an event id.
pub(crate) const ID_BYTES_MAX: usize = 64;
/// Bytes of an event name.
pub(crate) const NAME_BYTES_MAX: usize = 128;
/// Bytes of a device id.
pub(crate) const DEVICE_ID_BYTES_MAX: usize = 128;
/// Bytes of a user id, and of a value of `ids`.
pub(crate) const USER_ID_BYTES_MAX: usize = 255;
/// Bytes of a session id.
pub(crate) const SESSION_ID_BYTES_MAX: usize = 64;
/// Entries of `ids`.
pub(crate) const IDS_MAX: usize = 16;
/// Bytes of any other text.
pub(crate) const TEXT_BYTES_MAX: usize = 8 * 1024;
/// Bytes of a key of `ids` and `properties`.
pub(crate) const KEY_BYTES_MAX: usize = 128;
/// Keys of `properties`, at all levels together.
pub(crate) const PROPERTIES_MAX: usize = 100;
/// Depth of `properties`; 1 is flat.
pub(crate) const PROPERTIES_DEPTH_MAX: usize = 3;

/// First share of a wait after a failure (SDK-RETRY-5).
pub(crate) const BACKOFF_BASE: Duration = Duration::from_secs(1);
/// Longest share of a wait after a failure (SDK-RETRY-5).
pub(crate) const BACKOFF_MAX: Duration = Duration::from_secs(5 * 60);
/// Longest wait that a reply may ask for (SDK-RETRY-5).
pub(crate) const HOLD_MAX: Duration = Duration::from_secs(60 * 60);
/// Between two requests for the settings (SDK-CONFIG-1).
pub(crate) const SETTINGS_EVERY: Duration = Duration::from_secs(10 * 60);
/// How long the first batch waits for the first settings (SDK-CONFIG-7).
pub(crate) const SETTINGS_WAIT: Duration = Duration::from_secs(3);
/// Bytes of a reply that are read: 500 results with a detail each, and room.
pub(crate) const REPLY_BYTES_MAX: usize = 4 << 20;

const _: () = assert!(EVENT_BYTES_MAX < BODY_BYTES_MAX && BODY_BYTES_MAX < 1 << 20);
