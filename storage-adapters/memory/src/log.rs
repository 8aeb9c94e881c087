//! The event log in memory: durable for as long as the value lives.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use parking_lot::Mutex;
use sluice_seams::{AppendError, BoxFuture, EventLog, LogRecord, LogStatus, StoreError};
use tokio::sync::watch;

use crate::fault::{Fault, Script};

/// How long a scripted passing fault asks the caller to wait.
const RETRY: Duration = Duration::from_millis(10);

/// An event log in memory. Clones are the same log.
///
/// [`MemoryLog::faults`] scripts what `append` does: `RetryBefore` refuses it,
/// `RetryAfter` and `RetryAfterSome` (of one or more) take the record and leave
/// its outcome unknown, `Poison` ends the log for good, `Slow` takes it at once
/// and answers late.
#[derive(Debug, Clone)]
pub struct MemoryLog {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    state: Mutex<State>,
    ends: Vec<watch::Sender<u64>>,
    faults: Script,
    now_ms: AtomicI64,
}

#[derive(Debug)]
struct State {
    partitions: Vec<Partition>,
    lanes: BTreeMap<String, Vec<Option<u64>>>,
    closed: bool,
    poisoned: bool,
}

#[derive(Debug, Clone, Default)]
struct Partition {
    first: u64,
    records: Vec<LogRecord>,
}

// === impl MemoryLog ===

impl MemoryLog {
    /// An empty log whose clock stands at 0.
    pub fn new(partitions: u32) -> Self {
        let count = partitions as usize;
        let state = State {
            partitions: vec![Partition::default(); count],
            lanes: BTreeMap::new(),
            closed: false,
            poisoned: false,
        };
        let ends = (0..count).map(|_| watch::Sender::new(0)).collect();
        let now_ms = AtomicI64::new(0);
        let faults = Script::default();
        Self { inner: Arc::new(Inner { state: Mutex::new(state), ends, faults, now_ms }) }
    }

    /// The script of its faults.
    pub fn faults(&self) -> &Script {
        &self.inner.faults
    }

    /// Sets its clock, milliseconds since the Unix epoch.
    pub fn set_now_ms(&self, now_ms: i64) {
        self.inner.now_ms.store(now_ms, Ordering::Relaxed);
    }

    /// All records kept of a partition.
    pub fn records(&self, partition: u32) -> Vec<LogRecord> {
        let state = self.inner.state.lock();
        state.partitions.get(partition as usize).map(|p| p.records.clone()).unwrap_or_default()
    }

    /// Drops records appended before `oldest_kept_ms` that every lane has taken.
    pub fn retain(&self, oldest_kept_ms: i64) {
        let mut state = self.inner.state.lock();
        let State { partitions, lanes, .. } = &mut *state;
        for (number, partition) in partitions.iter_mut().enumerate() {
            let taken = lanes.values().map(|lane| lane[number].unwrap_or(0)).min();
            let taken = taken.unwrap_or(u64::MAX);
            let keep = partition.records.partition_point(|record| {
                record.offset < taken && record.appended_at_ms < oldest_kept_ms
            });
            partition.records.drain(..keep);
            partition.first += keep as u64;
        }
    }

    /// Opens a closed log again, as a restart would: what it holds stays, and a
    /// poisoned log is sound again.
    pub fn reopen(&self) {
        let mut state = self.inner.state.lock();
        state.closed = false;
        state.poisoned = false;
    }

