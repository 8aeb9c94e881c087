//! Builds the parts of a process and puts them together.
//!
//! Composed by role: the collector appends, fan out reads the log and writes the
//! stores, query reads the stores. Every part is handed what it stands on; this
//! is the only place that knows adapters by name.

use std::sync::Arc;
use std::time::Duration;

use sluice_admit::Tenants;
use sluice_append::Collect;
use sluice_embedded::log::{EmbeddedLog, LogFigures};
use sluice_fanout::{FanOut, FanOutDeps, LANES};
use sluice_query::QueryApi;
use sluice_remember::Remembered;
use sluice_seams::{DedupeIndex, DocumentStore, EventLog, RowStore, StaticAssignment};
use sluice_telemetry::{Clock, Registry, SystemClock};

use super::Role;
use super::embedded;
use super::hooks::Hooks;
use super::metrics::Metrics;
use super::questions;
use crate::config::Config;

/// Everything that a process runs.
pub struct Parts {
    /// Which of them it runs.
    pub role: Role,
    /// Its config.
    pub config: Config,
    /// Metric families.
    pub registry: Registry,
    /// Metrics of the process itself.
    pub metrics: Metrics,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Apps.
    pub tenants: Arc<Tenants>,
    /// The event log, as the parts see it.
    pub log: Arc<dyn EventLog>,
    /// The stores.
    pub documents: Arc<dyn DocumentStore>,
    /// The stores.
    pub rows: Arc<dyn RowStore>,
    /// The collector, where the role has one.
    pub collect: Option<Arc<Collect>>,
    /// Fan out, where the role has one.
    pub fan_out: Option<Arc<FanOut>>,
    /// The query API, where the role has one.
    pub query: Option<QueryApi>,
    /// The embedded logs, for housekeeping.
    pub(super) embedded_logs: [EmbeddedLog; 2],
}

/// The stores, opened.
pub(super) struct Stores {
    pub log: Arc<dyn EventLog>,
    pub dead_letter_log: Arc<dyn EventLog>,
    pub dedupe: Arc<dyn DedupeIndex>,
    pub documents: Arc<dyn DocumentStore>,
    pub rows: Arc<dyn RowStore>,
    pub embedded_logs: [EmbeddedLog; 2],
}

// === impl Parts ===

impl Parts {
    /// Opens the stores and starts what the role runs, in the order in which the
    /// parts stand on each other.
    pub async fn build(role: Role, config: Config, hooks: &Hooks) -> Result<Self, String> {
        let registry = Registry::new();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let tenants = Tenants::new(config.apps(), Arc::clone(&clock), &registry)
            .map_err(|problems| problems.join("\n"))?;
        let tenants = Arc::new(tenants);
        let stores = embedded::open(&config, Arc::clone(&clock), hooks).await?;
        let fan_out = match role.fan_out {
            true => Some(Arc::new(start_fan_out(&config, &stores, &clock, &registry).await?)),
            false => None,
        };
        let collect = match role.collect {
            true => Some(start_collect(&config, &tenants, &stores, &clock, &registry).await?),
            false => None,
        };
        let metrics = Metrics::new(&registry);
        let query = role.query.then(|| {
            let beside = questions::Beside {
                config: &config,
                tenants: &tenants,
                collect: collect.clone(),
                fan_out: fan_out.clone(),
                clock: &clock,
                registry: &registry,
            };
            questions::build(&stores, beside)
        });
        let Stores { log, documents, rows, embedded_logs, .. } = stores;
        Ok(Self {
            role,
            config,
            registry,
            metrics,
            clock,
            tenants,
            log,
            documents,
            rows,
            collect,
            fan_out,
            query,
            embedded_logs,
        })
    }

    /// Everything acknowledged before this moment can be asked for, milliseconds.
    pub fn complete_until_ms(&self) -> i64 {
        match &self.fan_out {
            Some(fan_out) => fan_out.complete_until_ms(),
            None => questions::complete_until_ms(&*self.log, self.clock.now_ms()),
        }
    }

    /// Why the process must not go on; `None` where it may.
    pub fn poisoned(&self) -> Option<String> {
        self.embedded_logs.iter().find_map(EmbeddedLog::poisoned)
    }

    /// What the writer of the event log has done.
    pub(super) fn log_figures(&self) -> LogFigures {
        self.embedded_logs[0].figures()
    }

    /// Retention of the logs; blocks.
    pub fn housekeep(&self) {
        for log in &self.embedded_logs {
            if let Err(error) = log.housekeep() {
                tracing::error!(%error, "retention of the log failed");
            }
        }
    }

    /// Ends the parts, those first that others do not stand on: fan out finishes
    /// its batches and commits, then the stores close.
    pub async fn close(&self, deadline: Duration) {
        if let Some(fan_out) = &self.fan_out
            && !fan_out.shutdown(deadline).await
        {
            tracing::warn!("fan out did not finish in time; it goes on after the next start");
        }
        let closed = tokio::time::timeout(deadline, async {
            self.log.close().await?;
            self.embedded_logs[1].close().await?;
            self.documents.close().await?;
            self.rows.close().await
        });
        match closed.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "a store did not close cleanly"),
            Err(_) => tracing::error!("the stores did not close in time"),
        }
    }
}

async fn start_fan_out(
    config: &Config,
    stores: &Stores,
    clock: &Arc<dyn Clock>,
    registry: &Registry,
) -> Result<FanOut, String> {
    let deps = FanOutDeps {
        log: Arc::clone(&stores.log),
        dead_letter_log: Arc::clone(&stores.dead_letter_log),
        assignment: Arc::new(StaticAssignment::all(stores.log.partitions())),
        dedupe: Arc::clone(&stores.dedupe),
        documents: Arc::clone(&stores.documents),
        rows: Arc::clone(&stores.rows),
        clock: Arc::clone(clock),
        metrics: registry.clone(),
    };
    let started = FanOut::start(config.fan_out.clone(), deps).await;
    started.map_err(|error| format!("fan out did not start: {error}"))
}

async fn start_collect(
    config: &Config,
    tenants: &Arc<Tenants>,
    stores: &Stores,
    clock: &Arc<dyn Clock>,
    registry: &Registry,
) -> Result<Arc<Collect>, String> {
    let remembered =
        Remembered::new(config.remember, registry).map_err(|error| format!("remember: {error}"))?;
    let collect = Collect::new(
        config.append,
        Arc::clone(tenants),
        remembered,
        Arc::clone(&stores.log),
        Arc::clone(clock),
        registry,
    )
    .map_err(|error| format!("append: {error}"))?;
    let collect = Arc::new(collect);
    // Where no lane was ever declared, retention would not wait for one.
    for lane in LANES {
        stores.log.declare_lane(lane).map_err(|error| format!("event log: {error}"))?;
    }
    let warmed = collect.warm(|progress| tracing::debug!(?progress, "remembering recent ids"));
    warmed.await.map_err(|error| format!("reading back the log's tail: {error}"))?;
    Ok(collect)
}
