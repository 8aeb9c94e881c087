//! The row store of the seam.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hbase_thrift::hbase::THbaseSyncClient;
use sluice_seams::document::StoreStatus;
use sluice_seams::row::TimelineCursor;
use sluice_seams::{
    BoxFuture, Day, Key, Profile, RowStore, RowWrite, StoreError, TimelinePage, WriteReport,
};

use crate::config::HbaseConfig;
use crate::figures::{HbaseFigures, RowCounts};
use crate::registers::cache::Cache;
use crate::registers::value::{self, Field};
use crate::tables::{self, PROFILE_FAMILY, SEEN_FAMILY, TableNames};
use crate::thrift1::Call;
use crate::thrift1::connection::{Connection, Fault};
use crate::thrift1::pool::{Pool, RETRY_AFTER};
use crate::{keys, timeline, writing};

/// Rows of a page at most, whatever is asked for.
pub const TIMELINE_ROWS_MAX: usize = 1_000;

/// Cells of a profile that can be shown.
const PROFILE_CELLS_MAX: usize = 20_000;

/// What the adapter is given.
#[derive(Clone)]
pub struct HbaseDeps {
    /// The clock, milliseconds since the Unix epoch.
    pub now_ms: Arc<dyn Fn() -> i64 + Send + Sync>,
}

/// The row store in two tables of HBase.
///
/// `timeline` has a row an event; `users` has a row a user, in which each writer
/// keeps cells of its own.
pub struct HbaseRows {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) config: HbaseConfig,
    pub(crate) names: TableNames,
    pub(crate) pool: Arc<Pool>,
    pub(crate) cache: Arc<Cache>,
    pub(crate) counts: RowCounts,
    pub(crate) now_ms: Arc<dyn Fn() -> i64 + Send + Sync>,
    closed: AtomicBool,
}

// === impl HbaseRows ===

impl HbaseRows {
    /// Makes or checks the tables and opens the store. Needs a tokio runtime, also
    /// later: it watches the servers from a task of its own.
    ///
    /// # Errors
    /// `Refused`: a setting out of range, or a table that is not as the settings
    /// want it; names the shell line that changes it. `Retry`: HBase cannot be
    /// reached now.
    pub async fn open(config: HbaseConfig, deps: HbaseDeps) -> Result<Self, StoreError> {
        let refused = |detail| StoreError::Refused(format!("HBase: {detail}"));
        config.check().map_err(refused)?;
        let HbaseDeps { now_ms } = deps;
        let pool = Pool::start(&config, Arc::clone(&now_ms));
        tables::prepare(&pool, &config).await?;
        let cache = Arc::new(Cache::new(writer_id(now_ms()), config.cache_bytes));
        let names = TableNames::new(&config);
        let (counts, closed) = (RowCounts::default(), AtomicBool::new(false));
        let inner = Inner { config, names, pool, cache, counts, now_ms, closed };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// What has been done so far.
    pub fn figures(&self) -> HbaseFigures {
        let inner = &self.inner;
        HbaseFigures {
            servers: inner.pool.server_figures(),
            cache_bytes: inner.cache.bytes() as u64,
            ..inner.counts.figures(inner.pool.counts.figures())
        }
    }
}

/// A task that did not end by itself: a panic is a fault of ours that comes again.
pub(crate) fn ended_early(error: &tokio::task::JoinError) -> StoreError {
    match error.is_panic() {
        true => StoreError::Poisoned(format!("the row store of HBase: {error}")),
        false => StoreError::retry(RETRY_AFTER, error.to_string()),
    }
}

/// 64 bits that no other store has: drawn from the standard library's seed,
/// which comes from the system's random numbers, and the clock.
fn writer_id(now_ms: i64) -> u64 {
    RandomState::new().hash_one((now_ms, std::process::id()))
}

// === impl Inner ===

impl Inner {
    fn check_open(&self) -> Result<(), StoreError> {
        match self.closed.load(Ordering::Acquire) {
            true => Err(StoreError::retry(RETRY_AFTER, "the row store is closed")),
            false => Ok(()),
        }
    }

    async fn ask<T: Send + 'static>(
        &self,
        call: Call,
        act: impl FnMut(&mut Connection) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.check_open()?;
        Ok(self.pool.call(call, act).await?)
    }

