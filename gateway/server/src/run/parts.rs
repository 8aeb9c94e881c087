//! Builds the parts of a process and puts them together.
//!
//! Composed by role: the collector appends, fan out reads the log and writes the
//! stores, query reads the stores. Every part is handed what it stands on.

use std::sync::Arc;
use std::time::Duration;

use sluice_admit::Tenants;
use sluice_append::Collect;
use sluice_fanout::{FanOut, FanOutDeps, LANES, Tail};
use sluice_query::QueryApi;
use sluice_remember::Remembered;
use sluice_telemetry::{Clock, Registry, SystemClock};

use super::Role;
use super::hooks::Hooks;
use super::metrics::Metrics;
use super::progress::Progress;
use super::questions;
use super::stores::Stores;
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
    /// What it stands on.
    pub stores: Stores,
    /// The collector, where the role has one.
    pub collect: Option<Arc<Collect>>,
    /// Fan out, where the role has one.
    pub fan_out: Option<Arc<FanOut>>,
    /// The query API, where the role has one.
    pub query: Option<QueryApi>,
    /// How far others have brought the log into the documents, where others do.
    progress: Option<Arc<Progress>>,
    /// Live events, where others bring in a part of the log.
    pub(super) tail: Option<Tail>,
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
        let stores = Stores::open(role, &config, &clock, hooks).await?;
        let fan_out = match role.fan_out {
            true => Some(Arc::new(start_fan_out(&config, &stores, &clock, &registry).await?)),
            false => None,
        };
        let collect = match role.collect {
            true => Some(start_collect(&config, &tenants, &stores, &clock, &registry).await?),
            false => None,
        };
        let metrics = Metrics::new(&registry);
        // A collector answers nothing.
        let others = role.query && (fan_out.is_none() || stores.logs.shares(&config));
        let watch = || Progress::watch(Arc::clone(&stores.logs.events), Arc::clone(&clock));
        let progress = others.then(watch).map(Arc::new);
        let live_max = config.fan_out.live_events_max;
        let tail = others.then(|| Tail::start(&stores.logs.events, live_max));
        let mut parts = Self {
            role,
            config,
            registry,
            metrics,
            clock,
            tenants,
            stores,
            collect,
            fan_out,
            query: None,
            progress,
            tail,
        };
        if role.query {
            parts.query = Some(questions::build(&parts)?);
        }
        Ok(parts)
    }

    /// Everything acknowledged before this moment can be asked for, milliseconds.
    pub fn complete_until_ms(&self) -> i64 {
        self.completeness()()
    }

    /// Tells [`complete_until_ms`](Self::complete_until_ms) at any time.
    pub(super) fn completeness(&self) -> Arc<dyn Fn() -> i64 + Send + Sync> {
        let (fan_out, progress) = (self.fan_out.clone(), self.progress.clone());
        let clock = Arc::clone(&self.clock);
        Arc::new(move || {
            let owned = fan_out.as_ref().map(|fan_out| fan_out.owned()).unwrap_or_default();
            let own = fan_out.as_ref().map(|fan_out| fan_out.complete_until_ms());
            let others = progress.as_ref().and_then(|progress| progress.complete_until_ms(&owned));
            own.into_iter().chain(others).min().unwrap_or_else(|| clock.now_ms())
        })
    }

    /// Ends the parts, those first that others do not stand on: fan out finishes
    /// its batches and commits, then the stores close.
    pub async fn close(&self, deadline: Duration) {
        if let Some(fan_out) = &self.fan_out
            && !fan_out.shutdown(deadline).await
        {
            tracing::warn!("fan out did not finish in time; it goes on after the next start");
        }
        match tokio::time::timeout(deadline, self.stores.close()).await {
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
    let opened = (stores.dedupe.clone(), stores.documents.clone(), stores.rows.clone());
    let (Some(dedupe), Some(documents), Some(rows)) = opened else {
        return Err("fan out needs its stores, and they were not opened".to_owned());
    };
    let deps = FanOutDeps {
        log: Arc::clone(&stores.logs.events),
        dead_letter_log: Arc::clone(&stores.logs.dead_letters),
        assignment: Arc::clone(&stores.logs.assignment),
        dedupe,
        documents,
        rows,
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
        Arc::clone(&stores.logs.events),
        Arc::clone(clock),
        registry,
    )
    .map_err(|error| format!("append: {error}"))?;
    let collect = Arc::new(collect);
    // Where no lane was ever declared, retention would not wait for one.
    for lane in LANES {
        stores.logs.events.declare_lane(lane).map_err(|error| format!("event log: {error}"))?;
    }
    let warmed = collect.warm(|progress| tracing::debug!(?progress, "remembering recent ids"));
    warmed.await.map_err(|error| format!("reading back the log's tail: {error}"))?;
    Ok(collect)
}
