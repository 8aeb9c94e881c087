//! Timelines and profiles in fjall: one user's history in one scan.
//!
//! * A timeline keyspace per *day* (of the raw time, from `D`), so that
//!   retention deletes whole keyspaces. Order is by *corrected* time; a page
//!   merges the days lazily, newest first, and opens only those whose span of
//!   corrected times reaches it.
//! * A cell of a profile keeps the latest set or unset and the earliest
//!   set-once, by `(corrected time, key)`; `seen` keeps both ends. Nothing is
//!   incremented and arrival decides nothing, so any replay ends in the same state.
//! * One write call is one batch and one fsync. Calls take turns: cells are read
//!   before they are written.
//! * A row written again is overwritten by itself: `D` hands over one copy of an
//!   event, so what stands under `(user, time, K)` is always the same.
//! * Users of equal [`UserKey`] (128 bits) are one user.
//! * Any I/O error is for good.

mod apply;
mod cell;
mod days;
mod keys;
mod timeline;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode, Readable};
use parking_lot::{Mutex, RwLock};
use sluice_seams::document::StoreStatus;
use sluice_seams::key::AppHash;
use sluice_seams::row::TimelineCursor;
use sluice_seams::{
    BoxFuture, Day, Key, Profile, RowStore, RowWrite, StoreError, TimelinePage, UserKey,
    WriteReport,
};

use crate::dedupe::poison::{Poison, open_error};
use cell::Written;

/// Rows of a page at most, whatever is asked for.
pub const TIMELINE_ROWS_MAX: usize = 1_000;

/// Cells of a profile that can be shown.
const PROFILE_CELLS_MAX: usize = 20_000;

/// A write that takes longer than this makes the store say that it stalls.
const STALL_MS: i64 = 30_000;

const FORMAT: u8 = 1;
const FORMAT_KEY: &[u8] = b"format";

/// Where the rows live and what they may use.
#[derive(Clone)]
pub struct RowsConfig {
    /// Folder of the database; made where absent. One process at a time.
    pub dir: PathBuf,
    /// Blocks and filters held in memory, bytes (default 64 MiB with `new`).
    pub cache_bytes: u64,
    /// The clock, milliseconds since the Unix epoch: tells a write that stalls.
    pub now_ms: Arc<dyn Fn() -> i64 + Send + Sync>,
}

/// The row store in one fjall database.
pub struct EmbeddedRows {
    inner: Arc<Inner>,
}

struct Inner {
    config: RowsConfig,
    poison: Poison,
    closed: AtomicBool,
    /// When the running write began; `i64::MAX`: none runs.
    writing_since_ms: AtomicI64,
    writer: Mutex<apply::Writer>,
    days: RwLock<days::Days>,
    profile: Keyspace,
    seen: Keyspace,
    meta: Keyspace,
    database: Database,
}

// === impl RowsConfig ===

impl RowsConfig {
    /// The defaults, in this folder.
    pub fn new(dir: impl Into<PathBuf>, now_ms: Arc<dyn Fn() -> i64 + Send + Sync>) -> Self {
        Self { dir: dir.into(), cache_bytes: 64 << 20, now_ms }
    }
}

// === impl EmbeddedRows ===

