//! Faults between the parts of a gateway: the process is killed at a step.
//!
//! Installed by `sluice-faulty` from `SLUICE_FAULT=<step>:<n>`: at the n-th time
//! that the step is reached, the process sends itself SIGKILL. Nothing is
//! flushed, no destructor runs.

use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use sluice_seams::document::{Catalogue, StoreStatus};
use sluice_seams::{
    AppendError, BoxFuture, Day, DocumentStore, DocumentWrite, EventLog, Key, LogRecord, LogStatus,
    Question, StoreError, Table, WriteReport,
};

/// Where the process dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// A record is about to be handed to the log.
    BeforeAppend,
    /// The record is durable, its sender not yet told.
    AfterAppend,
    /// A store has taken a batch, the lane does not know yet.
    AfterStoreWrite,
    /// A lane is about to commit.
    BeforeCommit,
}

/// A step, and at which of its turns.
#[derive(Debug, Clone)]
pub struct Fault {
    step: Step,
    turns_left: Arc<AtomicU64>,
}

/// A log that may kill the process.
pub struct FaultyLog(pub Arc<dyn EventLog>, pub Fault);

/// A document store that may kill the process.
pub struct FaultyDocuments(pub Arc<dyn DocumentStore>, pub Fault);

// === impl Step ===

impl Step {
    /// All of them.
    pub const ALL: [Self; 4] =
        [Self::BeforeAppend, Self::AfterAppend, Self::AfterStoreWrite, Self::BeforeCommit];

    /// Its word in `SLUICE_FAULT`.
    pub fn name(self) -> &'static str {
        match self {
            Self::BeforeAppend => "before_append",
            Self::AfterAppend => "after_append",
            Self::AfterStoreWrite => "after_store_write",
            Self::BeforeCommit => "before_commit",
        }
    }
}

// === impl Fault ===

impl Fault {
    /// Dies here if this is the step and its turn.
    fn at(&self, step: Step) {
        if step == self.step && self.turns_left.fetch_sub(1, Ordering::SeqCst) == 1 {
            let own = rustix::process::getpid();
            let killed = rustix::process::kill_process(own, rustix::process::Signal::KILL);
            panic!("SIGKILL to oneself cannot fail: {killed:?}");
        }
    }
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wanted = || format!("SLUICE_FAULT={text}: wanted is <step>:<n>, n from 1");
        let (name, turn) = text.split_once(':').ok_or_else(wanted)?;
        let step = Step::ALL.into_iter().find(|step| step.name() == name).ok_or_else(wanted)?;
        let turn: u64 = turn.parse().ok().filter(|turn| *turn > 0).ok_or_else(wanted)?;
        Ok(Self { step, turns_left: Arc::new(AtomicU64::new(turn)) })
    }
}

// === impl FaultyLog ===

impl EventLog for FaultyLog {
    fn partitions(&self) -> u32 {
        self.0.partitions()
    }

    fn append(
        &self,
        partition: u32,
        payload: Bytes,
    ) -> BoxFuture<'static, Result<u64, AppendError>> {
        self.1.at(Step::BeforeAppend);
        let (appended, fault) = (self.0.append(partition, payload), self.1.clone());
        Box::pin(async move {
            let result = appended.await;
            fault.at(Step::AfterAppend);
            result
        })
    }

    fn read(
        &self,
        partition: u32,
        from: u64,
        bytes_max: usize,
    ) -> BoxFuture<'_, Result<Vec<LogRecord>, StoreError>> {
        self.0.read(partition, from, bytes_max)
    }

    fn wait(&self, partition: u32, offset: u64) -> BoxFuture<'_, ()> {
        self.0.wait(partition, offset)
    }

    fn bounds(&self, partition: u32) -> (u64, u64) {
        self.0.bounds(partition)
    }

    fn offset_at(&self, partition: u32, time_ms: i64) -> BoxFuture<'_, Result<u64, StoreError>> {
        self.0.offset_at(partition, time_ms)
    }

    fn declare_lane(&self, lane: &str) -> Result<(), StoreError> {
        self.0.declare_lane(lane)
    }

    fn committed(&self, lane: &str, partition: u32) -> Result<Option<u64>, StoreError> {
        self.0.committed(lane, partition)
    }

    fn commit(
        &self,
        lane: &str,
        partition: u32,
        next: u64,
    ) -> BoxFuture<'_, Result<(), StoreError>> {
        self.1.at(Step::BeforeCommit);
        self.0.commit(lane, partition, next)
    }

    fn rewind(&self, lane: &str, partition: u32, to: u64) -> BoxFuture<'_, Result<(), StoreError>> {
        self.0.rewind(lane, partition, to)
    }

    fn status(&self) -> LogStatus {
        self.0.status()
    }

    fn close(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        self.0.close()
    }
}

// === impl FaultyDocuments ===

impl DocumentStore for FaultyDocuments {
    fn write(&self, writes: Vec<DocumentWrite>) -> BoxFuture<'_, Result<WriteReport, StoreError>> {
        Box::pin(async move {
            let report = self.0.write(writes).await?;
            self.1.at(Step::AfterStoreWrite);
            Ok(report)
        })
    }

    fn answer(&self, question: Question) -> BoxFuture<'_, Result<Table, StoreError>> {
        self.0.answer(question)
    }

    fn contains(&self, key: Key, day: Day) -> BoxFuture<'_, Result<bool, StoreError>> {
        self.0.contains(key, day)
    }

    fn catalogue(&self, app_id: &str) -> BoxFuture<'_, Result<Catalogue, StoreError>> {
        self.0.catalogue(app_id)
    }

    fn days(&self) -> BoxFuture<'_, Result<Vec<Day>, StoreError>> {
        self.0.days()
    }

    fn drop_before(&self, day: Day) -> BoxFuture<'_, Result<u64, StoreError>> {
        self.0.drop_before(day)
    }

    fn status(&self) -> BoxFuture<'_, StoreStatus> {
        self.0.status()
    }

    fn close(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        self.0.close()
    }
}
