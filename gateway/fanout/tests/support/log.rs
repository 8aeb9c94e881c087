//! An event log in memory that outlives fan out and looks at every commit.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use parking_lot::Mutex;
use prost::Message;
use sluice_fanout::dead_letter::Entry;
use sluice_memory::dedupe::MemoryDedupe;
use sluice_memory::fault::{Fault, Script};
use sluice_seams::log::LogStatus;
use sluice_seams::{
    AppendError, BoxFuture, DedupeIndex, DedupePartition, EventLog, First, Key, LogRecord, Seen,
    Sighting, StoreError,
};
use sluice_telemetry::{Clock, ManualClock};
use tokio::sync::watch;

use super::reference;
use super::stores::{LedgerDocuments, LedgerRows};

pub struct Log {
    partitions: Vec<Mutex<Vec<LogRecord>>>,
    grown: watch::Sender<u64>,
    offsets: Mutex<HashMap<(String, u32), u64>>,
    clock: ManualClock,
    /// Faults of commits.
    pub commits: Script,
    violations: Mutex<Vec<String>>,
    witnesses: Option<Witnesses>,
}

struct Witnesses {
    dedupe: Arc<WatchedDedupe>,
    documents: Arc<LedgerDocuments>,
    rows: Arc<LedgerRows>,
    dead: Arc<Log>,
}

impl Log {
    pub fn new(partitions: u32, clock: ManualClock) -> Self {
        Self {
            partitions: (0..partitions).map(|_| Mutex::default()).collect(),
            grown: watch::channel(0).0,
            offsets: Mutex::default(),
            clock,
            commits: Script::default(),
            violations: Mutex::default(),
            witnesses: None,
        }
    }

    pub fn checked(
        mut self,
        dedupe: Arc<WatchedDedupe>,
        documents: Arc<LedgerDocuments>,
        rows: Arc<LedgerRows>,
        dead: Arc<Log>,
    ) -> Self {
        self.witnesses = Some(Witnesses { dedupe, documents, rows, dead });
        self
    }

    pub fn violations(&self) -> Vec<String> {
        self.violations.lock().clone()
    }

    pub fn records(&self, partition: u32) -> Vec<LogRecord> {
        self.partitions[partition as usize].lock().clone()
    }

    /// Event ids that stand in this log as dead letters of a lane.
    pub fn dead_ids(&self, lane: &str) -> Vec<String> {
        let letters = self
            .records(0)
            .into_iter()
            .filter_map(|record| Entry::decode(record.payload).expect("an entry").letter);
        letters.filter(|letter| letter.lane == lane).map(|letter| letter.event_id).collect()
    }

    /// Everything below `next` must be in the lane's store or a dead letter, and
    /// durable in `D`.
    fn look_at(&self, lane: &str, partition: u32, next: u64) {
        let Some(witnesses) = &self.witnesses else { return };
        let persisted = witnesses.dedupe.persisted(partition);
        if next > persisted {
            let what = format!("{lane} committed {next}, but `D` persisted {persisted}");
            self.violations.lock().push(what);
        }
        let dead = witnesses.dead.dead_ids(lane);
        for first in reference::firsts(&self.records(partition)) {
            let taken = match lane {
                "documents" => witnesses.documents.holds(&first.id),
                _ => witnesses.rows.holds(&first.id),
            };
            if first.offset < next && !taken && !dead.contains(&first.id) {
                let what = format!("{lane} committed {next} without {}", first.id);
                self.violations.lock().push(what);
            }
        }
    }
}

impl EventLog for Log {
    fn partitions(&self) -> u32 {
        self.partitions.len() as u32
    }