impl EmbeddedRows {
    /// Opens the rows, or makes an empty store. Blocks.
    ///
    /// # Errors
    /// `Refused`: another process holds the folder, or the format is not this
    /// one's. `Poisoned`: an I/O error.
    pub fn open(config: RowsConfig) -> Result<Self, StoreError> {
        let failed = |error| open_error(&config.dir, error);
        let database =
            Database::builder(&config.dir).cache_size(config.cache_bytes).open().map_err(failed)?;
        let open = |name| database.keyspace(name, KeyspaceCreateOptions::default).map_err(failed);
        let (profile, seen, meta) = (open("profile")?, open("seen")?, open("meta")?);
        match meta.get(FORMAT_KEY).map_err(failed)? {
            Some(format) if *format == [FORMAT] => {}
            Some(format) => {
                return Err(StoreError::Refused(format!(
                    "{} has format {:?}, this program knows {FORMAT}: move the folder away and \
                     replay the rows from the log",
                    config.dir.display(),
                    &*format
                )));
            }
            None => {
                meta.insert(FORMAT_KEY, [FORMAT]).map_err(failed)?;
                database.persist(PersistMode::SyncAll).map_err(failed)?;
            }
        }
        let days = RwLock::new(days::Days::recover(&database, &meta).map_err(failed)?);
        let inner = Inner {
            config,
            poison: Poison::default(),
            closed: AtomicBool::new(false),
            writing_since_ms: AtomicI64::new(i64::MAX),
            writer: Mutex::default(),
            days,
            profile,
            seen,
            meta,
            database,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Runs on a thread that may block. A caller that goes away stops nothing.
    fn run<T: Send + 'static>(
        &self,
        act: impl FnOnce(&Inner) -> Result<T, StoreError> + Send + 'static,
    ) -> BoxFuture<'_, Result<T, StoreError>> {
        let inner = Arc::clone(&self.inner);
        Box::pin(async move {
            let worker = Arc::clone(&inner);
            match tokio::task::spawn_blocking(move || act(&worker)).await {
                Ok(result) => result,
                Err(error) if error.is_panic() => Err(inner.poison.mark("serve rows", &error)),
                Err(error) => Err(StoreError::retry(Duration::from_secs(1), error.to_string())),
            }
        })
    }
}

impl RowStore for EmbeddedRows {
    fn write(&self, writes: Vec<RowWrite>) -> BoxFuture<'_, Result<WriteReport, StoreError>> {
        self.run(move |inner| {
            inner.exclusively(|writer| match writes.is_empty() {
                true => Ok(WriteReport::default()),
                false => apply::apply(inner, writer, writes),
            })
        })
    }

    fn timeline(
        &self,
        app_id: &str,
        user: &str,
        after: Option<TimelineCursor>,
        limit: usize,
    ) -> BoxFuture<'_, Result<TimelinePage, StoreError>> {
        let user = AppHash::of(app_id).user(user);
        self.run(move |inner| {
            if limit == 0 {
                return Err(StoreError::Refused("limit 0: at least 1 is needed".into()));
            }
            inner.poison.check()?;
            // In this order: a day's span is widened before its rows are there to see.
            let snapshot = inner.database.snapshot();
            let days = inner.days.read().all().cloned().collect();
            let merge = timeline::Merge::new(snapshot, &inner.poison, days, user, after);
            timeline::page(merge, limit.min(TIMELINE_ROWS_MAX))
        })
    }

    fn profile(
        &self,
        app_id: &str,
        user: &str,
    ) -> BoxFuture<'_, Result<Option<Profile>, StoreError>> {
        let user = AppHash::of(app_id).user(user);
        self.run(move |inner| inner.read_profile(user))
    }

    fn contains(
        &self,
        app_id: &str,
        user: &str,
        time_ms: i64,
        key: Key,
    ) -> BoxFuture<'_, Result<bool, StoreError>> {
        let place = keys::timeline(AppHash::of(app_id).user(user), time_ms, key);
        self.run(move |inner| {
            inner.poison.check()?;
            let days = inner.days.read();
            let holds = |day: &&days::Bucket| (day.oldest_ms..=day.newest_ms).contains(&time_ms);
            for day in days.all().filter(holds) {
                if day.rows.contains_key(place).map_err(inner.failed("look up a row"))? {
                    return Ok(true);
                }
            }
            Ok(false)
        })
    }

    fn drop_before(&self, day: Day) -> BoxFuture<'_, Result<u64, StoreError>> {
        self.run(move |inner| inner.exclusively(|_| apply::drop_before(inner, day)))
    }

    fn status(&self) -> BoxFuture<'_, StoreStatus> {
        let status = self.run(|inner| {
            let rows = inner.days.read().all().map(|day| day.rows.approximate_len()).sum::<usize>();
            Ok(StoreStatus {
                refusing: inner.refusing(),
                disk_bytes: inner.database.disk_space().ok(),
                entries: Some(rows as u64),
            })
        });
        Box::pin(async move {
            status.await.unwrap_or_else(|error| StoreStatus {
                refusing: Some(error.to_string()),
                ..StoreStatus::default()
            })
        })
    }

    fn close(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        self.run(|inner| {
            inner.closed.store(true, Ordering::Release);
            // The running write, if any, ends first.
            let _writer = inner.writer.lock();
            inner.poison.check()?;
            inner.database.persist(PersistMode::SyncAll).map_err(inner.failed("close the rows"))
        })
    }
}

