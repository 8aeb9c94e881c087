//! Fan out: from the event log to the stores, each event once.
//!
//! ```text
//!              ┌── resolver ── D        one task a partition
//! event log ───┤      │ window
//!              └── lane: documents ──►  one task per store and partition,
//!                  lane: rows      ──►  each at its own offset
//! ```
//!
//! Constraints:
//! * the log decides who was first, by position; `D` only remembers it;
//! * a lane never commits past a record that its store has not taken, nor past
//!   what is durable in `D`;
//! * a passing error is sent again for ever; only what can never be taken goes
//!   to the dead-letter log, and is durable there before the commit;
//! * one slow store delays nothing else, and one store can be replayed alone;
//! * nothing here is needed to be right twice: every write is idempotent, so a
//!   crash anywhere costs repetition, never loss and never a second count.

mod assign;
mod backoff;
mod commit;
mod config;
pub mod dead_letter;
mod derive;
mod error;
mod forgotten;
mod housekeeping;
mod known;
mod lane;
pub mod metrics;
mod owned;
mod place;
mod record;
mod replay;
mod resolve;
mod resolver;
mod shared;
mod start;
mod status;
mod store;
mod tail;
mod tasks;
#[cfg(test)]
mod testing;
mod window;
mod write;

use std::sync::Arc;
use std::time::Duration;

use sluice_seams::{Assignment, EventDocument, EventLog};
use tokio::sync::{broadcast, watch};

pub use config::{FanOutConfig, LaneConfig};
pub use dead_letter::{DeadLetter, DeadLetterPage, DeadLetters, Listed};
pub use error::{Fatal, ReplayError};
pub use replay::{DeadLetterChoice, DeadLetterReplay, ReplayFrom};
pub use start::FanOutDeps;
pub use status::{FanOutStatus, LaneState, LaneStatus, ReplayProgress};
pub use store::{DOCUMENTS_LANE, LANES, ROWS_LANE};
pub use tail::Tail;

use owned::Owners;
use shared::Shared;
use tasks::Tasks;

/// Running fan out. Dropping it stops it as a crash would: nothing is lost,
/// some is done again.
pub struct FanOut {
    shared: Arc<Shared>,
    owners: Arc<Owners>,
    assignment: Arc<dyn Assignment>,
    dead_letter_log: Arc<dyn EventLog>,
    fatal: watch::Sender<Option<Fatal>>,
    /// Those that belong to no partition.
    tasks: Tasks,
}

// === impl FanOut ===

impl FanOut {
    /// Resolves with the reason once fan out cannot go on; never before. Then
    /// go unready and exit.
    pub fn fatal(&self) -> impl Future<Output = Fatal> + Send + 'static {
        let mut fatal = self.fatal.subscribe();
        async move {
            loop {
                if let Some(error) = fatal.borrow_and_update().clone() {
                    return error;
                }
                if fatal.changed().await.is_err() {
                    return std::future::pending().await;
                }
            }
        }
    }

    /// First events as they are resolved. A reader that falls behind misses
    /// the oldest and is told so.
    pub fn live(&self) -> broadcast::Receiver<EventDocument> {
        self.shared.live.subscribe()
    }

    /// The sending side of [`live`](Self::live), for those who subscribe later.
    pub fn live_sender(&self) -> broadcast::Sender<EventDocument> {
        self.shared.live.clone()
    }

    /// The dead-letter log.
    pub fn dead_letters(&self) -> &Arc<DeadLetters> {
        &self.shared.dead_letters
    }

    /// State of every lane in every partition that this process owns. Cheap.
    pub fn status(&self) -> FanOutStatus {
        let now_ms = self.shared.clock.now_ms();
        let fatal = self.fatal.borrow().as_ref().map(|fatal| fatal.0.clone());
        let owned = self.owners.all();
        let mut lanes = Vec::with_capacity(owned.len() * LANES.len());
        for (lane, name) in LANES.iter().enumerate() {
            for one in &owned {
                let (partition, notes) = (&one.partition, one.notes[lane].lock().clone());
                let end = self.shared.log.bounds(partition.id).1;
                let lag_records = end.saturating_sub(notes.taken);
                let oldest = notes.oldest_unserved_at_ms.filter(|_| lag_records > 0);
                lanes.push(LaneStatus {
                    lane: name,
                    partition: partition.id,
                    committed: notes.committed,
                    taken: notes.taken,
                    resolved: *partition.resolved.borrow(),
                    persisted: *partition.persisted.borrow(),
                    end,
                    lag_records,
                    oldest_unserved_age_ms: oldest.map(|at_ms| (now_ms - at_ms).max(0) as u64),
                    state: notes.state,
                    replay: notes.progress(),
                    last_error: notes.last_error,
                });
            }
        }
        FanOutStatus { fatal, lanes }
    }

    /// Partitions that this process owns, ascending.
    pub fn owned(&self) -> Vec<u32> {
        self.owners.all().iter().map(|owned| owned.partition.id).collect()
    }

    /// Everything acknowledged before this moment (milliseconds since the Unix
    /// epoch) in the partitions that this process owns is in the document store;
    /// the present where it keeps up, 0 where it has only just begun. Falls back
    /// during a replay of that lane.
    pub fn complete_until_ms(&self) -> i64 {
        let now_ms = self.shared.log.bounds_at_ms(self.shared.clock.now_ms());
        let documents = 0;
        let owned = self.owners.all();
        let until = owned.iter().map(|owned| {
            let end = self.shared.log.bounds(owned.partition.id).1;
            let notes = owned.notes[documents].lock().clone();
            if notes.taken >= end { now_ms } else { notes.complete_until_ms().unwrap_or(0) }
        });
        until.min().unwrap_or(now_ms).min(now_ms)
    }

    /// Stops: reads no more, finishes batches in flight, makes `D` durable,
    /// commits, gives its partitions back. Returns soon after `deadline` at the
    /// latest; whether all of it was done by then. What was not is done again
    /// after the restart.
    pub async fn shutdown(&self, deadline: Duration) -> bool {
        let followed = self.tasks.stop(deadline).await;
        let ids = self.owned();
        let finished = self.owners.give_back(&ids, deadline).await;
        self.assignment.released(&ids);
        match self.assignment.close().await {
            Ok(()) => followed && finished,
            Err(error) => {
                tracing::warn!(%error, "the partitions were not given back in order");
                false
            }
        }
    }
}
