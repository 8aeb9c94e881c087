//! Opens what a role stands on, each part in the engine that the config names.
//!
//! A role opens only what it needs: a collector never touches a store.

use std::sync::Arc;

use sluice_embedded::log::{EmbeddedLog, LogFigures};
use sluice_query::{FindFirst, first_in};
use sluice_seams::{
    Assignment, DedupeIndex, DocumentStore, EventLog, RowStore, StaticAssignment, StoreError,
};
use sluice_telemetry::Clock;

use super::Role;
use super::embedded::Embedded;
use super::hooks::Hooks;
use crate::config::Config;

/// The logs, opened.
pub struct Logs {
    /// The event log, as the parts see it.
    pub events: Arc<dyn EventLog>,
    /// The dead-letter log.
    pub dead_letters: Arc<dyn EventLog>,
    /// Who owns which partition.
    pub(super) assignment: Arc<dyn Assignment>,
    /// Those in the data directory, for housekeeping; first that of events.
    embedded: Vec<EmbeddedLog>,
}

/// What a role stands on, opened.
pub struct Stores {
    /// The logs.
    pub logs: Logs,
    /// `D`, where the role asks it.
    pub(super) dedupe: Option<Arc<dyn DedupeIndex>>,
    /// Documents, where the role writes or asks them.
    pub documents: Option<Arc<dyn DocumentStore>>,
    /// Rows, where the role writes or asks them.
    pub rows: Option<Arc<dyn RowStore>>,
}

// === impl Stores ===

impl Stores {
    /// Opens what the role needs.
    ///
    /// # Errors
    /// For people: what could not be opened, and what to do.
    pub(super) async fn open(
        role: Role,
        config: &Config,
        clock: &Arc<dyn Clock>,
        hooks: &Hooks,
    ) -> Result<Self, String> {
        let embedded = Embedded::new(config, Arc::clone(clock), hooks);
        let dir = config.data_dir.clone();
        let opened = tokio::task::spawn_blocking(move || {
            std::fs::create_dir_all(&dir).map_err(|error| {
                format!("cannot create the data directory {}: {error}", dir.display())
            })?;
            let logs = embedded.logs()?;
            let stores = role.fan_out || role.query;
            let dedupe = stores.then(|| embedded.dedupe()).transpose()?;
            let documents = stores.then(|| embedded.documents()).transpose()?;
            let rows = stores.then(|| embedded.rows()).transpose()?;
            Ok::<_, String>((logs, dedupe, documents, rows))
        });
        let opened = opened.await.map_err(|error| format!("opening the stores failed: {error}"))?;
        let (logs, dedupe, documents, rows) = opened?;
        let documents = documents.map(|documents| (hooks.documents)(documents));
        Ok(Self { logs: Logs::embedded(logs, hooks), dedupe, documents, rows })
    }

    /// Where first copies of events are known.
    pub(super) fn first(&self) -> Option<FindFirst> {
        self.dedupe.clone().map(first_in)
    }

    /// Closes them, the logs first: what the stores were not told stays there.
    pub(super) async fn close(&self) -> Result<(), StoreError> {
        self.logs.events.close().await?;
        self.logs.dead_letters.close().await?;
        if let Some(documents) = &self.documents {
            documents.close().await?;
        }
        match &self.rows {
            Some(rows) => rows.close().await,
            None => Ok(()),
        }
    }
}

// === impl Logs ===

impl Logs {
    fn embedded(logs: [EmbeddedLog; 2], hooks: &Hooks) -> Self {
        let [events, dead_letters] = logs.clone();
        let events = (hooks.log)(Arc::new(events));
        let assignment = Arc::new(StaticAssignment::all(events.partitions()));
        Self { events, dead_letters: Arc::new(dead_letters), assignment, embedded: logs.into() }
    }

    /// Why the process must not go on; `None` where it may.
    pub fn poisoned(&self) -> Option<String> {
        self.embedded.iter().find_map(EmbeddedLog::poisoned)
    }

    /// What the writer of the embedded event log has done, where there is one.
    pub(super) fn embedded_figures(&self) -> Option<LogFigures> {
        self.embedded.first().map(EmbeddedLog::figures)
    }

    /// Retention of the logs in the data directory; blocks.
    pub(super) fn housekeep(&self) {
        for log in &self.embedded {
            if let Err(error) = log.housekeep() {
                tracing::error!(%error, "retention of the log failed");
            }
        }
    }
}