// === impl Inner ===

impl Inner {
    /// Turns an error of the database into the one that stays.
    fn failed(&self, doing: &'static str) -> impl Fn(fjall::Error) -> StoreError {
        move |error| self.poison.mark(doing, &error)
    }

    /// Runs as the only writer, where writes are taken at all.
    fn exclusively<T>(
        &self,
        act: impl FnOnce(&mut apply::Writer) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut writer = self.writer.lock();
        self.poison.check()?;
        if self.closed.load(Ordering::Acquire) {
            return Err(StoreError::retry(Duration::from_secs(1), "the row store is closed"));
        }
        self.writing_since_ms.store((self.config.now_ms)(), Ordering::Release);
        let result = act(&mut writer);
        self.writing_since_ms.store(i64::MAX, Ordering::Release);
        result
    }

    fn refusing(&self) -> Option<String> {
        if let Some(reason) = self.poison.reason() {
            return Some(reason.to_owned());
        }
        if self.closed.load(Ordering::Acquire) {
            return Some("the row store is closed".into());
        }
        let since_ms = self.writing_since_ms.load(Ordering::Acquire);
        let waited_ms = (self.config.now_ms)().saturating_sub(since_ms);
        (waited_ms > STALL_MS).then(|| format!("a write of rows has run for {waited_ms} ms"))
    }

    fn read_profile(&self, user: UserKey) -> Result<Option<Profile>, StoreError> {
        self.poison.check()?;
        let failed = self.failed("read a profile");
        let snapshot = self.database.snapshot();
        let place = user.0.to_be_bytes();
        let seen = match snapshot.get(&self.seen, place).map_err(&failed)? {
            Some(span) => Some(self.read_span(&span)?),
            None => None,
        };
        let mut cells: BTreeMap<String, [Option<Written>; 2]> = BTreeMap::new();
        for (count, cell) in snapshot.prefix(&self.profile, place).enumerate() {
            if count == PROFILE_CELLS_MAX {
                return Err(StoreError::Refused(format!(
                    "the profile has more than {PROFILE_CELLS_MAX} cells: too many to show"
                )));
            }
            let (key, value) = cell.into_inner().map_err(&failed)?;
            let name = String::from_utf8_lossy(&key[17..]).into_owned();
            let kind = usize::from(key[16] == 1);
            cells.entry(name).or_default()[kind] = Some(self.read_cell(&value)?);
        }
        if seen.is_none() && cells.is_empty() {
            return Ok(None);
        }
        let mut profile = Profile {
            first_seen_ms: seen.map(|(first, _)| first),
            last_seen_ms: seen.map(|(_, last)| last),
            ..Profile::default()
        };
        for (name, [latest, once]) in cells {
            if let Some(value) = cell::shown(latest.as_ref(), once.as_ref()) {
                let value = serde_json::from_slice(value)
                    .map_err(|error| self.poison.mark("read a profile", &error))?;
                profile.properties.insert(name, value);
            }
        }
        Ok(Some(profile))
    }

    fn read_span(&self, bytes: &[u8]) -> Result<(i64, i64), StoreError> {
        keys::read_span(bytes).ok_or_else(|| self.poison.mark("read a user's span", &"damaged"))
    }

    fn read_cell(&self, bytes: &[u8]) -> Result<Written, StoreError> {
        Written::read(bytes).ok_or_else(|| self.poison.mark("read a profile", &"damaged cell"))
    }
}

#[cfg(test)]
mod tests;
