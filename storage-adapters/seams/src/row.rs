//! The row store: one user's history and profile.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::document::StoreStatus;
use crate::{BoxFuture, Day, EventDocument, Key, Refused, StoreError, WriteReport};

/// One idempotent write.
#[derive(Debug, Clone)]
pub enum RowWrite {
    /// A row of a user's timeline, under `(app, user, time descending, key)`.
    Timeline(EventDocument),
    /// A change of a user's profile.
    Profile(ProfileChange),
    /// The user was seen: earliest and latest win, whatever the order.
    Seen {
        /// App.
        app_id: Arc<str>,
        /// User id, else device id.
        user: Arc<str>,
        /// Corrected time, milliseconds.
        time_ms: i64,
    },
}

/// What `user_set`, `user_set_once` and `user_unset` do to one cell. Cells are
/// free of order: each keeps the winning write of each kind by
/// `(corrected time, key)`. The value shown is that of the latest set or unset;
/// without one, that of the earliest set-once. An unset hides a set-once of an
/// earlier time.
#[derive(Debug, Clone)]
pub struct ProfileChange {
    /// App.
    pub app_id: Arc<str>,
    /// User id, else device id.
    pub user: Arc<str>,
    /// Corrected time, milliseconds.
    pub time_ms: i64,
    /// Key of the event; orders changes of the same millisecond.
    pub key: Key,
    /// Name of the property.
    pub name: Arc<str>,
    /// The change.
    pub cell: Cell,
}

/// One change to one cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cell {
    /// Latest wins; the value's JSON.
    Set(Bytes),
    /// Earliest wins.
    SetOnce(Bytes),
    /// As a set to nothing.
    Unset,
}

/// One row of a timeline.
#[derive(Debug, Clone)]
pub struct TimelineRow(pub EventDocument);

/// A page of a timeline, newest first.
#[derive(Debug, Clone, Default)]
pub struct TimelinePage {
    /// Rows, newest first.
    pub rows: Vec<TimelineRow>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<TimelineCursor>,
}

/// A place in a timeline: strictly after this row, going back in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimelineCursor {
    /// Corrected time of the last row shown.
    pub time_ms: i64,
    /// Key of the last row shown.
    pub key: u128,
}

/// A user's profile.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Profile {
    /// Corrected time of the earliest event, milliseconds.
    pub first_seen_ms: Option<i64>,
    /// Corrected time of the latest event, milliseconds.
    pub last_seen_ms: Option<i64>,
    /// Properties in order of name.
    pub properties: std::collections::BTreeMap<String, serde_json::Value>,
}

/// Rows by user.
///
/// Duties: see the crate's page. `write` resolves once everything that it does
/// not refuse is durable; on `Retry` any subset may have been applied.
pub trait RowStore: Send + Sync + 'static {
    /// Applies writes.
    fn write(&self, writes: Vec<RowWrite>) -> BoxFuture<'_, Result<WriteReport, StoreError>>;

    /// A page of a user's timeline, newest first, at most `limit` rows.
    fn timeline(
        &self,
        app_id: &str,
        user: &str,
        after: Option<TimelineCursor>,
        limit: usize,
    ) -> BoxFuture<'_, Result<TimelinePage, StoreError>>;

    /// A user's profile; `None` where the user was never seen.
    fn profile(
        &self,
        app_id: &str,
        user: &str,
    ) -> BoxFuture<'_, Result<Option<Profile>, StoreError>>;

    /// Whether an event's timeline row is there; for the event ledger.
    fn contains(
        &self,
        app_id: &str,
        user: &str,
        time_ms: i64,
        key: Key,
    ) -> BoxFuture<'_, Result<bool, StoreError>>;

    /// Drops timeline rows whose `day` is before this one. Profiles stay.
    fn drop_before(&self, day: Day) -> BoxFuture<'_, Result<u64, StoreError>>;

    /// State for readiness and metrics.
    fn status(&self) -> BoxFuture<'_, StoreStatus>;

    /// Makes everything durable and takes no more.
    fn close(&self) -> BoxFuture<'_, Result<(), StoreError>>;
}

impl WriteReport {
    /// A report in which one write was refused.
    pub fn refuse(&mut self, index: usize, detail: impl Into<String>) {
        self.refused.push(Refused { index, detail: detail.into() });
    }
}
