//! Writing: a call of the seam becomes few calls of `mutateRowsTs`.
//!
//! Rows of the timeline go by the day of the event, which is their timestamp, so
//! that a batch of one or two days is one or two calls for each megabyte. Users
//! are read where nothing is known of them, then put in one call, see
//! [`crate::registers`].

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use futures::future::try_join_all;
use hbase_thrift::hbase::{BatchMutation, Mutation, THbaseSyncClient};
use sluice_seams::row::Cell;
use sluice_seams::{EventDocument, ProfileChange, Refused, RowWrite, StoreError, WriteReport};

use crate::keys::{self, ROW_BYTES_MAX};
use crate::registers::cache::{Changes, FoundCell, Issue, Issued, Pins, Place};
use crate::registers::value::{self, Field, Kind, Writer};
use crate::rows::{Inner, ended_early};
use crate::tables::{PROFILE_FAMILY, SEEN_FAMILY, TIMELINE_COLUMN};
use crate::thrift1::Call;
use crate::thrift1::connection::{Connection, Fault};

/// Largest cell, bytes: HBase takes 10 MiB with its key.
const CELL_BYTES_MAX: usize = (10 << 20) - (64 << 10);

/// Longest name of a profile property, bytes.
const NAME_BYTES_MAX: usize = 1_024;

/// Rows of a call at most, however small.
const BATCH_ROWS_MAX: usize = 5_000;

/// Users read in one call: spans are small, profiles may not be.
const SPANS_READ_MAX: usize = 500;
const PROFILES_READ_MAX: usize = 50;

/// Calls that delete cells of others after one write.
const PRUNES_MAX: usize = 16;

/// Bytes of a mutation besides its row, column and value, about.
const MUTATION_BYTES: usize = 40;

/// One row of a call.
struct PutRow {
    /// The writes that are in it.
    indices: Vec<usize>,
    row: Vec<u8>,
    what: What,
}

enum What {
    /// A row of the timeline; encoded once, and again only for another try.
    Event { document: EventDocument, encoded: Option<Vec<u8>> },
    /// Cells of a user.
    Cells(Vec<(Vec<u8>, Arc<[u8]>)>),
    /// Columns to delete, up to the call's timestamp.
    Deletes(Vec<Vec<u8>>),
}

/// One call.
struct Batch {
    table: Vec<u8>,
    timestamp: i64,
    rows: Vec<PutRow>,
}

/// A call of the seam, sorted.
#[derive(Default)]
struct Sorted {
    timeline: BTreeMap<i64, Vec<PutRow>>,
    changes: Changes,
    report: WriteReport,
}

/// Applies writes and makes them durable.
pub(crate) async fn write(
    inner: Arc<Inner>,
    writes: Vec<RowWrite>,
) -> Result<WriteReport, StoreError> {
    let worker = Arc::clone(&inner);
    let sorted = tokio::task::spawn_blocking(move || {
        let mut sorted = Sorted::default();
        for (index, write) in writes.into_iter().enumerate() {
            if let Err(detail) = sorted.take(worker.config.salt_buckets, index, write) {
                sorted.report.refuse(index, detail);
            }
        }
        sorted
    });
    let sorted = sorted.await.map_err(|error| ended_early(&error))?;
    let mut report = sorted.report;
    let rows: usize = sorted.timeline.values().map(Vec::len).sum();
    let table = &inner.names.timeline;
    let batches = sorted.timeline.into_iter().flat_map(|(timestamp, rows)| {
        batches(table, timestamp, rows, inner.config.batch_bytes_max)
    });
    let sends: Vec<_> = batches.map(|batch| send(&inner, batch)).collect();
    let (timeline, users) = tokio::join!(try_join_all(sends), write_users(&inner, sorted.changes));
    let refused = timeline?.into_iter().flatten();
    report.refused.extend(refused);
    inner.counts.timeline_rows(rows as u64);
    report.refused.extend(users?);
    report.refused.sort_by_key(|refused| refused.index);
    Ok(report)
}

// === impl Sorted ===

impl Sorted {
    fn take(&mut self, salts: u8, index: usize, write: RowWrite) -> Result<(), String> {
        match write {
            RowWrite::Timeline(document) => self.event(salts, index, document),
            RowWrite::Profile(change) => self.profile(salts, index, change),
            RowWrite::Seen { app_id, user, time_ms } => {
                let row = user_row(salts, &app_id, &user)?;
                self.change(
                    index,
                    Place { row, profile: false },
                    Field::span(),
                    value::span(time_ms),
                );
                Ok(())
            }
        }
    }

