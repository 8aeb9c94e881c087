//! The partitions that this process brings into the stores now.
//!
//! Each has its own tasks (a resolver and a lane per store), so that one can be
//! given back while the others go on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use sluice_seams::{DedupeIndex, DocumentStore, RowStore, StoreError};
use tokio::sync::{mpsc, watch};

use crate::config::LaneConfig;
use crate::error::Fatal;
use crate::lane::Lane;
use crate::place::{self, Place};
use crate::replay::Rewind;
use crate::resolver::Resolver;
use crate::shared::{Partition, Shared};
use crate::status::LaneNotes;
use crate::store::{Documents, LANES, LaneStore, Rows};
use crate::tasks::{TaskKind, Tasks, blocking};
use crate::write::Writer;

/// One owned partition. Dropping it stops it as a crash would.
pub(crate) struct Owned {
    pub partition: Arc<Partition>,
    /// By lane.
    pub notes: Vec<Arc<Mutex<LaneNotes>>>,
    /// By lane.
    pub orders: Vec<mpsc::Sender<Rewind>>,
    tasks: Tasks,
}

/// What it takes to own a partition, and those that are owned.
pub(crate) struct Owners {
    shared: Arc<Shared>,
    dedupe: Arc<dyn DedupeIndex>,
    pub documents: Arc<dyn DocumentStore>,
    pub rows: Arc<dyn RowStore>,
    fatal: watch::Sender<Option<Fatal>>,
    owned: RwLock<BTreeMap<u32, Arc<Owned>>>,
}

// === impl Owners ===

impl Owners {
    pub(crate) fn new(
        shared: Arc<Shared>,
        dedupe: Arc<dyn DedupeIndex>,
        documents: Arc<dyn DocumentStore>,
        rows: Arc<dyn RowStore>,
        fatal: watch::Sender<Option<Fatal>>,
    ) -> Self {
        Self { shared, dedupe, documents, rows, fatal, owned: RwLock::default() }
    }

    /// The partition, where it is owned.
    pub(crate) fn get(&self, partition: u32) -> Option<Arc<Owned>> {
        self.owned.read().get(&partition).cloned()
    }

    /// All that are owned, ascending.
    pub(crate) fn all(&self) -> Vec<Arc<Owned>> {
        self.owned.read().values().cloned().collect()
    }

    /// Takes `D` of a partition, finds where its lanes go on, starts its tasks.
    /// Owning it already is no error.
    pub(crate) async fn take(&self, id: u32) -> Result<(), StoreError> {
        if self.get(id).is_some() {
            return Ok(());
        }
        let (shared, dedupe) = (Arc::clone(&self.shared), Arc::clone(&self.dedupe));
        // Both may block: on reading back an index, on asking a broker.
        let opened = blocking(move || {
            let index = dedupe.open(id)?;
            let committed = LANES.map(|lane| shared.log.committed(lane, id));
            Ok::<_, StoreError>((index, committed))
        });
        let (index, committed) = opened.await.map_err(|fatal| StoreError::Poisoned(fatal.0))??;
        let committed = committed.into_iter().collect::<Result<Vec<_>, _>>()?;
        let place = place::find(&self.shared, id, index.resolved(), &committed).await?;
        let owned = self.start(id, index, &place);
        self.owned.write().insert(id, Arc::new(owned));
        tracing::info!(partition = id, resolves_from = place.resolve, lanes = ?place.lanes, "owned");
        Ok(())
    }

    /// Stops partitions: finishes what is in flight, makes `D` durable, commits;
    /// within the time. Whether all of it was done by then.
    pub(crate) async fn give_back(&self, ids: &[u32], within: Duration) -> bool {
        let leaving = self.remove(ids);
        let stopped = leaving.iter().map(|owned| owned.tasks.stop(within));
        futures::future::join_all(stopped).await.into_iter().all(|done| done)
    }

    /// Drops partitions at once: nothing more is committed.
    pub(crate) fn abandon(&self, ids: &[u32]) {
        self.remove(ids);
    }

    fn remove(&self, ids: &[u32]) -> Vec<Arc<Owned>> {
        let mut owned = self.owned.write();
        ids.iter().filter_map(|id| owned.remove(id)).collect()
    }

    fn start(
        &self,
        id: u32,
        index: Box<dyn sluice_seams::DedupePartition>,
        place: &Place,
    ) -> Owned {
        let window_bytes_max = self.shared.config.window_bytes_max;
        let partition =
            Arc::new(Partition::new(id, index, place.resolve, window_bytes_max, LANES.len()));
        let tasks = Tasks::new(self.fatal.clone());
        let mut owned = Owned { partition, notes: Vec::new(), orders: Vec::new(), tasks };
        let config = &self.shared.config;
        owned.lane(&self.shared, Documents(Arc::clone(&self.documents)), &config.documents, place);
        owned.lane(&self.shared, Rows(Arc::clone(&self.rows)), &config.rows, place);
        let resolver =
            Resolver::new(Arc::clone(&self.shared), Arc::clone(&owned.partition), place.known_to());
        let name = format!("resolver of partition {id}");
        owned.tasks.spawn(TaskKind::Resolver, name, resolver.run(owned.tasks.stop_signal()));
        owned
    }
}

// === impl Owned ===

impl Owned {
    /// Starts a store's lane.
    fn lane<S: LaneStore>(
        &mut self,
        shared: &Arc<Shared>,
        store: S,
        config: &LaneConfig,
        place: &Place,
    ) {
        let at = place.lanes[S::LANE];
        let notes =
            Arc::new(Mutex::new(LaneNotes { committed: at, taken: at, ..LaneNotes::default() }));
        let (orders, received) = mpsc::channel(1);
        let writer = Writer {
            shared: Arc::clone(shared),
            store,
            config: config.clone(),
            notes: Arc::clone(&notes),
        };
        self.partition.window.moved(S::LANE, at);
        let lane = Lane::new(writer, Arc::clone(&self.partition), at);
        let title = format!("lane {} of partition {}", LANES[S::LANE], self.partition.id);
        let task = lane.run(received, self.tasks.stop_signal());
        self.tasks.spawn(TaskKind::Lane, title, task);
        self.notes.push(notes);
        self.orders.push(orders);
    }
}
