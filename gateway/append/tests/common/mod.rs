//! A log whose every append is scripted, and short ways to say a batch.

#![allow(dead_code)] // each test file uses a part

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use parking_lot::Mutex;
use prost::Message;
use sluice_admit::{AppsConfig, Tenants};
use sluice_append::{Collect, CollectConfig};
use sluice_event::{Batch, Collector, Dialect, Event, Grant, Parsed, Presented, Reason, Receipt};
use sluice_proto::v1::BatchRecord;
use sluice_remember::{RememberConfig, Remembered};
use sluice_seams::log::LogStatus;
use sluice_seams::{AppendError, BoxFuture, EventLog, LogRecord, StoreError};
use sluice_telemetry::{ManualClock, Registry};
use tokio::sync::watch;

pub const NOW: i64 = 1_795_190_400_000;

/// What one append does.
#[derive(Clone)]
pub enum Step {
    /// Durable at once.
    Append,
    /// Refused before anything is written.
    NotWritten,
    /// Written, but the caller is told that nobody knows.
    UnknownButWritten,
    /// Not written, and nobody knows.
    UnknownNotWritten,
    /// The log is broken for good.
    Poison,
    /// Undecided until the gate is opened.
    Gate(Gate),
}

/// Decides a held append from outside.
#[derive(Clone)]
pub struct Gate(watch::Sender<Option<bool>>);

impl Gate {
    pub fn new() -> Self {
        Self(watch::Sender::new(None))
    }

    /// Lets the append succeed or fail.
    pub fn open(&self, durable: bool) {
        self.0.send_replace(Some(durable));
    }
}

#[derive(Default)]
struct State {
    script: VecDeque<Step>,
    partitions: Vec<Vec<LogRecord>>,
    /// Appends called, whatever came of them.
    calls: usize,
    read_fails: u32,
    refusing: Option<String>,
}

/// The log.
#[derive(Clone)]
pub struct ScriptedLog(Arc<Mutex<State>>);

impl ScriptedLog {
    pub fn new(partitions: usize) -> Self {
        let partitions = vec![Vec::new(); partitions];
        Self(Arc::new(Mutex::new(State { partitions, ..State::default() })))
    }

    /// What the next appends do; `Append` once used up.
    pub fn then(&self, steps: impl IntoIterator<Item = Step>) {
        self.0.lock().script.extend(steps);
    }

    pub fn calls(&self) -> usize {
        self.0.lock().calls
    }

    pub fn fail_reads(&self, times: u32) {
        self.0.lock().read_fails = times;
    }

    pub fn refuse(&self, why: Option<&str>) {
        self.0.lock().refusing = why.map(str::to_owned);
    }

    /// Ids of durable events with their partition, in order.
    pub fn ids(&self) -> Vec<(usize, String)> {
        let mut ids = Vec::new();
        for (partition, record) in self.records() {
            let events = record.events.into_iter().filter_map(|event| event.event);
            ids.extend(events.map(|event| (partition, event.id)));
        }
        ids
    }

    pub fn count(&self, id: &str) -> usize {
        self.ids().iter().filter(|(_, other)| other == id).count()
    }

    pub fn records(&self) -> Vec<(usize, BatchRecord)> {
        let state = self.0.lock();
        let partitions = state.partitions.iter().enumerate();
        partitions
            .flat_map(|(partition, records)| records.iter().map(move |record| (partition, record)))
            .map(|(partition, record)| {
                (partition, BatchRecord::decode(record.payload.clone()).expect("a record"))
            })
            .collect()
    }

    fn write(&self, partition: u32, payload: Bytes) -> Result<u64, AppendError> {
        let mut state = self.0.lock();
        let records = &mut state.partitions[partition as usize];
        let offset = records.len() as u64;
        records.push(LogRecord { offset, appended_at_ms: NOW, payload });
        Ok(offset)
    }
}

fn not_written() -> AppendError {
    AppendError::NotWritten { after: Duration::from_millis(700), detail: "scripted".into() }
}

impl EventLog for ScriptedLog {
    fn partitions(&self) -> u32 {
        self.0.lock().partitions.len() as u32
    }

