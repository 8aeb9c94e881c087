//! Applying writes: one batch and one fsync a call, one call at a time.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};

use fjall::{OwnedWriteBatch, PersistMode};
use sluice_seams::key::AppHash;
use sluice_seams::row::Cell;
use sluice_seams::{Day, EventDocument, ProfileChange, RowWrite, StoreError, UserKey, WriteReport};

use super::Inner;
use super::cell::Written;
use super::days::{self, DAYS_MAX};
use super::keys;

/// Longest name of a profile property, bytes.
const NAME_BYTES_MAX: usize = 1_024;

/// Users of one generation of the cache, ~64 bytes each.
const CACHED_USERS_MAX: usize = 1 << 16;

type Map<K, V> = HashMap<K, V, ahash::RandomState>;

/// First and last corrected time.
type Span = (i64, i64);

/// What the one writer keeps between calls: the spans of users seen lately, so
/// that a visit that moves nothing costs no read. Two generations: where the
/// young one is full it becomes the old one.
#[derive(Default)]
pub(super) struct Writer {
    young: Map<u128, Span>,
    old: Map<u128, Span>,
}

/// One call's work, coalesced.
struct Call<'a> {
    inner: &'a Inner,
    batch: OwnedWriteBatch,
    spans: BTreeMap<i32, Span>,
    seen: Map<u128, Span>,
    /// By key in `profile`; whether it is a set-once stands in the key.
    cells: Map<Vec<u8>, (Written, bool)>,
}

/// Applies writes and makes them durable.
pub(super) fn apply(
    inner: &Inner,
    writer: &mut Writer,
    writes: Vec<RowWrite>,
) -> Result<WriteReport, StoreError> {
    let batch = OwnedWriteBatch::with_capacity(inner.database.clone(), writes.len());
    let mut call = Call {
        inner,
        batch: batch.durability(Some(PersistMode::SyncAll)),
        spans: BTreeMap::new(),
        seen: Map::default(),
        cells: Map::default(),
    };
    let mut report = WriteReport::default();
    for (index, write) in writes.into_iter().enumerate() {
        let refused = match write {
            RowWrite::Timeline(document) => call.row(&document)?,
            RowWrite::Profile(change) => call.change(change),
            RowWrite::Seen { app_id, user, time_ms } => {
                call.see(AppHash::of(&app_id).user(&user), time_ms);
                None
            }
        };
        if let Some(detail) = refused {
            report.refuse(index, detail);
        }
    }
    call.commit(writer)?;
    Ok(report)
}

// === impl Call ===

