//! Sends one batch to a store until every write is taken or put aside.
//!
//! A passing error: the same writes again, for ever, other lanes unaffected; it
//! is never a dead letter, which would hide an outage. A refused write: a dead
//! letter, durable before the batch counts as taken. A request refused as a
//! whole is halved until the write that it is about stands alone.

use std::ops::Range;
use std::sync::Arc;

use parking_lot::Mutex;
use prost::Message;
use sluice_proto::v1::{BatchRecord, RecordEvent};
use sluice_seams::{EventDocument, StoreError};
use tokio::time::Instant;

use crate::backoff::Backoff;
use crate::config::LaneConfig;
use crate::dead_letter::{DeadLetter, REFUSED};
use crate::derive::Derived;
use crate::error::Fatal;
use crate::known::Learned;
use crate::metrics::LaneLabel;
use crate::resolve::Resolved;
use crate::shared::Shared;
use crate::status::{LaneNotes, LaneState};
use crate::store::{LANES, LaneStore};

/// Sends batches of one lane in one partition.
#[derive(Clone)]
pub(crate) struct Writer<S> {
    pub shared: Arc<Shared>,
    pub store: S,
    pub config: LaneConfig,
    pub notes: Arc<Mutex<LaneNotes>>,
}

/// A contiguous stretch of the log, `[from, to)`, with its writes.
pub(crate) struct Batch<W> {
    pub from: u64,
    pub to: u64,
    pub records: Vec<Arc<Resolved>>,
    pub derived: Derived<W>,
}

/// A stretch of which every write is in the store or put aside.
pub(crate) struct Taken {
    pub from: u64,
    pub to: u64,
    pub at_ms: Option<i64>,
    /// What is known now; empty where a write was refused.
    pub learned: Learned,
}

struct RefusedWrite {
    write: usize,
    detail: String,
    attempts: u32,
}

// === impl Writer ===

impl<S: LaneStore> Writer<S> {
    pub(crate) async fn take(self, batch: Batch<S::Write>) -> Result<Taken, Fatal> {
        let Batch { from, to, records, derived } = batch;
        let refused = self.write(&derived.writes).await?;
        let mut learned = derived.learned;
        if !refused.is_empty() {
            learned = Learned::default();
            self.put_aside(&records, &derived.origins, refused).await?;
        }
        let events: usize = records.iter().map(|record| record.first.len()).sum();
        self.shared.metrics.taken.get_or_create(&self.label()).inc_by(events as u64);
        let at_ms = records.last().map(|record| record.appended_at_ms);
        Ok(Taken { from, to, at_ms, learned })
    }

    async fn write(&self, writes: &[S::Write]) -> Result<Vec<RefusedWrite>, Fatal> {
        let mut refused = Vec::new();
        let mut parts: Vec<Range<usize>> = std::iter::once(0..writes.len()).collect();
        while let Some(part) = parts.pop() {
            if part.is_empty() {
                continue;
            }
            let (start, count) = (part.start, part.len());
            let (outcome, attempts) = self.insist(&writes[part]).await?;
            match outcome {
                Ok(report) => {
                    for item in report {
                        if item.index >= count {
                            return Err(Fatal(format!(
                                "store of lane {} refused write {} of {count}",
                                LANES[S::LANE],
                                item.index
                            )));
                        }
                        let (write, detail) = (start + item.index, item.detail);
                        refused.push(RefusedWrite { write, detail, attempts });
                    }
                }
                Err(detail) if count == 1 => {
                    refused.push(RefusedWrite { write: start, detail, attempts });
                }
                Err(_) => {
                    let middle = start + count / 2;
                    parts.extend([middle..start + count, start..middle]);
                }
            }
        }
        Ok(refused)
    }

    /// One request until it does not fail in passing: what was refused of it,
    /// or why all of it was; and the number of calls.
    async fn insist(
        &self,
        writes: &[S::Write],
    ) -> Result<(Result<Vec<sluice_seams::Refused>, String>, u32), Fatal> {
        let mut backoff = Backoff::new(self.config.retry_min_ms, self.config.retry_max_ms);
        let (label, metrics) = (self.label(), &self.shared.metrics);
        for attempts in 1u32.. {
            let started = Instant::now();
            let outcome = self.store.write(writes.to_vec()).await;
            let elapsed = started.elapsed().as_secs_f64();
            metrics.write_seconds.get_or_create(&label).observe(elapsed);
            match outcome {
                Ok(report) => {
                    self.note(LaneState::Writing, None);
                    return Ok((Ok(report.refused), attempts));
                }
                Err(StoreError::Retry { after, detail }) => {
                    metrics.retries.get_or_create(&label).inc();
                    if attempts.is_power_of_two() {
                        let lane = label.lane;
                        tracing::warn!(lane, attempts, detail, "store fails; sending again");
                    }
                    self.note(LaneState::Retrying, Some(detail));
                    tokio::time::sleep(backoff.next(after)).await;
                }
                Err(StoreError::Refused(detail)) => return Ok((Err(detail), attempts)),
                Err(StoreError::Poisoned(detail)) => {
                    self.note(LaneState::Stopped, Some(detail.clone()));
                    return Err(Fatal(format!("store of lane {}: {detail}", label.lane)));
                }
            }
        }
        Err(Fatal("a store failed four thousand million times".to_owned()))
    }

    /// One letter an event, whichever of its writes were refused.
    async fn put_aside(
        &self,
        records: &[Arc<Resolved>],
        origins: &[u32],
        mut refused: Vec<RefusedWrite>,
    ) -> Result<(), Fatal> {
        refused.sort_by_key(|refused| origins[refused.write]);
        refused.dedup_by_key(|refused| origins[refused.write]);
        let events: Vec<&EventDocument> = records.iter().flat_map(|record| &record.first).collect();
        let letters: Vec<_> = refused
            .into_iter()
            .map(|refused| {
                let event = events[origins[refused.write] as usize];
                letter(LANES[S::LANE], event, refused.detail, refused.attempts)
            })
            .collect();
        let count = letters.len() as u64;
        self.shared.dead_letters.append(letters).await?;
        self.shared.metrics.dead_letters.get_or_create(&self.label()).inc_by(count);
        tracing::warn!(lane = LANES[S::LANE], count, "writes were refused and put aside");
        Ok(())
    }

    fn note(&self, state: LaneState, error: Option<String>) {
        let mut notes = self.notes.lock();
        notes.state = state;
        notes.last_error = error;
    }

    fn label(&self) -> LaneLabel {
        LaneLabel { lane: LANES[S::LANE] }
    }
}

fn letter(lane: &str, event: &EventDocument, detail: String, attempts: u32) -> DeadLetter {
    let record = BatchRecord {
        envelope: Some((*event.envelope).clone()),
        received_at: event.received_at_ms,
        source: event.source.to_string(),
        events: vec![RecordEvent { day: event.day.0, ..(*event.event).clone() }],
    };
    DeadLetter {
        lane: lane.to_owned(),
        partition: event.position.partition,
        offset: event.position.offset,
        index: Some(event.position.index),
        reason: REFUSED.to_owned(),
        detail,
        at_ms: 0, // set when it is appended
        attempts,
        app_id: event.app_id().to_owned(),
        event_id: event.inner().id.clone(),
        payload: record.encode_to_vec().into(),
    }
}
