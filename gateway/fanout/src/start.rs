//! Starting fan out: opens the dead letters, takes what is assigned, follows
//! the assignment.

use std::sync::Arc;
use std::time::Duration;

use sluice_seams::{Assignment, DedupeIndex, DocumentStore, EventLog, RowStore, StoreError};
use sluice_telemetry::{Clock, Registry};
use tokio::sync::{broadcast, watch};

use crate::FanOut;
use crate::assign::Follower;
use crate::config::FanOutConfig;
use crate::dead_letter::DeadLetters;
use crate::housekeeping;
use crate::metrics::Metrics;
use crate::owned::Owners;
use crate::shared::Shared;
use crate::store::LANES;
use crate::tasks::{TaskKind, Tasks};

/// What fan out stands on.
pub struct FanOutDeps {
    /// The event log.
    pub log: Arc<dyn EventLog>,
    /// The dead-letter log; its partition 0 is used.
    pub dead_letter_log: Arc<dyn EventLog>,
    /// Which partitions this process owns.
    pub assignment: Arc<dyn Assignment>,
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
    /// Starts fan out for the partitions that are assigned, now and later.
    /// Within a tokio runtime.
    ///
    /// # Errors
    /// A partition that is assigned already cannot be taken.
    pub async fn start(config: FanOutConfig, deps: FanOutDeps) -> Result<Self, StoreError> {
        let FanOutDeps { log, dead_letter_log, assignment, dedupe, documents, rows, clock, .. } =
            deps;
        LANES.iter().try_for_each(|lane| log.declare_lane(lane))?;
        let dead_letters =
            DeadLetters::open(Arc::clone(&dead_letter_log), Arc::clone(&clock)).await?;
        let live = broadcast::channel(config.live_events_max.max(1)).0;
        let metrics = Metrics::new(&deps.metrics);
        let dead_letters = Arc::new(dead_letters);
        let revoke_timeout = Duration::from_millis(config.revoke_timeout_ms);
        let shared = Arc::new(Shared { config, log, dead_letters, clock, metrics, live });
        let fatal = watch::channel(None).0;
        let owners = Owners::new(Arc::clone(&shared), dedupe, documents, rows, fatal.clone());
        let owners = Arc::new(owners);
        let follower = Follower {
            assignment: Arc::clone(&assignment),
            owners: Arc::clone(&owners),
            revoke_timeout,
        };
        follower.begin().await?;
        let tasks = Tasks::new(fatal.clone());
        let follow = follower.run(tasks.stop_signal());
        tasks.spawn(TaskKind::Assignment, "assignment".to_owned(), follow);
        let (documents, rows) = (Arc::clone(&owners.documents), Arc::clone(&owners.rows));
        let retention =
            housekeeping::run(Arc::clone(&shared), documents, rows, tasks.stop_signal());
        tasks.spawn(TaskKind::Housekeeping, "retention".to_owned(), retention);
        Ok(Self { shared, owners, assignment, dead_letter_log, fatal, tasks })
    }
}
