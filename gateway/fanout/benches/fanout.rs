//! Cost of fan out above the stores, per event: decode, ask `D` (a map in
//! memory), derive and batch for both lanes, into stores that keep nothing.
//! 50 events a record, one in ten a duplicate, as after a retry.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ahash::AHashMap;
use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use futures::FutureExt;
use parking_lot::Mutex;
use prost::Message;
use sluice_fanout::{FanOut, FanOutConfig, FanOutDeps};
use sluice_proto::v1::{BatchRecord, Device, Envelope, Event, Page, RecordEvent};
use sluice_seams::document::{Catalogue, StoreStatus};
use sluice_seams::key::AppHash;
use sluice_seams::log::LogStatus;
use sluice_seams::row::TimelineCursor;
use sluice_seams::{
    AppendError, BoxFuture, Day, DedupeIndex, DedupePartition, DocumentStore, DocumentWrite,
    EventLog, First, Key, LogRecord, Position, Profile, Question, RowStore, RowWrite, Seen,
    Sighting, StaticAssignment, StoreError, Table, TimelinePage, WriteReport,
};
use sluice_telemetry::{ManualClock, Registry};

const NOW_MS: i64 = 1_795_190_400_000;
const RECORDS: u64 = 2_000;
const EVENTS: u64 = 50;

/// A log of records made beforehand; commits are forgotten.
struct Log(Vec<LogRecord>);
/// `D` in a map that is never durable.
struct Index;
struct IndexPartition(AHashMap<u128, First>);
/// A store that keeps nothing.
struct Null;

fn ready<'a, T: Send + 'a>(value: T) -> BoxFuture<'a, T> {
    std::future::ready(value).boxed()
}

impl EventLog for Log {
    fn partitions(&self) -> u32 {
        1
    }
    fn append(&self, _: u32, _: Bytes) -> BoxFuture<'static, Result<u64, AppendError>> {
        ready(Ok(0))
    }
    fn read(
        &self,
        _: u32,
        from: u64,
        bytes_max: usize,
    ) -> BoxFuture<'_, Result<Vec<LogRecord>, StoreError>> {
        let mut bytes = 0;
        let records = self.0[from as usize..].iter().take_while(|record| {
            bytes += record.payload.len();
            bytes <= bytes_max
        });
        ready(Ok(records.cloned().collect()))
    }
    fn wait(&self, _: u32, offset: u64) -> BoxFuture<'_, ()> {
        if offset < self.0.len() as u64 { ready(()) } else { std::future::pending().boxed() }
    }
    fn bounds(&self, _: u32) -> (u64, u64) {
        (0, self.0.len() as u64)
    }
    fn offset_at(&self, _: u32, _: i64) -> BoxFuture<'_, Result<u64, StoreError>> {
        ready(Ok(0))
    }
    fn declare_lane(&self, _: &str) -> Result<(), StoreError> {
        Ok(())
    }
    fn committed(&self, _: &str, _: u32) -> Result<Option<u64>, StoreError> {
        Ok(None)
    }
    fn commit(&self, _: &str, _: u32, _: u64) -> BoxFuture<'_, Result<(), StoreError>> {
        ready(Ok(()))
    }
    fn rewind(&self, _: &str, _: u32, _: u64) -> BoxFuture<'_, Result<(), StoreError>> {
        ready(Ok(()))
    }
    fn status(&self) -> LogStatus {
        LogStatus::default()
    }
    fn close(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        ready(Ok(()))
    }
}

impl DedupeIndex for Index {
    fn open(&self, _: u32) -> Result<Box<dyn DedupePartition>, StoreError> {
        Ok(Box::new(IndexPartition(AHashMap::with_capacity((RECORDS * EVENTS) as usize))))
    }
    fn find(&self, _: Key) -> Result<Option<First>, StoreError> {
        Ok(None)
    }
}

impl DedupePartition for IndexPartition {
    fn resolve(
        &mut self,
        _: i64,
        sightings: &[Sighting],
        verdicts: &mut Vec<Seen>,
    ) -> Result<(), StoreError> {
        for sighting in sightings {
            let held = self.0.get(&sighting.key.0).copied();
            verdicts.push(Seen::judge(held, 0, sighting));
            let Sighting { offset, index, day, fingerprint, .. } = *sighting;
            let position = Position { partition: 0, offset, index };
            self.0.entry(sighting.key.0).or_insert(First { position, day, fingerprint });
        }
        Ok(())
    }
    fn get(&self, key: Key) -> Result<Option<First>, StoreError> {
        Ok(self.0.get(&key.0).copied())
    }
    fn resolved(&self) -> u64 {
        0
    }
    fn persist(&mut self, _: u64) -> Result<(), StoreError> {
        Ok(())
    }
    fn expire(&mut self, _: i64) -> Result<(), StoreError> {
        Ok(())
    }
}

