//! One task per store and partition: takes first events in the order of the
//! log, sends them in batches, commits behind them.
//!
//! A lane that keeps up takes from the window; one that lags or was set back
//! reads the log itself and looks up who was first. It never reads past what
//! was resolved, and never commits past what its store has taken or past what
//! is durable in `D`. Batches form by themselves: while the store is busy the
//! next one fills; while it is idle a few milliseconds are waited for company.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesOrdered;
use parking_lot::Mutex;
use sluice_seams::{EventDocument, StoreError};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::task::AbortOnDropHandle;

use crate::backoff::Backoff;
use crate::commit::Watermark;
use crate::error::Fatal;
use crate::forgotten::Forgotten;
use crate::known::Known;
use crate::metrics::{LaneLabel, PartitionLabel};
use crate::replay::Rewind;
use crate::resolve::{Resolved, recall};
use crate::shared::Partition;
use crate::status::{LaneState, ReplayProgress};
use crate::store::{LANES, LaneStore};
use crate::tasks::{Stop, blocking};
use crate::window::Found;
use crate::write::{Batch, Taken, Writer};

/// How often a lane looks at its lag for the metrics.
const OBSERVE_EVERY: Duration = Duration::from_secs(1);

type InFlight = FuturesOrdered<AbortOnDropHandle<Result<Taken, Fatal>>>;

pub(crate) struct Lane<S: LaneStore> {
    writer: Writer<S>,
    partition: Arc<Partition>,
    /// Reads next.
    at: u64,
    /// Everything below was sent.
    sent: u64,
    queue: VecDeque<Arc<Resolved>>,
    queue_events: usize,
    queue_bytes: usize,
    queue_since: Instant,
    in_flight: InFlight,
    /// Append time of the first record of each batch in flight.
    in_flight_ms: VecDeque<i64>,
    mark: Watermark,
    commit_from: Instant,
    read_from: Instant,
    backoff: Backoff,
    known: Known,
    forgotten: Arc<Mutex<Forgotten>>,
}

// === impl Lane ===

impl<S: LaneStore> Lane<S> {
    pub(crate) fn new(mut writer: Writer<S>, partition: Arc<Partition>, at: u64) -> Self {
        // A batch of nothing would never be sent.
        writer.config.batch_events_max = writer.config.batch_events_max.max(1);
        writer.config.batch_bytes_max = writer.config.batch_bytes_max.max(1);
        let config = &writer.shared.config;
        let known = Known::new(config.known_users_max);
        let forgotten = Forgotten::new(config.forgotten_max, config.dedupe_window_ms);
        let now = Instant::now();
        Self {
            partition,
            at,
            sent: at,
            queue: VecDeque::new(),
            queue_events: 0,
            queue_bytes: 0,
            queue_since: now,
            in_flight: InFlight::new(),
            in_flight_ms: VecDeque::new(),
            mark: Watermark::at(at),
            commit_from: now,
            read_from: now,
            backoff: Backoff::new(50, 10_000),
            known,
            forgotten: Arc::new(Mutex::new(forgotten)),
            writer,
        }
    }

    /// Runs until stopped; then finishes what is in flight and commits it.
    pub(crate) async fn run(
        mut self,
        mut orders: mpsc::Receiver<Rewind>,
        mut stop: Stop,
    ) -> Result<(), Fatal> {
        let partition = Arc::clone(&self.partition);
        let mut resolved = partition.resolved.subscribe();
        let mut persisted = partition.persisted.subscribe();
        let mut observe = tokio::time::interval(OBSERVE_EVERY);
        loop {
            let stopped = *stop.borrow_and_update();
            if let Some(deadline) = stopped {
                return self.finish(deadline).await;
            }
            self.fill().await?;
            self.send();
            self.note();
            let due = self.mark.due(*persisted.borrow_and_update());
            let linger = self.queue_since + Duration::from_millis(self.config().linger_ms);
            let lingers = !self.queue.is_empty() && self.in_flight.is_empty();
            let held_up = self.read_from > Instant::now();
            tokio::select! {
                biased;
                _ = stop.changed() => {}
                Some(order) = orders.recv() => self.rewind(order).await,
                Some(taken) = self.in_flight.next(), if !self.in_flight.is_empty() => {
                    self.taken(taken)?;
                }
                () = sleep_until(self.commit_from), if due.is_some() => self.commit().await?,
                () = sleep_until(self.read_from), if held_up => {}
                () = sleep_until(linger), if lingers => {}
                _ = resolved.changed(), if !self.is_full() && !held_up => {}
                _ = persisted.changed(), if due.is_none() => {}
                _ = observe.tick() => self.observe(),
            }
        }
    }