impl Call<'_> {
    /// Why the row is refused, where it is.
    fn row(&mut self, document: &EventDocument) -> Result<Option<String>, StoreError> {
        if document.event.event.is_none() {
            return Ok(Some("an event without content".into()));
        }
        let time_ms = document.time_ms();
        let user = AppHash::of(document.app_id()).user(document.user());
        let rows = {
            let mut days = self.inner.days.write();
            if !days.has_room(document.day) {
                return Ok(Some(format!(
                    "day {}: rows of {DAYS_MAX} other days are held, the most allowed",
                    document.day.0
                )));
            }
            let bucket = days.open(&self.inner.database, &self.inner.poison, document.day)?;
            if bucket.widen(time_ms) {
                self.spans.insert(document.day.0, (bucket.oldest_ms, bucket.newest_ms));
            }
            bucket.rows.clone()
        };
        let place = keys::timeline(user, time_ms, document.key);
        self.batch.insert(&rows, &place[..], document.encode());
        Ok(None)
    }

    fn change(&mut self, change: ProfileChange) -> Option<String> {
        let ProfileChange { app_id, user, time_ms, key, name, cell } = change;
        if name.len() > NAME_BYTES_MAX {
            return Some(format!(
                "a property name of {} bytes: at most {NAME_BYTES_MAX} are allowed",
                name.len()
            ));
        }
        let (value, once) = match &cell {
            Cell::Set(value) => (Some(&value[..]), false),
            Cell::SetOnce(value) => (Some(&value[..]), true),
            Cell::Unset => (None, false),
        };
        if let Some(Err(error)) = value.map(serde_json::from_slice::<serde_json::Value>) {
            return Some(format!("property {name}: {error}"));
        }
        let place = keys::profile(AppHash::of(&app_id).user(&user), once, &name);
        let written = Written::new(time_ms, key, value);
        match self.cells.entry(place) {
            Entry::Vacant(entry) => {
                entry.insert((written, once));
            }
            Entry::Occupied(mut entry) if written.beats(&entry.get().0, once) => {
                entry.get_mut().0 = written;
            }
            Entry::Occupied(_) => {}
        }
        None
    }

    fn see(&mut self, user: UserKey, time_ms: i64) {
        let (first, last) = self.seen.entry(user.0).or_insert((time_ms, time_ms));
        (*first, *last) = ((*first).min(time_ms), (*last).max(time_ms));
    }

    fn commit(mut self, writer: &mut Writer) -> Result<(), StoreError> {
        for (day, (oldest, newest)) in std::mem::take(&mut self.spans) {
            let span = keys::span(oldest, newest);
            self.batch.insert(&self.inner.meta, &days::span_key(day)[..], &span[..]);
        }
        let moved = self.merge_seen(writer)?;
        self.merge_cells()?;
        let failed = self.inner.failed("write rows");
        self.batch.commit().map_err(failed)?;
        moved.into_iter().for_each(|(user, span)| writer.keep(user, span));
        Ok(())
    }

    /// The spans that change.
    fn merge_seen(&mut self, writer: &mut Writer) -> Result<Vec<(u128, Span)>, StoreError> {
        let failed = self.inner.failed("read a user's span");
        let mut moved = Vec::new();
        for (user, (first, last)) in std::mem::take(&mut self.seen) {
            let place = user.to_be_bytes();
            let held = match writer.get(user) {
                Some(span) => Some(span),
                None => match self.inner.seen.get(place).map_err(&failed)? {
                    Some(span) => Some(self.inner.read_span(&span)?),
                    None => None,
                },
            };
            let span = held.map_or((first, last), |held| (held.0.min(first), held.1.max(last)));
            if held == Some(span) {
                writer.keep(user, span);
                continue;
            }
            self.batch.insert(&self.inner.seen, &place[..], &keys::span(span.0, span.1)[..]);
            moved.push((user, span));
        }
        Ok(moved)
    }

    fn merge_cells(&mut self) -> Result<(), StoreError> {
        let failed = self.inner.failed("read a profile");
        for (place, (written, once)) in std::mem::take(&mut self.cells) {
            let wins = match self.inner.profile.get(&place).map_err(&failed)? {
                Some(held) => written.beats(&self.inner.read_cell(&held)?, once),
                None => true,
            };
            if wins {
                self.batch.insert(&self.inner.profile, place, written.into_bytes());
            }
        }
        Ok(())
    }
}

// === impl Writer ===

impl Writer {
    fn get(&self, user: u128) -> Option<Span> {
        self.young.get(&user).or_else(|| self.old.get(&user)).copied()
    }

    fn keep(&mut self, user: u128, span: Span) {
        if self.young.len() >= CACHED_USERS_MAX {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(user, span);
    }
}

/// Drops the days before `day`; how many rows they held, about: a row that was
/// written again may count twice until it is compacted.
pub(super) fn drop_before(inner: &Inner, day: Day) -> Result<u64, StoreError> {
    let dropped = inner.days.write().split_before(day);
    if dropped.is_empty() {
        return Ok(0);
    }
    let mut rows = 0;
    let mut batch = inner.database.batch().durability(Some(PersistMode::SyncAll));
    for (day, bucket) in dropped {
        rows += bucket.rows.approximate_len() as u64;
        batch.remove(&inner.meta, &days::span_key(day)[..]);
        let failed = inner.failed("drop a day of rows");
        inner.database.delete_keyspace(bucket.rows).map_err(failed)?;
    }
    batch.commit().map_err(inner.failed("drop a day of rows"))?;
    Ok(rows)
}