    fn append(
        &self,
        partition: u32,
        payload: Bytes,
    ) -> BoxFuture<'static, Result<u64, AppendError>> {
        let mut records = self.partitions[partition as usize].lock();
        let offset = records.len() as u64;
        let appended_at_ms = self.clock.now_ms();
        records.push(LogRecord { offset, appended_at_ms, payload });
        drop(records);
        self.grown.send_modify(|count| *count += 1);
        async move { Ok(offset) }.boxed()
    }

    fn read(
        &self,
        partition: u32,
        from: u64,
        bytes_max: usize,
    ) -> BoxFuture<'_, Result<Vec<LogRecord>, StoreError>> {
        async move {
            let mut bytes = 0;
            let records = self.partitions[partition as usize].lock();
            let wanted = records.iter().skip(from as usize).take_while(|record| {
                let fits = bytes == 0 || bytes + record.payload.len() <= bytes_max;
                bytes += record.payload.len().max(1);
                fits
            });
            Ok(wanted.cloned().collect())
        }
        .boxed()
    }

    fn wait(&self, partition: u32, offset: u64) -> BoxFuture<'_, ()> {
        async move {
            let mut grown = self.grown.subscribe();
            while self.bounds(partition).1 <= offset {
                grown.changed().await.expect("the sender is in self");
            }
        }
        .boxed()
    }

    fn bounds(&self, partition: u32) -> (u64, u64) {
        (0, self.partitions[partition as usize].lock().len() as u64)
    }

    fn offset_at(&self, partition: u32, time_ms: i64) -> BoxFuture<'_, Result<u64, StoreError>> {
        let records = self.partitions[partition as usize].lock();
        let at = records.partition_point(|record| record.appended_at_ms < time_ms) as u64;
        async move { Ok(at) }.boxed()
    }

    fn declare_lane(&self, _: &str) -> Result<(), StoreError> {
        Ok(())
    }

    fn committed(&self, lane: &str, partition: u32) -> Result<Option<u64>, StoreError> {
        Ok(self.offsets.lock().get(&(lane.to_owned(), partition)).copied())
    }

    fn commit(
        &self,
        lane: &str,
        partition: u32,
        next: u64,
    ) -> BoxFuture<'_, Result<(), StoreError>> {
        let fault = self.commits.take();
        if fault != Fault::RetryBefore {
            self.look_at(lane, partition, next);
            let mut offsets = self.offsets.lock();
            let held = offsets.entry((lane.to_owned(), partition)).or_default();
            *held = next.max(*held);
        }
        let done = match fault {
            Fault::None => Ok(()),
            _ => Err(StoreError::retry(Duration::from_millis(1), "scripted")),
        };
        async move { done }.boxed()
    }

    fn rewind(&self, lane: &str, partition: u32, to: u64) -> BoxFuture<'_, Result<(), StoreError>> {
        self.offsets.lock().insert((lane.to_owned(), partition), to);
        async { Ok(()) }.boxed()
    }

    fn status(&self) -> LogStatus {
        LogStatus::default()
    }

    fn close(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        async { Ok(()) }.boxed()
    }
}

/// `D` that notes what was made durable.
pub struct WatchedDedupe {
    inner: MemoryDedupe,
    persisted: Arc<Mutex<HashMap<u32, u64>>>,
}

struct WatchedPartition {
    id: u32,
    inner: Box<dyn DedupePartition>,
    persisted: Arc<Mutex<HashMap<u32, u64>>>,
}

impl WatchedDedupe {
    pub fn new(inner: MemoryDedupe) -> Self {
        Self { inner, persisted: Arc::default() }
    }

    /// The empty `D` of another worker, watched together with this one: a
    /// partition has one owner at a time.
    pub fn of_another_worker(&self) -> Self {
        Self { inner: MemoryDedupe::new(), persisted: Arc::clone(&self.persisted) }
    }

    pub fn persisted(&self, partition: u32) -> u64 {
        self.persisted.lock().get(&partition).copied().unwrap_or(0)
    }
}

impl DedupeIndex for WatchedDedupe {
    fn open(&self, id: u32) -> Result<Box<dyn DedupePartition>, StoreError> {
        let (inner, persisted) = (self.inner.open(id)?, Arc::clone(&self.persisted));
        // A persist that reported failure may have been applied all the same.
        persisted.lock().insert(id, inner.resolved());
        Ok(Box::new(WatchedPartition { id, inner, persisted }))
    }

    fn find(&self, key: Key) -> Result<Option<First>, StoreError> {
        self.inner.find(key)
    }
}

impl DedupePartition for WatchedPartition {
    fn resolve(
        &mut self,
        log_time_ms: i64,
        sightings: &[Sighting],
        verdicts: &mut Vec<Seen>,
    ) -> Result<(), StoreError> {
        self.inner.resolve(log_time_ms, sightings, verdicts)
    }

    fn get(&self, key: Key) -> Result<Option<First>, StoreError> {
        self.inner.get(key)
    }

    fn resolved(&self) -> u64 {
        self.inner.resolved()
    }

    fn persist(&mut self, next: u64) -> Result<(), StoreError> {
        self.inner.persist(next)?;
        self.persisted.lock().insert(self.id, next);
        Ok(())
    }

    fn expire(&mut self, log_time_ms: i64) -> Result<(), StoreError> {
        self.inner.expire(log_time_ms)
    }
}