impl DocumentStore for Null {
    fn write(&self, _: Vec<DocumentWrite>) -> BoxFuture<'_, Result<WriteReport, StoreError>> {
        ready(Ok(WriteReport::default()))
    }
    fn answer(&self, _: Question) -> BoxFuture<'_, Result<Table, StoreError>> {
        ready(Ok(Table::Groups(Vec::new())))
    }
    fn contains(&self, _: Key, _: Day) -> BoxFuture<'_, Result<bool, StoreError>> {
        ready(Ok(false))
    }
    fn catalogue(&self, _: &str) -> BoxFuture<'_, Result<Catalogue, StoreError>> {
        ready(Ok(Catalogue::default()))
    }
    fn days(&self) -> BoxFuture<'_, Result<Vec<Day>, StoreError>> {
        ready(Ok(Vec::new()))
    }
    fn drop_before(&self, _: Day) -> BoxFuture<'_, Result<u64, StoreError>> {
        ready(Ok(0))
    }
    fn status(&self) -> BoxFuture<'_, StoreStatus> {
        ready(StoreStatus::default())
    }
    fn close(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        ready(Ok(()))
    }
}

impl RowStore for Null {
    fn write(&self, _: Vec<RowWrite>) -> BoxFuture<'_, Result<WriteReport, StoreError>> {
        ready(Ok(WriteReport::default()))
    }
    fn timeline(
        &self,
        _: &str,
        _: &str,
        _: Option<TimelineCursor>,
        _: usize,
    ) -> BoxFuture<'_, Result<TimelinePage, StoreError>> {
        ready(Ok(TimelinePage::default()))
    }
    fn profile(&self, _: &str, _: &str) -> BoxFuture<'_, Result<Option<Profile>, StoreError>> {
        ready(Ok(None))
    }
    fn contains(
        &self,
        _: &str,
        _: &str,
        _: i64,
        _: Key,
    ) -> BoxFuture<'_, Result<bool, StoreError>> {
        ready(Ok(false))
    }
    fn drop_before(&self, _: Day) -> BoxFuture<'_, Result<u64, StoreError>> {
        ready(Ok(0))
    }
    fn status(&self) -> BoxFuture<'_, StoreStatus> {
        ready(StoreStatus::default())
    }
    fn close(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        ready(Ok(()))
    }
}

fn event(n: u64) -> RecordEvent {
    let id = format!("0192f3c4-7e5b-7abc-8def-{n:012x}");
    let name = if n.is_multiple_of(3) { "page_view" } else { "click" };
    RecordEvent {
        key: AppHash::of("demo").key(&id).to_bytes().to_vec().into(),
        event: Some(Event {
            id,
            name: name.to_owned(),
            time: NOW_MS,
            device_id: format!("device-{:08}", n / EVENTS % 997),
            session_id: "s-1795190400000".to_owned(),
            page: Some(Page { path: "pages/index/index".to_owned(), ..Page::default() }),
            properties: br#"{"sku":"100012043978","price":129.5,"vip":true}"#.to_vec().into(),
            ..Event::default()
        }),
        time_corrected: NOW_MS + n as i64,
        day: Day::of(NOW_MS).0,
        fingerprint: n,
        flags: 0,
    }
}

fn log() -> Log {
    let envelope = Envelope {
        app_id: "demo".to_owned(),
        platform: "jd".to_owned(),
        device: Some(Device { model: "iPhone 15".to_owned(), ..Device::default() }),
        ..Envelope::default()
    };
    let record = |offset: u64| {
        // Every tenth record is a retry of the one before.
        let batch = if offset % 10 == 9 { offset - 1 } else { offset };
        let record = BatchRecord {
            envelope: Some(envelope.clone()),
            received_at: NOW_MS,
            source: "native".to_owned(),
            events: (0..EVENTS).map(|n| event(batch * EVENTS + n)).collect(),
        };
        LogRecord { offset, appended_at_ms: NOW_MS, payload: record.encode_to_vec().into() }
    };
    Log((0..RECORDS).map(record).collect())
}

/// Runs the whole log through; the time from start to the last batch taken.
async fn run(log: Arc<Log>, metrics: Registry) -> Duration {
    let deps = FanOutDeps {
        log,
        dead_letter_log: Arc::new(Log(Vec::new())),
        assignment: Arc::new(StaticAssignment::all(1)),
        dedupe: Arc::new(Index),
        documents: Arc::new(Null),
        rows: Arc::new(Null),
        clock: Arc::new(ManualClock::at(NOW_MS)),
        metrics,
    };
    let began = Instant::now();
    let fan_out = FanOut::start(FanOutConfig::default(), deps).await.expect("starts");
    while fan_out.status().lanes.iter().any(|lane| lane.taken < RECORDS) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    began.elapsed()
}

fn fan_out(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let log = Arc::new(log());
    let last = Mutex::new(String::new());
    let mut group = criterion.benchmark_group("fan_out");
    group.sample_size(10).throughput(Throughput::Elements(RECORDS * EVENTS));
    group.bench_function("log_to_null_stores", |bencher| {
        bencher.iter_custom(|times| {
            (0..times)
                .map(|_| {
                    let metrics = Registry::new();
                    let took = runtime.block_on(run(Arc::clone(&log), metrics.clone()));
                    *last.lock() = metrics.encode().expect("text");
                    took
                })
                .sum()
        });
    });
    group.finish();
    let last = last.into_inner();
    for line in last.lines().filter(|line| line.contains("_seconds_sum")) {
        println!("of one run over {} events: {line}", RECORDS * EVENTS);
    }
}

criterion_group!(benches, fan_out);
criterion_main!(benches);
