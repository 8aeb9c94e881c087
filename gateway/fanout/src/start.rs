//! Starting fan out: opens `D`, finds where each lane goes on, spawns the tasks.

use std::sync::Arc;

use parking_lot::Mutex;
use sluice_seams::{DedupeIndex, DocumentStore, EventLog, RowStore, StoreError};
use sluice_telemetry::{Clock, Registry};
use tokio::sync::{broadcast, mpsc};

use crate::config::{FanOutConfig, LaneConfig};
use crate::dead_letter::DeadLetters;
use crate::housekeeping;
use crate::lane::Lane;
use crate::metrics::Metrics;
use crate::resolver::Resolver;
use crate::shared::{Partition, Shared};
use crate::status::LaneNotes;
use crate::store::{Documents, LANES, LaneStore, Rows};
use crate::tasks::{TaskKind, Tasks};
use crate::write::Writer;
use crate::{FanOut, tasks};

/// What fan out stands on.
pub struct FanOutDeps {
    /// The event log.
    pub log: Arc<dyn EventLog>,
    /// The dead-letter log; its partition 0 is used.
    pub dead_letter_log: Arc<dyn EventLog>,
    /// `D`. Fan out is its only owner.
    pub dedupe: Arc<dyn DedupeIndex>,
    /// The document store.
    pub documents: Arc<dyn DocumentStore>,
    /// The row store.
    pub rows: Arc<dyn RowStore>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Where metrics are registered.
    pub metrics: Registry,
}

// === impl FanOut ===

impl FanOut {
    /// Starts fan out for every partition of the log. Within a tokio runtime.
    pub async fn start(config: FanOutConfig, deps: FanOutDeps) -> Result<Self, StoreError> {
        let FanOutDeps { log, dead_letter_log, dedupe, documents, rows, clock, metrics } = deps;
        LANES.iter().try_for_each(|lane| log.declare_lane(lane))?;
        let partitions = open(&config, &*log, dedupe).await?;
        let dead_letters =
            DeadLetters::open(Arc::clone(&dead_letter_log), Arc::clone(&clock)).await?;
        let live = broadcast::channel(config.live_events_max.max(1)).0;
        let metrics = Metrics::new(&metrics);
        let dead_letters = Arc::new(dead_letters);
        let shared = Arc::new(Shared { config, log, dead_letters, clock, metrics, live });
        let mut fan_out = Self {
            shared,
            partitions,
            documents: Arc::clone(&documents),
            rows: Arc::clone(&rows),
            dead_letter_log,
            notes: Vec::new(),
            orders: Vec::new(),
            tasks: Tasks::new(),
        };
        let config = fan_out.shared.config.clone();
        fan_out.lanes(&Documents(Arc::clone(&documents)), &config.documents)?;
        fan_out.lanes(&Rows(Arc::clone(&rows)), &config.rows)?;
        for partition in &fan_out.partitions {
            let resolver = Resolver::new(Arc::clone(&fan_out.shared), Arc::clone(partition));
            let name = format!("resolver of partition {}", partition.id);
            let stop = fan_out.tasks.stop_signal();
            fan_out.tasks.spawn(TaskKind::Resolver, name, resolver.run(stop));
        }
        let stop = fan_out.tasks.stop_signal();
        let retention = housekeeping::run(Arc::clone(&fan_out.shared), documents, rows, stop);
        fan_out.tasks.spawn(TaskKind::Housekeeping, "retention".to_owned(), retention);
        Ok(fan_out)
    }

    /// Starts a store's lane in every partition.
    fn lanes<S: LaneStore>(&mut self, store: &S, config: &LaneConfig) -> Result<(), StoreError> {
        let name = LANES[S::LANE];
        for partition in &self.partitions {
            let (first, end) = self.shared.log.bounds(partition.id);
            let at = self.shared.log.committed(name, partition.id)?.unwrap_or(first);
            belongs(&format!("lane {name}"), at, partition.id, end)?;
            let notes = Arc::new(Mutex::new(LaneNotes {
                committed: at,
                taken: at,
                ..LaneNotes::default()
            }));
            let (orders, received) = mpsc::channel(1);
            let writer = Writer {
                shared: Arc::clone(&self.shared),
                store: store.clone(),
                config: config.clone(),
                notes: Arc::clone(&notes),
            };
            partition.window.moved(S::LANE, at);
            let lane = Lane::new(writer, Arc::clone(partition), at);
            let task = lane.run(received, self.tasks.stop_signal());
            let title = format!("lane {name} of partition {}", partition.id);
            self.tasks.spawn(TaskKind::Lane, title, task);
            self.notes.push(notes);
            self.orders.push(orders);
        }
        Ok(())
    }
}

/// Takes ownership of `D` for every partition; reading it may block.
async fn open(
    config: &FanOutConfig,
    log: &dyn EventLog,
    dedupe: Arc<dyn DedupeIndex>,
) -> Result<Vec<Arc<Partition>>, StoreError> {
    let count = log.partitions();
    let window_bytes_max = config.window_bytes_max;
    let opened = tasks::blocking(move || {
        (0..count)
            .map(|id| {
                let index = dedupe.open(id)?;
                Ok(Arc::new(Partition::new(id, index, window_bytes_max, LANES.len())))
            })
            .collect::<Result<Vec<_>, StoreError>>()
    });
    let partitions = opened.await.map_err(|fatal| StoreError::Poisoned(fatal.0))??;
    for partition in &partitions {
        let at = *partition.resolved.borrow();
        belongs("the dedupe index", at, partition.id, log.bounds(partition.id).1)?;
    }
    Ok(partitions)
}

/// Refuses to run on a log that is not the one the rest was made from.
fn belongs(what: &str, at: u64, partition: u32, end: u64) -> Result<(), StoreError> {
    if at <= end {
        return Ok(());
    }
    Err(StoreError::Poisoned(format!(
        "{what} has gone to offset {at} of partition {partition}, but the log ends at {end}: \
         the log was replaced or cut; restore it, or empty the dedupe index and the lanes' offsets"
    )))
}