    fn take(&self, partition: u32, payload: Bytes, fault: &Fault) -> Result<u64, AppendError> {
        let mut state = self.inner.state.lock();
        if *fault == Fault::Poison {
            state.poisoned = true;
        }
        if state.poisoned {
            return Err(AppendError::Poisoned("the memory log was poisoned".into()));
        }
        let refuse =
            |detail: &str| Err(AppendError::NotWritten { after: RETRY, detail: detail.to_owned() });
        if state.closed {
            return refuse("the memory log is closed");
        }
        if matches!(fault, Fault::RetryBefore | Fault::RetryAfterSome(0)) {
            return refuse("a scripted fault");
        }
        let Some(kept) = state.partitions.get_mut(partition as usize) else {
            return refuse("no such partition");
        };
        let offset = kept.end();
        let now_ms = self.inner.now_ms.load(Ordering::Relaxed);
        let last_ms = kept.records.last().map_or(now_ms, |last| last.appended_at_ms);
        let appended_at_ms = now_ms.max(last_ms);
        kept.records.push(LogRecord { offset, appended_at_ms, payload });
        self.inner.ends[partition as usize].send_replace(offset + 1);
        match fault {
            Fault::RetryAfter | Fault::RetryAfterSome(_) => {
                Err(AppendError::Unknown("a scripted fault".into()))
            }
            _ => Ok(offset),
        }
    }

    fn place(&self, lane: &str, partition: u32, next: u64, rewind: bool) -> Result<(), StoreError> {
        let mut state = self.inner.state.lock();
        let end = state.partition(partition)?.end();
        if next > end {
            return Err(StoreError::Refused(format!(
                "lane {lane} cannot stand at {next}: partition {partition} ends at {end}"
            )));
        }
        let place = &mut state.lane(lane)[partition as usize];
        if rewind || place.is_none_or(|present| next > present) {
            *place = Some(next);
        }
        Ok(())
    }
}

impl EventLog for MemoryLog {
    fn partitions(&self) -> u32 {
        self.inner.ends.len() as u32
    }

    fn append(
        &self,
        partition: u32,
        payload: Bytes,
    ) -> BoxFuture<'static, Result<u64, AppendError>> {
        let fault = self.inner.faults.take();
        let outcome = self.take(partition, payload, &fault);
        async move {
            if let Fault::Slow(delay) = fault {
                tokio::time::sleep(delay).await;
            }
            outcome
        }
        .boxed()
    }

    fn read(
        &self,
        partition: u32,
        from: u64,
        bytes_max: usize,
    ) -> BoxFuture<'_, Result<Vec<LogRecord>, StoreError>> {
        async move {
            let state = self.inner.state.lock();
            let kept = &state.partition(partition)?.records;
            let begin = kept.partition_point(|record| record.offset < from);
            let mut bytes = 0;
            let some = kept[begin..].iter().take_while(|record| {
                let room = bytes == 0 || bytes < bytes_max;
                // An empty payload costs something as well.
                bytes += record.payload.len().max(1);
                room
            });
            Ok(some.cloned().collect())
        }
        .boxed()
    }

    fn wait(&self, partition: u32, offset: u64) -> BoxFuture<'_, ()> {
        async move {
            let Some(end) = self.inner.ends.get(partition as usize) else {
                return futures::future::pending().await;
            };
            if end.subscribe().wait_for(|&end| end > offset).await.is_err() {
                futures::future::pending().await
            }
        }
        .boxed()
    }

    fn bounds(&self, partition: u32) -> (u64, u64) {
        let state = self.inner.state.lock();
        state.partition(partition).map_or((0, 0), |kept| (kept.first, kept.end()))
    }

    fn offset_at(&self, partition: u32, time_ms: i64) -> BoxFuture<'_, Result<u64, StoreError>> {
        async move {
            let state = self.inner.state.lock();
            let kept = state.partition(partition)?;
            let found = kept.records.iter().find(|record| record.appended_at_ms >= time_ms);
            Ok(found.map_or(kept.end(), |record| record.offset))
        }
        .boxed()
    }

    fn declare_lane(&self, lane: &str) -> Result<(), StoreError> {
        self.inner.state.lock().lane(lane);
        Ok(())
    }

    fn committed(&self, lane: &str, partition: u32) -> Result<Option<u64>, StoreError> {
        let state = self.inner.state.lock();
        state.partition(partition)?;
        Ok(state.lanes.get(lane).and_then(|lane| lane[partition as usize]))
    }

    fn commit(
        &self,
        lane: &str,
        partition: u32,
        next: u64,
    ) -> BoxFuture<'_, Result<(), StoreError>> {
        futures::future::ready(self.place(lane, partition, next, false)).boxed()
    }

    fn rewind(&self, lane: &str, partition: u32, to: u64) -> BoxFuture<'_, Result<(), StoreError>> {
        futures::future::ready(self.place(lane, partition, to, true)).boxed()
    }

    fn status(&self) -> LogStatus {
        let state = self.inner.state.lock();
        let refusing = match (state.poisoned, state.closed) {
            (true, _) => Some("the memory log was poisoned"),
            (_, true) => Some("the memory log is closed"),
            _ => None,
        };
        let last = state.partitions.iter().filter_map(|kept| kept.records.last());
        let last_ms = last.map(|record| record.appended_at_ms).max();
        let now_ms = self.inner.now_ms.load(Ordering::Relaxed);
        LogStatus {
            refusing: refusing.map(str::to_owned),
            disk_bytes: None,
            disk_free_bytes: None,
            last_append_age_ms: last_ms
                .map(|last_ms| u64::try_from(now_ms.saturating_sub(last_ms)).unwrap_or(0)),
        }
    }

    fn close(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        self.inner.state.lock().closed = true;
        futures::future::ready(Ok(())).boxed()
    }
}