    async fn read_profile(&self, row: Vec<u8>) -> Result<Option<Profile>, StoreError> {
        let table = self.names.users.clone();
        let read = self.ask(Call::Read, move |connection| {
            connection.ask(|client| {
                let families = [SEEN_FAMILY, PROFILE_FAMILY].map(|name| name.as_bytes().to_vec());
                let (table, row) = (table.clone(), row.clone());
                client.get_row_with_columns(table, row, families.to_vec(), BTreeMap::new())
            })
        });
        let columns = read.await?.into_iter().filter_map(|row| row.columns).flatten();
        let mut registers: BTreeMap<Field, Vec<u8>> = BTreeMap::new();
        for (column, cell) in columns {
            let (Some(value), Some(timestamp)) = (cell.value, cell.timestamp) else { continue };
            let Some(found) = writing::found(&column, value, timestamp) else { continue };
            let kind = found.field.kind;
            let held = registers.entry(found.field).or_insert_with(|| found.value.clone());
            if let Some(joined) = kind.join(held, &found.value) {
                *held = joined;
            }
        }
        if registers.len() > PROFILE_CELLS_MAX {
            return Err(StoreError::Refused(format!(
                "the profile has more than {PROFILE_CELLS_MAX} cells: too many to show"
            )));
        }
        value::profile(registers).map_err(StoreError::Refused)
    }

    /// The oldest day that the family's TTL has not ended.
    fn oldest_day(&self) -> Day {
        let ttl_ms = i64::from(self.config.ttl_seconds()) * 1_000;
        let now_ms = (self.now_ms)();
        // A day's cells have its first millisecond; they end when the TTL is past.
        Day(Day::of(now_ms.saturating_sub(ttl_ms)).0.saturating_add(1))
    }
}

impl RowStore for HbaseRows {
    fn write(&self, writes: Vec<RowWrite>) -> BoxFuture<'_, Result<WriteReport, StoreError>> {
        let inner = Arc::clone(&self.inner);
        Box::pin(async move {
            inner.check_open()?;
            if writes.is_empty() {
                return Ok(WriteReport::default());
            }
            // A task of its own: a caller that goes away stops nothing half way.
            match tokio::spawn(writing::write(inner, writes)).await {
                Ok(result) => result,
                Err(error) => Err(ended_early(&error)),
            }
        })
    }

    fn timeline(
        &self,
        app_id: &str,
        user: &str,
        after: Option<TimelineCursor>,
        limit: usize,
    ) -> BoxFuture<'_, Result<TimelinePage, StoreError>> {
        let inner = Arc::clone(&self.inner);
        let range = keys::scan(keys::user(inner.config.salt_buckets, app_id, user), after);
        Box::pin(async move {
            if limit == 0 {
                return Err(StoreError::Refused("limit 0: at least 1 is needed".into()));
            }
            let limit = limit.min(TIMELINE_ROWS_MAX);
            let table = inner.names.timeline.clone();
            let page = inner.ask(Call::Scan, move |connection| {
                timeline::read_page(connection, &table, &range, limit)
            });
            page.await?.decode()
        })
    }

    fn profile(
        &self,
        app_id: &str,
        user: &str,
    ) -> BoxFuture<'_, Result<Option<Profile>, StoreError>> {
        let inner = Arc::clone(&self.inner);
        let row = keys::user(inner.config.salt_buckets, app_id, user);
        Box::pin(async move { inner.read_profile(row).await })
    }

    fn contains(
        &self,
        app_id: &str,
        user: &str,
        time_ms: i64,
        key: Key,
    ) -> BoxFuture<'_, Result<bool, StoreError>> {
        let inner = Arc::clone(&self.inner);
        let user = keys::user(inner.config.salt_buckets, app_id, user);
        let row = keys::timeline(user, time_ms, key);
        Box::pin(async move {
            let table = inner.names.timeline.clone();
            let act =
                move |connection: &mut Connection| timeline::contains(connection, &table, &row);
            inner.ask(Call::Read, act).await
        })
    }

    fn drop_before(&self, day: Day) -> BoxFuture<'_, Result<u64, StoreError>> {
        let inner = Arc::clone(&self.inner);
        Box::pin(async move {
            inner.check_open()?;
            if day <= inner.oldest_day() || day.0 <= 0 {
                // The TTL has ended all of them; none is seen any more.
                return Ok(0);
            }
            let table = inner.names.timeline.clone();
            let mut dropped = 0;
            let act = move |connection: &mut Connection| {
                timeline::drop_before(connection, &table, day, &mut dropped)?;
                Ok(dropped)
            };
            inner.ask(Call::Scan, act).await
        })
    }

    fn status(&self) -> BoxFuture<'_, StoreStatus> {
        Box::pin(async move {
            let refusing = match self.inner.check_open() {
                Ok(()) => self.inner.pool.refusing(),
                Err(_) => Some("the row store is closed".into()),
            };
            StoreStatus { refusing, disk_bytes: None, entries: None }
        })
    }

    fn close(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            if !self.inner.closed.swap(true, Ordering::AcqRel) {
                self.inner.pool.close().await;
            }
            Ok(())
        })
    }
}