    fn append(
        &self,
        partition: u32,
        payload: Bytes,
    ) -> BoxFuture<'static, Result<u64, AppendError>> {
        let step = {
            let mut state = self.0.lock();
            state.calls += 1;
            state.script.pop_front().unwrap_or(Step::Append)
        };
        let unknown = || AppendError::Unknown("scripted".into());
        let result = match step {
            Step::Append => self.write(partition, payload),
            Step::NotWritten => Err(not_written()),
            Step::UnknownButWritten => self.write(partition, payload).and_then(|_| Err(unknown())),
            Step::UnknownNotWritten => Err(unknown()),
            Step::Poison => Err(AppendError::Poisoned("scripted".into())),
            Step::Gate(Gate(gate)) => {
                // Handed over: it goes on though the future is dropped.
                let (log, mut opened) = (self.clone(), gate.subscribe());
                let task = tokio::spawn(async move {
                    let durable = opened.wait_for(Option::is_some).await.map(|open| *open);
                    match durable {
                        Ok(Some(true)) => log.write(partition, payload),
                        _ => Err(not_written()),
                    }
                });
                return async move { task.await.expect("no panic") }.boxed();
            }
        };
        async move { result }.boxed()
    }

    fn read(
        &self,
        partition: u32,
        from: u64,
        _bytes_max: usize,
    ) -> BoxFuture<'_, Result<Vec<LogRecord>, StoreError>> {
        let mut state = self.0.lock();
        let result = if state.read_fails > 0 {
            state.read_fails -= 1;
            Err(StoreError::retry(Duration::from_millis(1), "scripted"))
        } else {
            // Two at a time, so that several reads are needed.
            let records = state.partitions[partition as usize].iter();
            Ok(records.filter(|record| record.offset >= from).take(2).cloned().collect())
        };
        async move { result }.boxed()
    }

    fn wait(&self, _: u32, _: u64) -> BoxFuture<'_, ()> {
        async {}.boxed()
    }

    fn bounds(&self, partition: u32) -> (u64, u64) {
        (0, self.0.lock().partitions[partition as usize].len() as u64)
    }

    fn offset_at(&self, partition: u32, time_ms: i64) -> BoxFuture<'_, Result<u64, StoreError>> {
        let end = self.bounds(partition).1;
        async move { Ok(if time_ms <= NOW { 0 } else { end }) }.boxed()
    }

    fn declare_lane(&self, _: &str) -> Result<(), StoreError> {
        Ok(())
    }

    fn committed(&self, _: &str, _: u32) -> Result<Option<u64>, StoreError> {
        Ok(None)
    }

    fn commit(&self, _: &str, _: u32, _: u64) -> BoxFuture<'_, Result<(), StoreError>> {
        async { Ok(()) }.boxed()
    }

    fn rewind(&self, _: &str, _: u32, _: u64) -> BoxFuture<'_, Result<(), StoreError>> {
        async { Ok(()) }.boxed()
    }

    fn status(&self) -> LogStatus {
        LogStatus { refusing: self.0.lock().refusing.clone(), ..LogStatus::default() }
    }

    fn close(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        async { Ok(()) }.boxed()
    }
}

/// A collector over a scripted log, and what is seen of it.
pub struct Bench {
    pub collect: Collect,
    pub log: ScriptedLog,
    pub registry: Registry,
    pub clock: ManualClock,
    pub grant: Grant,
}

impl Bench {
    /// Warm and ready, with short times.
    pub async fn new(partitions: usize) -> Self {
        let bench = Self::cold(ScriptedLog::new(partitions), short());
        bench.collect.warm(|_| {}).await.expect("an empty log is read");
        bench
    }

    pub fn cold(log: ScriptedLog, config: CollectConfig) -> Self {
        let (registry, clock) = (Registry::new(), ManualClock::at(NOW));
        let tenants = Tenants::new(AppsConfig::demo(), Arc::new(clock.clone()), &registry);
        let tenants = Arc::new(tenants.expect("the demo config is valid"));
        let remember = RememberConfig { bytes_max: 1 << 20, ..Default::default() };
        let remembered = Remembered::new(remember, &registry).expect("valid");
        let (logs, clocks) = (Arc::new(log.clone()), Arc::new(clock.clone()));
        let collect = Collect::new(config, tenants, remembered, logs, clocks, &registry);
        let collect = collect.expect("valid");
        let grant = grant(&collect, "demo-write-key");
        Self { collect, log, registry, clock, grant }
    }

    /// Posts a batch and hands back what is left to be awaited.
    pub fn post(&self, events: Vec<Parsed<'_>>) -> impl Future<Output = Receipt> + Send + 'static {
        let batch = Batch { events, ..Batch::default() };
        self.collect.collect(&self.grant, Dialect::Native, batch).expect("let in")
    }

    pub async fn send(&self, ids: &[&str]) -> Receipt {
        self.post(ids.iter().map(|id| event(id)).collect()).await
    }

    /// The value of a metric, 0 where it was never counted. `labels` all occur
    /// in its line.
    pub fn metric(&self, name: &str, labels: &[&str]) -> u64 {
        let text = self.registry.encode().expect("encodes");
        let lines = text.lines().filter(|line| {
            line.starts_with(name) && labels.iter().all(|label| line.contains(label))
        });
        lines.map(|line| line.rsplit(' ').next().and_then(|v| v.parse().ok()).unwrap_or(0)).sum()
    }
}

pub fn short() -> CollectConfig {
    CollectConfig { append_timeout_ms: 100, in_flight_wait_ms: 400, ..Default::default() }
}

pub fn grant(collect: &Collect, key: &str) -> Grant {
    let presented = Presented { key: Some(key), ..Presented::default() };
    collect.authenticate(&presented).expect("a demo key")
}

/// A good event whose device follows from its id.
pub fn event(id: &str) -> Parsed<'static> {
    named(id, &format!("device of {id}"), "page_view")
}

pub fn named(id: &str, device_id: &str, name: &str) -> Parsed<'static> {
    Parsed::Event(Event {
        id: id.to_owned().into(),
        name: name.to_owned().into(),
        time_ms: Some(NOW),
        device_id: device_id.to_owned().into(),
        properties: br#"{"price":1}"#.to_vec().into(),
        bytes: 120,
        ..Event::default()
    })
}

/// `accepted, duplicates, rejected, retry`.
pub fn counts(receipt: &Receipt) -> (u32, u32, u32, u32) {
    (receipt.accepted, receipt.duplicates, receipt.rejected, receipt.retry)
}

pub fn reasons(receipt: &Receipt) -> Vec<Option<Reason>> {
    receipt.results.iter().map(|result| result.reason).collect()
}