    fn event(&mut self, salts: u8, index: usize, document: EventDocument) -> Result<(), String> {
        if document.event.event.is_none() {
            return Err("an event without content".into());
        }
        let user = user_row(salts, document.app_id(), document.user())?;
        let row = keys::timeline(user, document.time_ms(), document.key);
        let encoded = document.encode();
        check_cell(encoded.len())?;
        let timestamp = keys::day_timestamp(document.day);
        let what = What::Event { document, encoded: Some(encoded) };
        let rows = self.timeline.entry(timestamp).or_default();
        rows.push(PutRow { indices: vec![index], row, what });
        Ok(())
    }

    fn profile(&mut self, salts: u8, index: usize, change: ProfileChange) -> Result<(), String> {
        let ProfileChange { app_id, user, time_ms, key, name, cell } = change;
        if name.len() > NAME_BYTES_MAX {
            return Err(format!(
                "a property name of {} bytes: at most {NAME_BYTES_MAX} are allowed",
                name.len()
            ));
        }
        let (json, kind) = match &cell {
            Cell::Set(json) => (Some(&json[..]), Kind::Latest),
            Cell::SetOnce(json) => (Some(&json[..]), Kind::Once),
            Cell::Unset => (None, Kind::Latest),
        };
        if let Some(Err(error)) = json.map(serde_json::from_slice::<serde_json::Value>) {
            return Err(format!("property {name}: {error}"));
        }
        let row = user_row(salts, &app_id, &user)?;
        let value = value::written(time_ms, key, json);
        check_cell(value.len())?;
        let field = Field { kind, name: name.to_string() };
        self.change(index, Place { row, profile: true }, field, value);
        Ok(())
    }

    fn change(&mut self, index: usize, place: Place, field: Field, value: Vec<u8>) {
        let kind = field.kind;
        let change = self.changes.entry(place).or_default().entry(field).or_default();
        change.indices.push(index);
        match change.value.is_empty() {
            true => change.value = value,
            false => {
                if let Some(joined) = kind.join(&change.value, &value) {
                    change.value = joined;
                }
            }
        }
    }
}

fn user_row(salts: u8, app_id: &str, user: &str) -> Result<Vec<u8>, String> {
    let row = keys::user(salts, app_id, user);
    // A row of the timeline adds 24 bytes.
    match row.len() + 24 <= ROW_BYTES_MAX {
        true => Ok(row),
        false => Err(format!(
            "the names of app and user make a row key of {} bytes: HBase takes {ROW_BYTES_MAX}",
            row.len() + 24
        )),
    }
}

fn check_cell(bytes: usize) -> Result<(), String> {
    match bytes <= CELL_BYTES_MAX {
        true => Ok(()),
        false => Err(format!("a cell of {bytes} bytes: HBase takes {CELL_BYTES_MAX}")),
    }
}

/// Rows of one timestamp cut into calls.
fn batches(table: &[u8], timestamp: i64, rows: Vec<PutRow>, bytes_max: usize) -> Vec<Batch> {
    let mut batches: Vec<Batch> = Vec::new();
    let mut bytes = 0;
    for row in rows {
        let size = row.bytes();
        let full = batches
            .last()
            .is_none_or(|batch| bytes + size > bytes_max || batch.rows.len() >= BATCH_ROWS_MAX);
        if full {
            bytes = 0;
            batches.push(Batch { table: table.to_vec(), timestamp, rows: Vec::new() });
        }
        bytes += size;
        batches.last_mut().expect("one was pushed").rows.push(row);
    }
    batches
}

/// Sends one call; the writes that HBase will never take.
async fn send(inner: &Arc<Inner>, mut batch: Batch) -> Result<Vec<Refused>, Fault> {
    let act = move |connection: &mut Connection| {
        let mut refused = Vec::new();
        put(connection, &batch.table, batch.timestamp, &mut batch.rows, &mut refused)?;
        Ok(refused)
    };
    inner.pool.call(Call::Write, act).await
}

/// Halves what is refused until the rows stand alone that are the cause.
fn put(
    connection: &mut Connection,
    table: &[u8],
    timestamp: i64,
    rows: &mut [PutRow],
    refused: &mut Vec<Refused>,
) -> Result<(), Fault> {
    let batch: Vec<_> = rows.iter_mut().map(PutRow::mutations).collect();
    let sent = connection
        .ask(|client| client.mutate_rows_ts(table.to_vec(), batch, timestamp, BTreeMap::new()));
    match sent {
        Err(Fault::Item(detail)) if rows.len() == 1 => {
            let refuse = |&index: &usize| Refused { index, detail: format!("HBase: {detail}") };
            refused.extend(rows[0].indices.iter().map(refuse));
            Ok(())
        }
        Err(Fault::Item(_)) => {
            let (left, right) = rows.split_at_mut(rows.len() / 2);
            put(connection, table, timestamp, left, refused)?;
            put(connection, table, timestamp, right, refused)
        }
        sent => sent,
    }
}