    fn config(&self) -> &crate::config::LaneConfig {
        &self.writer.config
    }

    /// Whether a whole batch is waiting.
    fn is_full(&self) -> bool {
        self.queue_events >= self.config().batch_events_max
            || self.queue_bytes >= self.config().batch_bytes_max
    }

    // --- reading ---

    /// Reads until a whole batch waits or everything resolved is read.
    async fn fill(&mut self) -> Result<(), Fatal> {
        while !self.is_full() && self.read_from <= Instant::now() {
            let events_max = self.config().batch_events_max - self.queue_events;
            let bytes_max = self.config().batch_bytes_max - self.queue_bytes;
            match self.partition.window.take(self.at, events_max, bytes_max) {
                Found::Nothing => break,
                Found::Records(records, next) => self.enqueue(records, next),
                Found::Older(until) => self.catch_up(until).await?,
            }
        }
        self.partition.window.moved(S::LANE, self.at);
        Ok(())
    }

    /// Reads the log itself, below `until`.
    async fn catch_up(&mut self, until: u64) -> Result<(), Fatal> {
        let (id, shared) = (self.partition.id, Arc::clone(&self.writer.shared));
        let read = shared.log.read(id, self.at, shared.config.read_bytes_max).await;
        let mut records = match read {
            Ok(records) => records,
            Err(error) => return self.hold_up(error),
        };
        records.retain(|record| record.offset < until);
        let Some(end) = records.last().map(|record| record.offset + 1) else {
            self.at = until; // a gap, or dropped by retention
            return Ok(());
        };
        let (index, forgotten) = (Arc::clone(&self.partition.index), Arc::clone(&self.forgotten));
        // What cannot be read was put aside by the resolver.
        let chunk =
            blocking(move || recall(id, records, &**index.lock(), &mut forgotten.lock())).await?;
        let read_to = chunk.records.last().map(|record| record.offset + 1);
        match chunk.error {
            None => self.enqueue(chunk.records, end),
            Some(error) => {
                self.enqueue(chunk.records, read_to.unwrap_or(self.at));
                self.hold_up(error)?;
            }
        }
        Ok(())
    }

    fn hold_up(&mut self, error: StoreError) -> Result<(), Fatal> {
        let lane = LANES[S::LANE];
        let StoreError::Retry { after, detail } = error else {
            return Err(Fatal(format!("lane {lane}, partition {}: {error}", self.partition.id)));
        };
        tracing::warn!(lane, detail, "cannot read now; trying again");
        self.writer.notes.lock().last_error = Some(detail);
        self.read_from = Instant::now() + self.backoff.next(after);
        Ok(())
    }

    fn enqueue(&mut self, records: Vec<Arc<Resolved>>, next: u64) {
        if self.queue.is_empty() {
            self.queue_since = Instant::now();
        }
        self.queue_events += records.iter().map(|record| record.first.len()).sum::<usize>();
        self.queue_bytes += records.iter().map(|record| record.bytes).sum::<usize>();
        self.queue.extend(records);
        self.at = next;
        self.backoff = Backoff::new(50, 10_000);
    }

    // --- sending ---

    fn send(&mut self) {
        while !self.queue.is_empty() && self.in_flight.len() < self.config().depth.max(1) {
            let linger = Duration::from_millis(self.config().linger_ms);
            let idle_long = self.in_flight.is_empty() && self.queue_since.elapsed() >= linger;
            if !self.is_full() && !idle_long {
                return;
            }
            let batch = self.batch();
            self.in_flight_ms
                .push_back(batch.records.first().map_or(0, |first| first.appended_at_ms));
            let write = self.writer.clone().take(batch);
            self.in_flight.push_back(AbortOnDropHandle::new(tokio::spawn(write)));
        }
    }

    fn batch(&mut self) -> Batch<S::Write> {
        let (mut events, mut bytes, mut records) = (0, 0, Vec::new());
        while events < self.config().batch_events_max && bytes < self.config().batch_bytes_max {
            let Some(record) = self.queue.pop_front() else { break };
            events += record.first.len();
            bytes += record.bytes;
            records.push(record);
        }
        self.queue_events -= events;
        self.queue_bytes -= bytes;
        self.queue_since = Instant::now();
        let from = self.sent;
        self.sent = records.last().map_or(from, |record| record.offset + 1);
        let firsts: Vec<&EventDocument> = records.iter().flat_map(|record| &record.first).collect();
        let derived = self.writer.store.derive(&firsts, &self.known);
        let label = LaneLabel { lane: LANES[S::LANE] };
        self.writer.shared.metrics.batch_events.get_or_create(&label).observe(events as f64);
        Batch { from, to: self.sent, records, derived }
    }

