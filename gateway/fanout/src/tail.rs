//! Live events for a process that brings nothing in: it reads the end of the
//! log while somebody watches.
//!
//! It asks no `D`: a copy of an event that was shown lately is passed over, one
//! of an older event is shown again. Who counts is decided elsewhere.

use std::sync::Arc;
use std::time::Duration;

use sluice_seams::{Day, EventDocument, EventLog, Position};
use tokio::sync::broadcast;
use tokio_util::task::AbortOnDropHandle;

use crate::known::Generations;
use crate::record::decode;

const READ_BYTES: usize = 256 * 1024;
/// Ids remembered in each partition.
const RECENT_MAX: usize = 20_000;
/// How often it looks whether somebody watches.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// After an error of the log.
const AGAIN: Duration = Duration::from_secs(1);

/// A running tail. Ends when dropped.
pub struct Tail {
    live: broadcast::Sender<EventDocument>,
    _tasks: Vec<AbortOnDropHandle<()>>,
}

// === impl Tail ===

impl Tail {
    /// Follows every partition. A reader that falls behind `events_max` misses
    /// the oldest and is told so. Within a tokio runtime.
    pub fn start(log: &Arc<dyn EventLog>, events_max: usize) -> Self {
        let live = broadcast::channel(events_max.max(1)).0;
        let tasks = (0..log.partitions()).map(|partition| {
            let task = follow(Arc::clone(log), partition, live.clone());
            AbortOnDropHandle::new(tokio::spawn(task))
        });
        Self { _tasks: tasks.collect(), live }
    }

    /// Where events are told, for those who subscribe later.
    pub fn live_sender(&self) -> broadcast::Sender<EventDocument> {
        self.live.clone()
    }
}

async fn follow(log: Arc<dyn EventLog>, partition: u32, live: broadcast::Sender<EventDocument>) {
    let mut at = None;
    let mut recent = Generations::new(RECENT_MAX);
    loop {
        if live.receiver_count() == 0 {
            at = None;
            tokio::time::sleep(LOOK_EVERY).await;
            continue;
        }
        let from = *at.get_or_insert_with(|| log.bounds(partition).1);
        // Now and then it looks whether anybody still watches.
        let waited = tokio::time::timeout(LOOK_EVERY, log.wait(partition, from)).await;
        if waited.is_err() {
            continue;
        }
        let records = match log.read(partition, from, READ_BYTES).await {
            Ok(records) => records,
            Err(error) => {
                tracing::debug!(partition, %error, "the live stream waits for the log");
                tokio::time::sleep(AGAIN).await;
                continue;
            }
        };
        for record in records {
            at = Some(record.offset + 1);
            // Fan out puts aside what cannot be read.
            let Ok(mut decoded) = decode(&record.payload) else { continue };
            for whole in std::mem::take(&mut decoded.events) {
                if recent.get(&whole.key).is_some() {
                    continue;
                }
                recent.insert(whole.key, ());
                let position = Position { partition, offset: record.offset, index: whole.index };
                let day = Day(whole.event.day);
                // Nobody listening any more is no error.
                let _ = live.send(decoded.document(whole, position, day));
            }
        }
    }
}
