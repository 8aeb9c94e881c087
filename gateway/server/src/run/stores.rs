//! Opens what a role stands on, each part in the engine that the config names.
//!
//! A role opens only what it needs: a collector never touches a store.

use std::sync::Arc;

use sluice_elasticsearch::ElasticsearchDocuments;
use sluice_embedded::log::{EmbeddedLog, LogFigures};
use sluice_hbase::HbaseRows;
use sluice_kafka::KafkaLog;
use sluice_query::{FindFirst, first_in};
use sluice_seams::{
    Assignment, DedupeIndex, DocumentStore, EventLog, First, RowStore, StaticAssignment, StoreError,
};
use sluice_telemetry::Clock;

use super::Role;
use super::embedded::Embedded;
use super::hooks::Hooks;
use super::shared;
use crate::config::{Config, DocumentsEngine, LogEngine, RowsEngine};

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
    /// That of events, where it is in Kafka.
    pub(super) kafka: Option<KafkaLog>,
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
    /// The documents once more, where they are in Elasticsearch.
    pub(super) elasticsearch: Option<ElasticsearchDocuments>,
    /// The rows once more, where they are in HBase.
    pub(super) hbase: Option<Arc<HbaseRows>>,
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
        if let Some(why) = config.refuses(role) {
            return Err(why);
        }
        std::fs::create_dir_all(&config.data_dir).map_err(|error| {
            format!("cannot create the data directory {}: {error}", config.data_dir.display())
        })?;
        let embedded = Embedded::new(config, Arc::clone(clock), hooks);
        let logs = match config.log.engine {
            LogEngine::Embedded => Logs::embedded(open(&embedded, Embedded::logs).await?, hooks),
            LogEngine::Kafka => Logs::kafka(role, config, clock, hooks).await?,
        };
        let mut stores = Self {
            logs,
            dedupe: None,
            documents: None,
            rows: None,
            elasticsearch: None,
            hbase: None,
        };
        // In the data directory `D` is the only one who knows first copies.
        if role.fan_out || (role.query && config.log.engine == LogEngine::Embedded) {
            stores.dedupe = Some(open(&embedded, Embedded::dedupe).await?);
        }
        if role.fan_out || role.query {
            stores.open_documents(config, clock, &embedded).await?;
            stores.open_rows(config, clock, &embedded).await?;
            stores.documents = stores.documents.map(|documents| (hooks.documents)(documents));
        }
        Ok(stores)
    }

    async fn open_documents(
        &mut self,
        config: &Config,
        clock: &Arc<dyn Clock>,
        embedded: &Embedded,
    ) -> Result<(), String> {
        self.documents = Some(match config.documents.engine {
            DocumentsEngine::Embedded => open(embedded, Embedded::documents).await?,
            DocumentsEngine::Elasticsearch => {
                let documents = shared::documents(config, clock).await?;
                self.elasticsearch = Some(documents.clone());
                Arc::new(documents)
            }
        });
        Ok(())
    }

    async fn open_rows(
        &mut self,
        config: &Config,
        clock: &Arc<dyn Clock>,
        embedded: &Embedded,
    ) -> Result<(), String> {
        self.rows = Some(match config.rows.engine {
            RowsEngine::Embedded => open(embedded, Embedded::rows).await?,
            RowsEngine::Hbase => {
                let rows = Arc::new(shared::rows(config, clock).await?);
                self.hbase = Some(Arc::clone(&rows));
                rows
            }
        });
        Ok(())
    }

    /// Where first copies of events are known: `D`, which knows them first, and
    /// the documents, which know those that other workers brought in.
    pub(super) fn first(&self) -> Option<FindFirst> {
        let dedupe = self.dedupe.clone().map(first_in);
        let documents = self.elasticsearch.clone();
        if dedupe.is_none() && documents.is_none() {
            return None;
        }
        Some(Arc::new(move |key| {
            let (dedupe, documents) = (dedupe.clone(), documents.clone());
            Box::pin(async move {
                if let Some(dedupe) = dedupe
                    && let Some(first) = dedupe(key).await?
                {
                    return Ok(Some(first));
                }
                let Some(documents) = documents else { return Ok(None) };
                let found = documents.find(key).await?;
                Ok(found.map(|found| First {
                    position: found.position,
                    day: found.day,
                    fingerprint: found.fingerprint,
                }))
            })
        }))
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

/// Opening what is in the data directory reads and repairs tails: it blocks.
async fn open<T: Send + 'static>(
    embedded: &Embedded,
    work: fn(&Embedded) -> Result<T, String>,
) -> Result<T, String> {
    let embedded = embedded.clone();
    let opened = tokio::task::spawn_blocking(move || work(&embedded)).await;
    opened.map_err(|error| format!("opening the data directory failed: {error}"))?
}

// === impl Logs ===

impl Logs {
    fn embedded(logs: [EmbeddedLog; 2], hooks: &Hooks) -> Self {
        let [events, dead_letters] = logs.clone();
        let events = (hooks.log)(Arc::new(events));
        let assignment = Arc::new(StaticAssignment::all(events.partitions()));
        let dead_letters = Arc::new(dead_letters);
        Self { events, dead_letters, assignment, embedded: logs.into(), kafka: None }
    }

    async fn kafka(
        role: Role,
        config: &Config,
        clock: &Arc<dyn Clock>,
        hooks: &Hooks,
    ) -> Result<Self, String> {
        let copy = config.keeps_a_copy() && role.fan_out;
        let kafka = if copy { shared::of_copy(config)? } else { config.kafka.clone() };
        let [events, dead_letters] = shared::logs(&kafka, clock).await?;
        let assignment: Arc<dyn Assignment> = match role.fan_out && !copy {
            true => Arc::new(shared::assignment(&kafka)?),
            false => Arc::new(StaticAssignment::all(kafka.partitions)),
        };
        Ok(Self {
            events: (hooks.log)(Arc::new(events.clone())),
            dead_letters: Arc::new(dead_letters),
            assignment,
            embedded: Vec::new(),
            kafka: Some(events),
        })
    }

    /// Whether other processes bring in a part of the partitions.
    pub(super) fn shares(&self, config: &Config) -> bool {
        self.kafka.is_some() && !config.keeps_a_copy()
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
