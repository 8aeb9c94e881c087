//! Reading and dropping rows of the timeline.
//!
//! A row that was dropped is an empty cell, not a deleted one: it has the
//! timestamp of the event's day as the row had, and of equal timestamps the last
//! put is seen, so that a replay brings the row back. (A delete marker would
//! hide it until the next major compaction.) The family's TTL ends both.

use std::collections::BTreeMap;

use hbase_thrift::hbase::{BatchMutation, THbaseSyncClient, TRowResult, TScan};
use sluice_seams::row::TimelineCursor;
use sluice_seams::{Day, EventDocument, StoreError, TimelinePage, TimelineRow};

use crate::keys;
use crate::tables::TIMELINE_COLUMN;
use crate::thrift1::connection::{Connection, Fault};
use crate::writing::put_cell;

/// Rows fetched first, and at most, in one round trip.
const FETCH_FIRST: usize = 101;
const FETCH_MAX: usize = 1_001;

/// Bytes that a round trip should bring, about.
const FETCH_BYTES: usize = 4 << 20;

/// Bytes of a page: past them it ends early, and says where the next begins.
const PAGE_BYTES_MAX: usize = 32 << 20;

/// Dropped rows that a page steps over.
const SKIPPED_MAX: usize = 1_000_000;

/// Rows dropped in one round trip.
const DROP_ROWS: usize = 2_000;

/// Rows of a page as they stand in the table.
#[derive(Default)]
pub(crate) struct RawPage {
    rows: Vec<(Vec<u8>, Vec<u8>)>,
    more: bool,
}

/// Reads at most `limit` rows between two keys. Blocks.
pub(crate) fn read_page(
    connection: &mut Connection,
    table: &[u8],
    (start, stop): &(Vec<u8>, Vec<u8>),
    limit: usize,
) -> Result<RawPage, Fault> {
    let scan = TScan {
        start_row: Some(start.clone()),
        stop_row: Some(stop.clone()),
        columns: Some(vec![TIMELINE_COLUMN.to_vec()]),
        caching: Some((limit + 1).min(FETCH_FIRST) as i32),
        ..no_scan()
    };
    scanning(connection, table, scan, |connection, id| {
        let mut page = RawPage::default();
        let (mut bytes, mut fetched, mut skipped) = (0, 0, 0);
        let mut fetch = FETCH_FIRST.min(limit + 1);
        loop {
            let rows = connection.ask(|client| client.scanner_get_list(id, fetch as i32))?;
            let end = rows.len() < fetch;
            fetched += rows.len();
            for (row, value) in rows.into_iter().filter_map(cell) {
                bytes += value.len();
                if value.is_empty() {
                    skipped += 1;
                } else if page.rows.len() == limit || bytes > PAGE_BYTES_MAX && page.rows.len() > 1
                {
                    page.more = true;
                    return Ok(page);
                } else {
                    page.rows.push((row, value));
                }
            }
            if end {
                return Ok(page);
            }
            if skipped > SKIPPED_MAX {
                return Err(Fault::Item(format!("{skipped} dropped rows stand before the page")));
            }
            let wanted = (FETCH_BYTES / (bytes / fetched.max(1)).max(1)).clamp(1, FETCH_MAX);
            fetch = if skipped > 0 { wanted } else { wanted.min(limit + 1 - page.rows.len()) };
        }
    })
}

// === impl RawPage ===

impl RawPage {
    /// The documents.
    pub(crate) fn decode(self) -> Result<TimelinePage, StoreError> {
        let next = match self.rows.last() {
            Some((row, _)) if self.more => keys::read_place(row),
            _ => None,
        };
        let mut page = TimelinePage { rows: Vec::with_capacity(self.rows.len()), next };
        for (row, value) in self.rows {
            let document = EventDocument::decode(&value).ok_or_else(|| {
                let at: Option<TimelineCursor> = keys::read_place(&row);
                StoreError::Refused(format!("the row at {at:?} of the timeline is damaged"))
            })?;
            page.rows.push(TimelineRow(document));
        }
        Ok(page)
    }
}

/// Whether a row is there and not dropped. Blocks.
pub(crate) fn contains(
    connection: &mut Connection,
    table: &[u8],
    row: &[u8],
) -> Result<bool, Fault> {
    let found = connection.ask(|client| {
        client.get(table.to_vec(), row.to_vec(), TIMELINE_COLUMN.to_vec(), BTreeMap::new())
    })?;
    let mut values = found.into_iter().filter_map(|cell| cell.value);
    Ok(values.next().is_some_and(|value| !value.is_empty()))
}

/// Drops the rows filed under days before this one, and counts them, also over
/// several tries. Files whose cells are all younger are not opened. Blocks.
pub(crate) fn drop_before(
    connection: &mut Connection,
    table: &[u8],
    day: Day,
    dropped: &mut u64,
) -> Result<(), Fault> {
    let scan = TScan {
        // Up to, without, the day's first millisecond.
        timestamp: Some(keys::day_timestamp(day)),
        columns: Some(vec![TIMELINE_COLUMN.to_vec()]),
        caching: Some(DROP_ROWS as i32),
        filter_string: Some(b"ValueFilter(!=, 'binary:') AND KeyOnlyFilter()".to_vec()),
        cache_blocks: Some(false),
        ..no_scan()
    };
    scanning(connection, table, scan, |connection, id| {
        loop {
            let rows = connection.ask(|client| client.scanner_get_list(id, DROP_ROWS as i32))?;
            let end = rows.len() < DROP_ROWS;
            let count = rows.len() as u64;
            empty(connection, table, rows)?;
            *dropped += count;
            if end {
                return Ok(());
            }
        }
    })
}

/// Puts empty cells over rows, at the rows' own timestamps.
fn empty(connection: &mut Connection, table: &[u8], rows: Vec<TRowResult>) -> Result<(), Fault> {
    let mut calls: BTreeMap<i64, Vec<BatchMutation>> = BTreeMap::new();
    for row in rows {
        let cell = row.columns.and_then(|columns| columns.into_values().next());
        let Some(timestamp) = cell.and_then(|cell| cell.timestamp) else { continue };
        let put = put_cell(TIMELINE_COLUMN.to_vec(), Vec::new());
        let rows = calls.entry(timestamp).or_default();
        rows.push(BatchMutation { row: row.row, mutations: Some(vec![put]) });
    }
    for (timestamp, rows) in calls {
        connection.ask(|client| {
            client.mutate_rows_ts(table.to_vec(), rows, timestamp, BTreeMap::new())
        })?;
    }
    Ok(())
}

fn no_scan() -> TScan {
    TScan::new(None, None, None, None, None, None, None, None, None, None)
}

fn cell(row: TRowResult) -> Option<(Vec<u8>, Vec<u8>)> {
    let value = row.columns?.into_values().next()?.value?;
    Some((row.row?, value))
}

/// Opens a scanner, and closes it whatever comes between.
fn scanning<T>(
    connection: &mut Connection,
    table: &[u8],
    scan: TScan,
    act: impl FnOnce(&mut Connection, i32) -> Result<T, Fault>,
) -> Result<T, Fault> {
    let id = connection
        .ask(|client| client.scanner_open_with_scan(table.to_vec(), scan, BTreeMap::new()))?;
    let result = act(connection, id);
    if connection.is_good() {
        // Where this fails, the server forgets the scanner by itself in a minute.
        if let Err(fault) = connection.ask(|client| client.scanner_close(id)) {
            tracing::debug!("a scanner was not closed: {}", fault.detail());
        }
    }
    result
}