// === impl State ===

impl State {
    fn partition(&self, partition: u32) -> Result<&Partition, StoreError> {
        self.partitions.get(partition as usize).ok_or_else(|| {
            let count = self.partitions.len();
            StoreError::Refused(format!("there is no partition {partition} of {count}"))
        })
    }

    fn lane(&mut self, lane: &str) -> &mut Vec<Option<u64>> {
        let count = self.partitions.len();
        self.lanes.entry(lane.to_owned()).or_insert_with(|| vec![None; count])
    }
}

// === impl Partition ===

impl Partition {
    fn end(&self) -> u64 {
        self.first + self.records.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use sluice_seams::contract::event_log::{self as contract, Fixture};

    use super::*;

    struct Memory(MemoryLog);

    impl Fixture for Memory {
        fn log(&self) -> Arc<dyn EventLog> {
            Arc::new(self.0.clone())
        }

        fn reopen(&mut self) -> BoxFuture<'_, Option<()>> {
            self.0.reopen();
            futures::future::ready(Some(())).boxed()
        }

        fn set_now_ms(&self, now_ms: i64) {
            self.0.set_now_ms(now_ms);
        }

        fn retain(&self) -> BoxFuture<'_, ()> {
            let now_ms = self.0.inner.now_ms.load(Ordering::Relaxed);
            self.0.retain(now_ms - Self::RETENTION_MS);
            futures::future::ready(()).boxed()
        }
    }

    macro_rules! duties {
        ($($duty:ident)*) => {$(
            #[tokio::test]
            async fn $duty() {
                contract::$duty(Memory(MemoryLog::new(2))).await;
            }
        )*};
    }

    duties! {
        keeps_order reads_from_anywhere keeps_any_payload wakes_who_waits finds_a_time
        delivers_without_the_future serves_many_callers commits_rise survives_a_restart
        retention_waits_for_lanes closes refuses_nonsense
    }

    #[tokio::test]
    async fn follows_its_script() {
        let log = MemoryLog::new(1);
        let append = || log.append(0, Bytes::from_static(b"x"));
        log.faults().then([Fault::RetryBefore, Fault::RetryAfter, Fault::None, Fault::Poison]);
        assert!(matches!(append().await, Err(AppendError::NotWritten { .. })));
        assert_eq!(log.records(0).len(), 0);
        assert!(matches!(append().await, Err(AppendError::Unknown(_))));
        assert_eq!(log.records(0).len(), 1);
        assert_eq!(append().await.expect("append"), 1);
        assert!(matches!(append().await, Err(AppendError::Poisoned(_))));
        assert!(matches!(append().await, Err(AppendError::Poisoned(_))), "for good");
        assert_eq!(log.records(0).len(), 2);
        assert!(log.status().refusing.is_some());
    }
}
