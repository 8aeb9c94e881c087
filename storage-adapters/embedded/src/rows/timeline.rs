//! Reading a timeline: the days merged, newest first, opened only when needed.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use fjall::{Iter, Readable, Snapshot, UserValue};
use sluice_seams::row::TimelineCursor;
use sluice_seams::{EventDocument, StoreError, TimelinePage, TimelineRow, UserKey};

use super::days::Bucket;
use super::keys::{self, TIMELINE_KEY_BYTES};
use crate::dedupe::poison::Poison;

/// A lazy merge of one user's rows. Holds one open scan for each day whose span
/// reaches the place it has come to.
pub(super) struct Merge<'a> {
    snapshot: Snapshot,
    poison: &'a Poison,
    /// First key wanted.
    from: [u8; TIMELINE_KEY_BYTES],
    /// Last key of the user.
    to: [u8; TIMELINE_KEY_BYTES],
    /// Days not opened yet, the newest last.
    closed: Vec<Bucket>,
    /// Next row of each open scan, and which scan it is.
    heads: BinaryHeap<Reverse<(Vec<u8>, usize)>>,
    scans: Vec<(Iter, UserValue)>,
}

/// Reads a page; `limit` is at least 1.
pub(super) fn page(mut merge: Merge<'_>, limit: usize) -> Result<TimelinePage, StoreError> {
    let mut page = TimelinePage::default();
    let mut last: Option<TimelineCursor> = None;
    while let Some((key, value)) = merge.next_row()? {
        let place = keys::read_timeline(&key);
        if last.is_some() && place == last {
            // Filed under two days, which `D` prevents while it holds the key.
            continue;
        }
        if page.rows.len() == limit {
            page.next = last;
            break;
        }
        let row = EventDocument::decode(&value)
            .ok_or_else(|| merge.poison.mark("read a timeline", &"damaged row"))?;
        page.rows.push(TimelineRow(row));
        last = place;
    }
    Ok(page)
}

// === impl Merge ===

impl<'a> Merge<'a> {
    /// A merge of the user's rows after the cursor.
    pub(super) fn new(
        snapshot: Snapshot,
        poison: &'a Poison,
        mut days: Vec<Bucket>,
        user: UserKey,
        after: Option<TimelineCursor>,
    ) -> Self {
        let newest = TimelineCursor { time_ms: i64::MAX, key: 0 };
        let start = after.unwrap_or(newest);
        days.retain(|day| day.oldest_ms <= start.time_ms);
        days.sort_by_key(|day| day.newest_ms);
        let mut from = keys::timeline(user, start.time_ms, sluice_seams::Key(start.key));
        if after.is_some() {
            step(&mut from);
        }
        Self {
            snapshot,
            poison,
            from,
            to: keys::timeline(user, i64::MIN, sluice_seams::Key(u128::MAX)),
            closed: days,
            heads: BinaryHeap::new(),
            scans: Vec::new(),
        }
    }

    /// Days not opened yet.
    #[cfg(test)]
    pub(super) fn closed(&self) -> usize {
        self.closed.len()
    }

    /// The next row, key and value.
    pub(super) fn next_row(&mut self) -> Result<Option<(Vec<u8>, UserValue)>, StoreError> {
        self.open_days()?;
        let Some(Reverse((key, scan))) = self.heads.pop() else { return Ok(None) };
        let value = self.scans[scan].1.clone();
        self.advance(scan)?;
        Ok(Some((key, value)))
    }

    /// Opens days until none that is closed can hold a newer row than the best head.
    fn open_days(&mut self) -> Result<(), StoreError> {
        while let Some(day) = self.closed.last() {
            if let Some(Reverse((key, _))) = self.heads.peek() {
                let time_ms = keys::read_timeline(key).map(|place| place.time_ms);
                if time_ms.is_some_and(|time_ms| time_ms > day.newest_ms) {
                    break;
                }
            }
            if self.from <= self.to {
                let scan = self.snapshot.range(&day.rows, self.from..=self.to);
                self.scans.push((scan, UserValue::from(&[][..])));
                self.advance(self.scans.len() - 1)?;
            }
            self.closed.pop();
        }
        Ok(())
    }

    fn advance(&mut self, scan: usize) -> Result<(), StoreError> {
        let Some(row) = self.scans[scan].0.next() else { return Ok(()) };
        let (key, value) =
            row.into_inner().map_err(|error| self.poison.mark("read a timeline", &error))?;
        self.scans[scan].1 = value;
        self.heads.push(Reverse((key.to_vec(), scan)));
        Ok(())
    }
}

/// The next key in order of bytes. The last of all stays: nobody stands behind it.
fn step(key: &mut [u8; TIMELINE_KEY_BYTES]) {
    for byte in key.iter_mut().rev() {
        let (next, carry) = byte.overflowing_add(1);
        *byte = next;
        if !carry {
            return;
        }
    }
    *key = [u8::MAX; TIMELINE_KEY_BYTES];
}