/// Brings users up to their changes; the writes that HBase will never take.
async fn write_users(inner: &Arc<Inner>, changes: Changes) -> Result<Vec<Refused>, StoreError> {
    if changes.is_empty() {
        return Ok(Vec::new());
    }
    let cache = &inner.cache;
    let pins = cache.pin(&changes);
    if !pins.unknown.is_empty() {
        let found = read_users(inner, &pins).await?;
        cache.learn(&pins.unknown, found);
    }
    let Issued { timestamp, writer, puts, stale, known } = cache.issue(changes, (inner.now_ms)());
    inner.counts.users(pins.unknown.len() as u64, puts.len() as u64, known);
    let rows = user_rows(&puts, writer);
    let calls = batches(&inner.names.users, timestamp, rows, inner.config.batch_bytes_max);
    let sent = try_join_all(calls.into_iter().map(|batch| send(inner, batch))).await?;
    let refused: Vec<Refused> = sent.into_iter().flatten().collect();
    if refused.is_empty() {
        cache.confirm(&puts);
        prune(inner, stale).await;
    } else {
        let taken = |put: &&Issue| {
            !put.indices.iter().any(|index| refused.iter().any(|refused| refused.index == *index))
        };
        let taken: Vec<_> = puts.iter().filter(taken).cloned().collect();
        cache.confirm(&taken);
    }
    drop(pins);
    Ok(refused)
}

/// Reads the users that nothing is known of.
async fn read_users(
    inner: &Arc<Inner>,
    pins: &Pins,
) -> Result<Vec<(Place, FoundCell)>, StoreError> {
    let (profiles, spans): (Vec<_>, Vec<_>) =
        pins.unknown.iter().cloned().partition(|place| place.profile);
    let profiles = profiles.chunks(PROFILES_READ_MAX).map(|places| (PROFILE_FAMILY, places));
    let spans = spans.chunks(SPANS_READ_MAX).map(|places| (SEEN_FAMILY, places));
    let reads = profiles.chain(spans).map(|(family, places)| {
        let rows: Vec<_> = places.iter().map(|place| place.row.clone()).collect();
        read_rows(inner, family, rows)
    });
    Ok(try_join_all(reads).await?.into_iter().flatten().collect())
}

async fn read_rows(
    inner: &Arc<Inner>,
    family: &'static str,
    rows: Vec<Vec<u8>>,
) -> Result<Vec<(Place, FoundCell)>, StoreError> {
    let table = inner.names.users.clone();
    let profile = family == PROFILE_FAMILY;
    let act = move |connection: &mut Connection| {
        connection.ask(|client| {
            let columns = vec![family.as_bytes().to_vec()];
            client.get_rows_with_columns(table.clone(), rows.clone(), columns, BTreeMap::new())
        })
    };
    let read = inner.pool.call(Call::Read, act).await?;
    let cells = read.into_iter().flat_map(|row| {
        let place = Place { row: row.row.unwrap_or_default(), profile };
        let cells = row.columns.into_iter().flatten();
        cells.filter_map(move |(column, cell)| {
            Some((place.clone(), found(&column, cell.value?, cell.timestamp?)?))
        })
    });
    Ok(cells.collect())
}

/// A cell of a user; `None` where it is none of ours.
pub(crate) fn found(column: &[u8], value: Vec<u8>, timestamp: i64) -> Option<FoundCell> {
    let (field, writer) = Field::read(column)?;
    field.kind.is_value(&value).then_some(FoundCell { field, writer, timestamp, value })
}

/// Puts, by row.
fn user_rows(puts: &[Issue], writer: Writer) -> Vec<PutRow> {
    let mut rows: HashMap<&[u8], PutRow, ahash::RandomState> = HashMap::default();
    for put in puts {
        let row = rows.entry(&put.place.row).or_insert_with(|| PutRow {
            indices: Vec::new(),
            row: put.place.row.clone(),
            what: What::Cells(Vec::new()),
        });
        row.indices.extend_from_slice(&put.indices);
        if let What::Cells(cells) = &mut row.what {
            cells.push((put.field.column(writer), Arc::clone(&put.value)));
        }
    }
    rows.into_values().collect()
}

