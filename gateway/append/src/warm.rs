//! Reads the tail of the log at start, so that a retry of what was appended
//! before a restart is told from a new event.
//!
//! Only a help: what is not remembered is appended again, and the log decides
//! who was first. Hence a record that cannot be read as one is counted and
//! passed over here; fan out is where it matters.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use sluice_seams::{Key, LogRecord, StoreError};

use crate::collect::Collect;
use crate::shared::Shared;

/// Bytes read at a time.
const READ_BYTES: usize = 1024 * 1024;
/// Passing errors in a row before giving up.
const TRIES: u32 = 5;
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// How far the reading is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WarmProgress {
    /// Records read.
    pub records: u64,
    /// Records to be read, about: offsets may have gaps.
    pub records_total: u64,
    /// Event ids remembered.
    pub events: u64,
    /// Records that were none of ours.
    pub unreadable: u64,
}

/// `BatchRecord`, as far as it matters here; the rest is skipped, not decoded.
#[derive(Clone, PartialEq, Message)]
struct Ids {
    #[prost(message, repeated, tag = "4")]
    events: Vec<Id>,
}

#[derive(Clone, PartialEq, Message)]
struct Id {
    #[prost(bytes = "bytes", tag = "1")]
    key: Bytes,
    #[prost(fixed64, tag = "5")]
    fingerprint: u64,
}

/// What is left to read of a partition.
struct Stretch {
    partition: u32,
    next: u64,
    end: u64,
}

// === impl Collect ===

impl Collect {
    /// Remembers the events of the last `tail_ms` of the log, as far as there is
    /// room for them, then begins to take batches. Partitions are read side by
    /// side and in order, so that the newest ids are the last to be forgotten.
    /// `progress` is called about once for each megabyte read.
    ///
    /// # Errors
    /// The log could not be read, also after a few tries; nothing is taken then.
    pub async fn warm(
        &self,
        mut progress: impl FnMut(WarmProgress),
    ) -> Result<WarmProgress, StoreError> {
        let shared = &*self.shared;
        let mut stretches = stretches(shared).await?;
        let records_total = stretches.iter().map(|stretch| stretch.end - stretch.next).sum();
        let mut so_far = WarmProgress { records_total, ..WarmProgress::default() };
        while !stretches.is_empty() {
            for stretch in &mut stretches {
                let records = read(shared, stretch).await?;
                let from = stretch.next;
                stretch.next = records.last().map_or(stretch.end, |record| record.offset + 1);
                let end = stretch.end;
                let wanted = |record: &&LogRecord| (from..end).contains(&record.offset);
                records.iter().filter(wanted).for_each(|record| {
                    remember(shared, record, &mut so_far);
                });
                progress(so_far);
            }
            stretches.retain(|stretch| stretch.next < stretch.end);
        }
        shared.warm.store(true, Ordering::Release);
        tracing::info!(
            records = so_far.records,
            events = so_far.events,
            unreadable = so_far.unreadable,
            "read the tail of the log"
        );
        Ok(so_far)
    }
}

async fn stretches(shared: &Shared) -> Result<Vec<Stretch>, StoreError> {
    let mut stretches = Vec::new();
    if shared.config.tail_ms == 0 {
        return Ok(stretches);
    }
    let tail_ms = i64::try_from(shared.config.tail_ms).unwrap_or(i64::MAX);
    let since_ms = shared.clock.now_ms().saturating_sub(tail_ms);
    // A record holds at least one event: more records than ids that can be
    // remembered are not worth reading.
    let records_max = shared.remembered.capacity() as u64;
    for partition in 0..shared.log.partitions() {
        let (_, end) = shared.log.bounds(partition);
        let from = shared.log.offset_at(partition, since_ms).await?;
        let next = from.max(end.saturating_sub(records_max));
        if next < end {
            stretches.push(Stretch { partition, next, end });
        }
    }
    Ok(stretches)
}

async fn read(shared: &Shared, stretch: &Stretch) -> Result<Vec<LogRecord>, StoreError> {
    let mut tries = 1;
    loop {
        match shared.log.read(stretch.partition, stretch.next, READ_BYTES).await {
            Err(StoreError::Retry { after, detail }) if tries < TRIES => {
                tracing::warn!(
                    partition = stretch.partition,
                    detail,
                    "the log's tail: trying again"
                );
                tries += 1;
                tokio::time::sleep(after.min(PAUSE_MAX)).await;
            }
            result => return result,
        }
    }
}

fn remember(shared: &Shared, record: &LogRecord, so_far: &mut WarmProgress) {
    so_far.records += 1;
    let Ok(ids) = Ids::decode(record.payload.clone()) else {
        so_far.unreadable += 1;
        return;
    };
    for id in ids.events {
        if let Some(key) = Key::from_slice(&id.key) {
            shared.remembered.seed(key, id.fingerprint);
            so_far.events += 1;
        }
    }
}
