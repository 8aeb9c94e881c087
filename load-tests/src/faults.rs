//! Faults between the parts of a gateway: the process is killed at a step.
//!
//! Installed by `sluice-faulty` from `SLUICE_FAULT=<step>:<n>`: at the n-th time
//! that the step is reached, the process sends itself SIGKILL. Nothing is
//! flushed, no destructor runs. `SLUICE_FAULT=refuse:<event id>` kills nothing:
//! the document store refuses that one event for good. `SLUICE_FAULT=break:<rule>`
//! breaks a rule (`ack_early`, `commit_maximum`, `skip_retry`), to see that the
//! oracle sees it.

use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use sluice_seams::document::{Catalogue, Refused, StoreStatus};
use sluice_seams::{
    AppendError, BoxFuture, Day, DedupeIndex, DedupePartition, DocumentStore, DocumentWrite,
    EventLog, First, Key, LogRecord, LogStatus, Question, Seen, Sighting, StoreError, Table,
    WriteReport,
};

/// Where the process dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// A record is about to be handed to the log.
    BeforeAppend,
    /// The record is durable, its sender not yet told.
    AfterAppend,
    /// `D` has decided and knows it in memory only.
    BeforePersist,
    /// A store has taken a batch, the lane does not know yet.
    AfterStoreWrite,
    /// A lane is about to commit.
    BeforeCommit,
}

/// What goes wrong.
#[derive(Debug, Clone)]
pub enum Fault {
    /// The process dies at a step, when its last turn is used up.
    Kill(Step, Arc<AtomicU64>),
    /// The document store never takes the event of this id.
    Refuse(Arc<str>),
    /// The gateway breaks one of its own rules: an oracle must see it.
    Break(Rule),
}

/// A rule that a broken gateway does not keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// Acknowledges what was handed to the log and is not durable yet.
    AckEarly,
    /// Commits the log's end, whatever the lane has taken.
    CommitMaximum,
    /// Takes a passing error of the document store for success.
    SkipRetry,
}

/// A log that may kill the process.
pub struct FaultyLog(pub Arc<dyn EventLog>, pub Fault);

/// A document store that may kill the process, or refuse an event.
pub struct FaultyDocuments(pub Arc<dyn DocumentStore>, pub Fault);

/// A dedupe index that may kill the process.
pub struct FaultyDedupe(pub Arc<dyn DedupeIndex>, pub Fault);

struct FaultyPartition(Box<dyn DedupePartition>, Fault);

// === impl Step ===

impl Step {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::BeforeAppend,
        Self::AfterAppend,
        Self::BeforePersist,
        Self::AfterStoreWrite,
        Self::BeforeCommit,
    ];

    /// Its word in `SLUICE_FAULT`.
    pub fn name(self) -> &'static str {
        match self {
            Self::BeforeAppend => "before_append",
            Self::AfterAppend => "after_append",
            Self::BeforePersist => "before_persist",
            Self::AfterStoreWrite => "after_store_write",
            Self::BeforeCommit => "before_commit",
        }
    }
}

// === impl Rule ===

impl Rule {
    /// All of them, by their words in `SLUICE_FAULT`.
    pub const ALL: [(&'static str, Self); 3] = [
        ("ack_early", Self::AckEarly),
        ("commit_maximum", Self::CommitMaximum),
        ("skip_retry", Self::SkipRetry),
    ];
}

// === impl Fault ===

impl Fault {
    /// Dies here if this is the step and its turn.
    fn at(&self, here: Step) {
        let Self::Kill(step, turns_left) = self else { return };
        if here == *step && turns_left.fetch_sub(1, Ordering::SeqCst) == 1 {
            let own = rustix::process::getpid();
            let killed = rustix::process::kill_process(own, rustix::process::Signal::KILL);
            panic!("SIGKILL to oneself cannot fail: {killed:?}");
        }
    }

    fn breaks(&self, rule: Rule) -> bool {
        matches!(self, Self::Break(broken) if *broken == rule)
    }

    fn refuses(&self, write: &DocumentWrite) -> bool {
        match (self, write) {
            (Self::Refuse(id), DocumentWrite::Event(document)) => document.inner().id == **id,
            _ => false,
        }
    }
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wanted = || {
            let steps = Step::ALL.map(Step::name).join(", ");
            let rules = Rule::ALL.map(|(name, _)| name).join(", ");
            format!(
                "SLUICE_FAULT={text}: wanted is refuse:<event id>, break:<rule> ({rules}) or \
                 <step>:<n> ({steps})"
            )
        };
        let (name, turn) = text.split_once(':').ok_or_else(wanted)?;
        if name == "refuse" {
            return Ok(Self::Refuse(turn.into()));
        }
        if name == "break" {
            let rule = Rule::ALL.into_iter().find(|(name, _)| *name == turn);
            return Ok(Self::Break(rule.ok_or_else(wanted)?.1));
        }
        let step = Step::ALL.into_iter().find(|step| step.name() == name).ok_or_else(wanted)?;
        let turn: u64 = turn.parse().ok().filter(|turn| *turn > 0).ok_or_else(wanted)?;
        Ok(Self::Kill(step, Arc::new(AtomicU64::new(turn))))
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
        if fault.breaks(Rule::AckEarly) {
            let offset = self.0.bounds(partition).1;
            return Box::pin(async move { Ok(offset) });
        }
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

    fn bounds_at_ms(&self, now_ms: i64) -> i64 {
        self.0.bounds_at_ms(now_ms)
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
        let next = match self.1.breaks(Rule::CommitMaximum) {
            true => self.0.bounds(partition).1.max(next),
            false => next,
        };
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
            let total = writes.len();
            let (mut taken, mut refused) = (Vec::with_capacity(total), Vec::new());
            let mut indices = Vec::with_capacity(total);
            for (index, write) in writes.into_iter().enumerate() {
                if self.1.refuses(&write) {
                    refused.push(Refused { index, detail: "injected: refused".to_owned() });
                } else {
                    indices.push(index);
                    taken.push(write);
                }
            }
            let mut report = match self.0.write(taken).await {
                Err(StoreError::Retry { .. }) if self.1.breaks(Rule::SkipRetry) => {
                    WriteReport::default()
                }
                outcome => outcome?,
            };
            self.1.at(Step::AfterStoreWrite);
            report.refused.iter_mut().for_each(|refused| refused.index = indices[refused.index]);
            report.refused.append(&mut refused);
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

// === impl FaultyDedupe ===

impl DedupeIndex for FaultyDedupe {
    fn open(&self, partition: u32) -> Result<Box<dyn DedupePartition>, StoreError> {
        Ok(Box::new(FaultyPartition(self.0.open(partition)?, self.1.clone())))
    }

    fn find(&self, key: Key) -> Result<Option<First>, StoreError> {
        self.0.find(key)
    }
}

impl DedupePartition for FaultyPartition {
    fn resolve(
        &mut self,
        log_time_ms: i64,
        sightings: &[Sighting],
        verdicts: &mut Vec<Seen>,
    ) -> Result<(), StoreError> {
        self.0.resolve(log_time_ms, sightings, verdicts)
    }

    fn get(&self, key: Key) -> Result<Option<First>, StoreError> {
        self.0.get(key)
    }

    fn resolved(&self) -> u64 {
        self.0.resolved()
    }

    fn persist(&mut self, next: u64) -> Result<(), StoreError> {
        self.1.at(Step::BeforePersist);
        self.0.persist(next)
    }

    fn expire(&mut self, log_time_ms: i64) -> Result<(), StoreError> {
        self.0.expire(log_time_ms)
    }
}