/// Deletes cells of other writers that are under our own durable ones, each at
/// the timestamp that was read. What fails is found again another time.
async fn prune(inner: &Arc<Inner>, stale: Vec<(Place, FoundCell)>) {
    let mut calls: BTreeMap<i64, BTreeMap<Vec<u8>, Vec<Vec<u8>>>> = BTreeMap::new();
    for (place, cell) in stale {
        let columns = calls.entry(cell.timestamp).or_default().entry(place.row).or_default();
        columns.push(cell.field.column(cell.writer));
    }
    let calls = calls.into_iter().take(PRUNES_MAX).map(|(timestamp, rows)| {
        let rows = rows.into_iter().map(|(row, columns)| PutRow {
            indices: Vec::new(),
            row,
            what: What::Deletes(columns),
        });
        send(inner, Batch { table: inner.names.users.clone(), timestamp, rows: rows.collect() })
    });
    if let Err(fault) = try_join_all(calls).await {
        tracing::debug!("cells of former writers stay: {}", fault.detail());
    }
}

// === impl PutRow ===

impl PutRow {
    fn bytes(&self) -> usize {
        let bytes = match &self.what {
            What::Event { encoded, .. } => encoded.as_ref().map_or(0, Vec::len) + MUTATION_BYTES,
            What::Cells(cells) => {
                let size = |(column, value): &(Vec<u8>, Arc<[u8]>)| column.len() + value.len();
                cells.iter().map(|cell| size(cell) + MUTATION_BYTES).sum()
            }
            What::Deletes(columns) => {
                columns.iter().map(|column| column.len() + MUTATION_BYTES).sum()
            }
        };
        self.row.len() + bytes
    }

    fn mutations(&mut self) -> BatchMutation {
        let mutations = match &mut self.what {
            What::Event { document, encoded } => {
                let value = encoded.take().unwrap_or_else(|| document.encode());
                vec![put_cell(TIMELINE_COLUMN.to_vec(), value)]
            }
            What::Cells(cells) => cells
                .iter()
                .map(|(column, value)| put_cell(column.clone(), value.to_vec()))
                .collect(),
            What::Deletes(columns) => columns
                .iter()
                .map(|column| Mutation {
                    is_delete: Some(true),
                    column: Some(column.clone()),
                    value: None,
                    write_to_w_a_l: Some(true),
                })
                .collect(),
        };
        BatchMutation { row: Some(self.row.clone()), mutations: Some(mutations) }
    }
}

/// A put of one cell, logged before it is acknowledged.
pub(crate) fn put_cell(column: Vec<u8>, value: Vec<u8>) -> Mutation {
    Mutation {
        is_delete: Some(false),
        column: Some(column),
        value: Some(value),
        write_to_w_a_l: Some(true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::HbaseConfig;
    use crate::thrift1::fake::{Act, Fake};
    use crate::thrift1::pool::Pool;

    fn row(index: usize, bytes: usize) -> PutRow {
        let cells = vec![(b"p:v".to_vec(), Arc::from(vec![0; bytes]))];
        PutRow { indices: vec![index], row: vec![index as u8], what: What::Cells(cells) }
    }

    /// One row that HBase refuses is found, and alone refused.
    #[tokio::test]
    async fn a_refused_batch_is_halved() {
        let script = [Act::Refuse, Act::Answer, Act::Refuse, Act::Refuse, Act::Answer];
        let fake = Fake::start(&script);
        let servers = vec![fake.address.clone()];
        let config = HbaseConfig { servers, ..HbaseConfig::default() };
        let pool = Pool::start(&config, Arc::new(|| 0));
        let mut rows: Vec<_> = (0..4).map(|index| row(index, 1)).collect();
        let act = move |connection: &mut Connection| {
            let mut refused = Vec::new();
            put(connection, b"users", 1, &mut rows, &mut refused)?;
            Ok(refused)
        };
        let refused = pool.call(Call::Write, act).await.expect("the call succeeds");
        assert_eq!(refused.len(), 1);
        assert_eq!((refused[0].index, fake.calls()), (2, 5));
        assert!(refused[0].detail.contains("the row is odd"), "{}", refused[0].detail);
    }

    #[test]
    fn calls_are_bounded_by_bytes_and_rows() {
        let rows = |count: usize, bytes| (0..count).map(|index| row(index, bytes)).collect();
        let cut = |rows: Vec<PutRow>| {
            let cut = batches(b"users", 1, rows, 1_000);
            cut.iter().map(|batch| batch.rows.len()).collect::<Vec<_>>()
        };
        assert_eq!(cut(rows(4, 400)), [2, 2]);
        assert_eq!(cut(rows(2, 5_000)), [1, 1], "a large row goes alone");
        assert_eq!(cut(Vec::new()), [0; 0]);
        let many = batches(b"users", 1, rows(BATCH_ROWS_MAX + 1, 1), usize::MAX);
        assert_eq!(many.len(), 2);
    }
}