    fn taken(
        &mut self,
        taken: Result<Result<Taken, Fatal>, tokio::task::JoinError>,
    ) -> Result<(), Fatal> {
        let taken = taken.map_err(|error| {
            Fatal(format!("a write of lane {} did not end: {error}", LANES[S::LANE]))
        })??;
        self.in_flight_ms.pop_front();
        self.mark.take(taken.from, taken.to);
        self.known.learn(taken.learned);
        let mut notes = self.writer.notes.lock();
        notes.taken_at_ms = taken.at_ms.or(notes.taken_at_ms);
        if notes.replay.is_some_and(|(_, target)| self.mark.taken() >= target) {
            notes.replay = None;
        }
        Ok(())
    }

    // --- committing ---

    async fn commit(&mut self) -> Result<(), Fatal> {
        let persisted = *self.partition.persisted.borrow();
        let Some(next) = self.mark.due(persisted) else { return Ok(()) };
        let (lane, id) = (LANES[S::LANE], self.partition.id);
        let wait = match self.writer.shared.log.commit(lane, id, next).await {
            Ok(()) => {
                self.mark.done(next);
                Duration::from_millis(self.config().commit_interval_ms)
            }
            Err(StoreError::Retry { after, detail }) => {
                tracing::warn!(lane, detail, "cannot commit now; trying again");
                self.backoff.next(after)
            }
            Err(error) => return Err(Fatal(format!("commit of lane {lane}: {error}"))),
        };
        self.commit_from = Instant::now() + wait;
        Ok(())
    }

    /// Waits for batches in flight and for `D`'s last persist, then commits.
    async fn finish(mut self, deadline: Instant) -> Result<(), Fatal> {
        while !self.in_flight.is_empty() {
            let Ok(Some(taken)) = timeout_at(deadline, self.in_flight.next()).await else { break };
            self.taken(taken)?;
        }
        let mut ended = self.partition.ended.subscribe();
        // At the deadline: commit what is durable in `D` by now.
        let _ = timeout_at(deadline, ended.wait_for(|ended| *ended)).await;
        self.commit().await?;
        self.note();
        self.writer.notes.lock().state = LaneState::Stopped;
        Ok(())
    }

    // --- replay ---

    /// Sets the lane back; never forward, which would skip what is not taken.
    /// Batches in flight are given up: their writes are idempotent, and nothing
    /// of them is committed.
    async fn rewind(&mut self, Rewind { to, reply }: Rewind) {
        let lane = LANES[S::LANE];
        // The log's end, not how far the lane had come: one that is still behind,
        // as after a crash amid a replay, is not up to date before it is there.
        let target = self.writer.shared.log.bounds(self.partition.id).1;
        let to = to.min(self.mark.taken()).min(*self.partition.persisted.borrow());
        let done = self.writer.shared.log.rewind(lane, self.partition.id, to).await;
        if done.is_ok() {
            self.in_flight = InFlight::new();
            self.in_flight_ms.clear();
            self.queue.clear();
            (self.queue_events, self.queue_bytes) = (0, 0);
            (self.at, self.sent) = (to, to);
            self.mark = Watermark::at(to);
            self.known.clear();
            self.forgotten.lock().clear();
            let mut notes = self.writer.notes.lock();
            notes.taken_at_ms = None;
            notes.replay = (to < target).then_some((to, target));
        }
        self.note();
        // Whoever asked may have gone away.
        let _ = reply.send(done.map(|()| ReplayProgress { from: to, now: to, target }));
    }

    // --- reporting ---

    fn note(&self) {
        let mut notes = self.writer.notes.lock();
        notes.taken = self.mark.taken();
        notes.committed = self.mark.committed();
        notes.oldest_unserved_at_ms = self
            .in_flight_ms
            .front()
            .copied()
            .or_else(|| self.queue.front().map(|record| record.appended_at_ms));
        if self.in_flight.is_empty() {
            notes.state = LaneState::Idle;
        } else if notes.state == LaneState::Idle {
            notes.state = LaneState::Writing;
        }
    }

    fn observe(&self) {
        let shared = &self.writer.shared;
        let label = PartitionLabel { lane: LANES[S::LANE], partition: self.partition.id };
        let lag = shared.log.bounds(self.partition.id).1.saturating_sub(self.mark.taken());
        shared.metrics.lag_records.get_or_create(&label).set(lag as i64);
        let oldest = self.writer.notes.lock().oldest_unserved_at_ms.filter(|_| lag > 0);
        let age_ms = oldest.map_or(0, |at_ms| (shared.clock.now_ms() - at_ms).max(0));
        shared.metrics.lag_seconds.get_or_create(&label).set(age_ms as f64 / 1e3);
    }
}
