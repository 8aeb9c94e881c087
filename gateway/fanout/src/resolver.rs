//! One task a partition: reads the log in order, asks `D` who was first, hands
//! the answers to the window, makes `D` durable.
//!
//! What cannot be read is in the dead-letter log before the watermark passes
//! it. `D` is made durable on a beat of its own, also while the window is full:
//! lanes commit up to there and no further.

use std::sync::Arc;
use std::time::Duration;

use sluice_seams::{LogRecord, StoreError};
use tokio::time::Instant;

use crate::backoff::Backoff;
use crate::dead_letter::{DeadLetter, RESOLVE, UNDECODABLE};
use crate::error::Fatal;
use crate::metrics::{LaneLabel, RebuildLabel};
use crate::resolve::{Chunk, Undecodable, resolve};
use crate::shared::{Partition, Shared};
use crate::tasks::{Stop, blocking};

/// Log time between two expiries of `D`, milliseconds.
const EXPIRE_EVERY_MS: i64 = 60_000;

pub(crate) struct Resolver {
    shared: Arc<Shared>,
    partition: Arc<Partition>,
    next: u64,
    /// Records below this were in the log at start: not live.
    live_from: u64,
    /// Records below this were brought into every store before: reading them
    /// rebuilds `D` and says nothing new.
    known_to: u64,
    /// Records resolved but not durable in `D`, and since when.
    dirty: u64,
    dirty_since: Instant,
    expired_at_ms: i64,
    backoff: Backoff,
}

// === impl Resolver ===

impl Resolver {
    pub(crate) fn new(shared: Arc<Shared>, partition: Arc<Partition>, known_to: u64) -> Self {
        let next = *partition.resolved.borrow();
        let live_from = shared.log.bounds(partition.id).1;
        Self {
            shared,
            partition,
            next,
            live_from,
            known_to,
            dirty: 0,
            dirty_since: Instant::now(),
            expired_at_ms: i64::MIN,
            backoff: Backoff::new(50, 10_000),
        }
    }

    /// Runs until stopped; then persists once more.
    pub(crate) async fn run(mut self, mut stop: Stop) -> Result<(), Fatal> {
        let interval = Duration::from_millis(self.shared.config.persist_interval_ms);
        while stop.borrow_and_update().is_none() {
            let (shared, partition) = (Arc::clone(&self.shared), Arc::clone(&self.partition));
            tokio::select! {
                biased;
                _ = stop.changed() => {}
                () = tokio::time::sleep_until(self.dirty_since + interval), if self.dirty > 0 => {
                    self.persist().await?;
                }
                read = read(&shared, &partition, self.next) => match read {
                    Ok(records) => self.take(records).await?,
                    Err(error) => self.wait(error).await?,
                },
            }
        }
        self.persist().await?;
        self.partition.ended.send_replace(true);
        Ok(())
    }

    async fn take(&mut self, mut records: Vec<LogRecord>) -> Result<(), Fatal> {
        // A stretch that only rebuilds `D` is not counted together with news.
        if records.first().is_some_and(|record| record.offset < self.known_to) {
            records.retain(|record| record.offset < self.known_to);
        }
        let (id, index) = (self.partition.id, Arc::clone(&self.partition.index));
        let started = Instant::now();
        let chunk = blocking(move || resolve(id, records, &mut **index.lock())).await?;
        self.shared.metrics.resolve_seconds.observe(started.elapsed().as_secs_f64());
        let news = chunk.undecodable.iter().filter(|lost| lost.offset >= self.known_to);
        self.put_aside(news.map(|lost| letter(id, lost)).collect()).await?;
        self.publish(&chunk);
        if self.dirty >= self.shared.config.persist_records_max {
            self.persist().await?;
        }
        match chunk.error {
            Some(error) => self.wait(error).await,
            None => {
                self.backoff = Backoff::new(50, 10_000);
                Ok(())
            }
        }
    }

