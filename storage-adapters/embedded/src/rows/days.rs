//! The timeline's days: a keyspace each, with the span of corrected times in it.
//!
//! The day is of the raw time, the order of the corrected one, so every day may
//! hold any time; the spans say which days a page has to look into. They are
//! widened to whole hours, so that few writes move them.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use fjall::{Database, Keyspace, KeyspaceCreateOptions};
use sluice_seams::{Day, StoreError};

use super::keys;
use crate::dedupe::poison::Poison;

/// Days a store holds at most: a guard against clocks, far above any retention.
pub(super) const DAYS_MAX: usize = 4_000;

const HOUR_MS: i64 = 3_600_000;

/// One day.
#[derive(Clone)]
pub(super) struct Bucket {
    pub(super) rows: Keyspace,
    /// No row of the day has an older corrected time.
    pub(super) oldest_ms: i64,
    /// No row of the day has a newer corrected time.
    pub(super) newest_ms: i64,
}

/// All days.
#[derive(Default)]
pub(super) struct Days(BTreeMap<i32, Bucket>);

/// The name of a day's keyspace.
fn name(day: i32) -> String {
    format!("timeline.{day}")
}

/// The key of a day's span in `meta`.
pub(super) fn span_key(day: i32) -> [u8; 5] {
    let mut key = [b'd'; 5];
    key[1..].copy_from_slice(&day.to_be_bytes());
    key
}

// === impl Days ===

impl Days {
    /// Reads the days that are on disk.
    pub(super) fn recover(database: &Database, meta: &Keyspace) -> fjall::Result<Self> {
        let mut days = Self::default();
        for found in database.list_keyspace_names() {
            let day = found.strip_prefix("timeline.").and_then(|day| day.parse::<i32>().ok());
            let Some(day) = day else { continue };
            let rows = database.keyspace(&found, options)?;
            // Without a span nothing was written: rows and span are one batch.
            let span = meta.get(span_key(day))?.and_then(|span| keys::read_span(&span));
            let (oldest_ms, newest_ms) = span.unwrap_or((i64::MAX, i64::MIN));
            days.0.insert(day, Bucket { rows, oldest_ms, newest_ms });
        }
        Ok(days)
    }

    /// Every day, in no order that matters.
    pub(super) fn all(&self) -> impl Iterator<Item = &Bucket> {
        self.0.values()
    }

    /// Whether a row of this day can be taken.
    pub(super) fn has_room(&self, day: Day) -> bool {
        self.0.len() < DAYS_MAX || self.0.contains_key(&day.0)
    }

    /// The day's bucket, made where absent.
    pub(super) fn open(
        &mut self,
        database: &Database,
        poison: &Poison,
        day: Day,
    ) -> Result<&mut Bucket, StoreError> {
        match self.0.entry(day.0) {
            Entry::Occupied(there) => Ok(there.into_mut()),
            Entry::Vacant(place) => {
                let rows = database
                    .keyspace(&name(day.0), options)
                    .map_err(|error| poison.mark("make a day of rows", &error))?;
                Ok(place.insert(Bucket { rows, oldest_ms: i64::MAX, newest_ms: i64::MIN }))
            }
        }
    }

    /// Takes out the days before `day`.
    pub(super) fn split_before(&mut self, day: Day) -> BTreeMap<i32, Bucket> {
        let kept = self.0.split_off(&day.0);
        std::mem::replace(&mut self.0, kept)
    }
}

// === impl Bucket ===

impl Bucket {
    /// Widens the span to hold a time; whether it moved.
    pub(super) fn widen(&mut self, time_ms: i64) -> bool {
        if (self.oldest_ms..=self.newest_ms).contains(&time_ms) {
            return false;
        }
        let hour = time_ms.div_euclid(HOUR_MS).saturating_mul(HOUR_MS);
        self.oldest_ms = self.oldest_ms.min(hour);
        self.newest_ms = self.newest_ms.max(hour.saturating_add(HOUR_MS - 1));
        true
    }
}

fn options() -> KeyspaceCreateOptions {
    KeyspaceCreateOptions::default().max_memtable_size(32 << 20)
}
