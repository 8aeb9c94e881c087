//! The event log: durable, partitioned, ordered.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{AppendError, BoxFuture, StoreError};

/// One record as read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogRecord {
    /// Its offset; offsets of a partition rise but may have gaps.
    pub offset: u64,
    /// When the log took it, milliseconds since the Unix epoch; never falls
    /// along a partition.
    pub appended_at_ms: i64,
    /// An encoded `sluice.v1.BatchRecord` (or `DeadLetter` in that log).
    pub payload: Bytes,
}

/// State of the log, for readiness and metrics.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct LogStatus {
    /// Why appends are refused now; `None` when they are taken.
    pub refusing: Option<String>,
    /// Bytes on disk, where the log knows.
    pub disk_bytes: Option<u64>,
    /// Bytes free below the log, where it knows.
    pub disk_free_bytes: Option<u64>,
    /// Age of the newest durable append, milliseconds, where there was one.
    pub last_append_age_ms: Option<u64>,
}

/// A durable, partitioned, ordered log of opaque records.
///
/// Duties:
/// * `append` resolves only once the record survives a crash of the machine;
///   order within a partition is the order of the *calls* to `append`, and the
///   record is handed over by the call itself: dropping the future does not take
///   it back;
/// * a record whose append resolved `Ok` is read back whole, in order, once, or
///   the read fails; it is never skipped in silence;
/// * a torn tail (never acknowledged) is cut on open; damage before
///   the tail is an error that names the repair;
/// * `commit` is monotonic per `(lane, partition)` unless `rewind` is used;
/// * nothing past the lowest commit of any lane is dropped by retention.
pub trait EventLog: Send + Sync + 'static {
    /// Number of partitions, fixed for the life of the log.
    fn partitions(&self) -> u32;

    /// Appends a record; resolves with its offset once durable.
    fn append(
        &self,
        partition: u32,
        payload: Bytes,
    ) -> BoxFuture<'static, Result<u64, AppendError>>;

    /// Reads durable records from `from` on, at least one where there is one, up
    /// to about `bytes_max`. Empty at the end. Where `from` was dropped by
    /// retention, begins at the first one kept.
    fn read(
        &self,
        partition: u32,
        from: u64,
        bytes_max: usize,
    ) -> BoxFuture<'_, Result<Vec<LogRecord>, StoreError>>;

    /// Resolves when the partition holds a durable record at or past `offset`.
    fn wait(&self, partition: u32, offset: u64) -> BoxFuture<'_, ()>;

    /// First offset kept and the offset that the next record gets.
    fn bounds(&self, partition: u32) -> (u64, u64);

    /// The moment for which [`bounds`](Self::bounds) is known to hold,
    /// milliseconds: a log that others append to hears of it a little later.
    fn bounds_at_ms(&self, now_ms: i64) -> i64 {
        now_ms
    }

    /// The lowest offset whose record was appended at or after `time_ms`; the
    /// end where there is none.
    fn offset_at(&self, partition: u32, time_ms: i64) -> BoxFuture<'_, Result<u64, StoreError>>;

    /// Declares a lane, so that retention waits for it. Idempotent.
    fn declare_lane(&self, lane: &str) -> Result<(), StoreError>;

    /// The offset a lane goes on from; `None` where it never committed.
    fn committed(&self, lane: &str, partition: u32) -> Result<Option<u64>, StoreError>;

    /// Durably notes that the lane has taken everything below `next`. A value
    /// below the present one is ignored.
    fn commit(
        &self,
        lane: &str,
        partition: u32,
        next: u64,
    ) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Sets a lane back (or forward): a deliberate replay.
    fn rewind(&self, lane: &str, partition: u32, to: u64) -> BoxFuture<'_, Result<(), StoreError>>;

    /// State for readiness and metrics. Cheap.
    fn status(&self) -> LogStatus;

    /// Why appends are refused now, as [`status`](Self::status) says it; asked for every
    /// request.
    fn refusing(&self) -> Option<String> {
        self.status().refusing
    }

    /// Makes everything handed over durable, then takes no more.
    fn close(&self) -> BoxFuture<'_, Result<(), StoreError>>;
}