    async fn put_aside(&self, letters: Vec<DeadLetter>) -> Result<(), Fatal> {
        let count = letters.len() as u64;
        if count == 0 {
            return Ok(());
        }
        self.shared.dead_letters.append(letters).await?;
        let metrics = &self.shared.metrics;
        metrics.verdicts("undecodable", count);
        metrics.dead_letters.get_or_create(&LaneLabel { lane: RESOLVE }).inc_by(count);
        tracing::warn!(count, partition = self.partition.id, "records could not be read");
        Ok(())
    }

    fn publish(&mut self, chunk: &Chunk) {
        let Some(last) = chunk.records.last() else { return };
        let metrics = &self.shared.metrics;
        if last.offset >= self.known_to {
            metrics.verdicts("first", chunk.first);
            metrics.verdicts("duplicate", chunk.duplicate);
            metrics.verdicts("id_reused", chunk.reused);
        }
        let left = self.known_to.saturating_sub(last.offset + 1);
        let label = RebuildLabel { partition: self.partition.id };
        metrics.rebuild_records.get_or_create(&label).set(left as i64);
        if self.shared.live.receiver_count() > 0 {
            let fresh = chunk.records.iter().filter(|record| record.offset >= self.live_from);
            for event in fresh.flat_map(|record| &record.first) {
                // Nobody listening any more is no error.
                let _ = self.shared.live.send(event.clone());
            }
        }
        if self.dirty == 0 {
            self.dirty_since = Instant::now();
        }
        self.dirty += chunk.records.len() as u64;
        self.next = last.offset + 1;
        self.partition.window.push(&chunk.records);
        self.partition.resolved.send_replace(self.next);
    }

    async fn persist(&mut self) -> Result<(), Fatal> {
        while self.dirty > 0 {
            let (index, next) = (Arc::clone(&self.partition.index), self.next);
            let expire = self.expiry();
            let started = Instant::now();
            let done = blocking(move || {
                let mut index = index.lock();
                index.persist(next)?;
                expire.map_or(Ok(()), |before_ms| index.expire(before_ms))
            })
            .await?;
            self.shared.metrics.persist_seconds.observe(started.elapsed().as_secs_f64());
            match done {
                Ok(()) => {
                    self.dirty = 0;
                    self.partition.persisted.send_replace(next);
                }
                Err(error) => self.wait(error).await?,
            }
        }
        Ok(())
    }

    /// Before which log time `D` may forget, now and then.
    fn expiry(&mut self) -> Option<i64> {
        let now_ms = self.partition.window.newest_ms()?;
        if now_ms < self.expired_at_ms.saturating_add(EXPIRE_EVERY_MS) {
            return None;
        }
        self.expired_at_ms = now_ms;
        Some(now_ms.saturating_sub(self.shared.config.dedupe_window_ms))
    }

    /// Waits after a passing error; any other is fatal.
    async fn wait(&mut self, error: StoreError) -> Result<(), Fatal> {
        let partition = self.partition.id;
        let StoreError::Retry { after, detail } = error else {
            return Err(Fatal(format!("resolver of partition {partition}: {error}")));
        };
        tracing::warn!(partition, detail, "cannot resolve now; trying again");
        tokio::time::sleep(self.backoff.next(after)).await;
        Ok(())
    }
}

/// The next records, once there are some and the window has room.
async fn read(
    shared: &Shared,
    partition: &Partition,
    next: u64,
) -> Result<Vec<LogRecord>, StoreError> {
    partition.window.room().await;
    shared.log.wait(partition.id, next).await;
    shared.log.read(partition.id, next, shared.config.read_bytes_max).await
}

fn letter(partition: u32, lost: &Undecodable) -> DeadLetter {
    DeadLetter {
        lane: RESOLVE.to_owned(),
        partition,
        offset: lost.offset,
        index: lost.index,
        reason: UNDECODABLE.to_owned(),
        detail: lost.detail.clone(),
        at_ms: 0, // set when it is appended
        attempts: 1,
        app_id: lost.app_id.clone(),
        event_id: lost.event_id.clone(),
        payload: lost.payload.clone().into(),
    }
}
