//! Builds the query API on what the process has.

use std::sync::Arc;

use sluice_admit::Tenants;
use sluice_append::Collect;
use sluice_fanout::{DOCUMENTS_LANE, FanOut};
use sluice_query::{Access, AppTerms, QueryApi, QueryDeps, RecentFate};
use sluice_seams::{EventLog, Key};
use sluice_telemetry::{Clock, Registry};
use tokio::sync::broadcast;

use super::parts::Stores;
use crate::config::Config;

/// What the query API stands on besides the stores.
pub(super) struct Beside<'a> {
    pub config: &'a Config,
    pub tenants: &'a Arc<Tenants>,
    pub collect: Option<Arc<Collect>>,
    pub fan_out: Option<Arc<FanOut>>,
    pub clock: &'a Arc<dyn Clock>,
    pub registry: &'a Registry,
}

/// Builds it.
pub(super) fn build(stores: &Stores, beside: Beside<'_>) -> QueryApi {
    let Beside { config, tenants, collect, fan_out, clock, registry } = beside;
    let live = match &fan_out {
        Some(fan_out) => fan_out.live_sender(),
        // Without fan out in this process there is nothing live to show.
        None => broadcast::channel(1).0,
    };
    let (log, now) = (Arc::clone(&stores.log), Arc::clone(clock));
    let complete_until_ms = move || match &fan_out {
        Some(fan_out) => fan_out.complete_until_ms(),
        None => complete_until_ms(&*log, now.now_ms()),
    };
    let recent = move |key: Key| {
        let fate = collect.as_ref()?.recent_fate(key)?;
        let sluice_append::RecentFate { outcome, reason, detail, at_ms } = fate;
        Some(RecentFate { outcome, reason: Some(reason), detail, at_ms })
    };
    QueryApi::new(QueryDeps {
        documents: Arc::clone(&stores.documents),
        rows: Arc::clone(&stores.rows),
        log: Arc::clone(&stores.log),
        dedupe: Arc::clone(&stores.dedupe),
        access: access(tenants),
        live,
        complete_until_ms: Arc::new(complete_until_ms),
        recent: Arc::new(recent),
        clock: Arc::clone(clock),
        config: config.query.clone(),
        registry: registry.clone(),
    })
}

fn access(tenants: &Arc<Tenants>) -> Access {
    let tenants = Arc::clone(tenants);
    Arc::new(move |app, bearer| {
        let tenant = tenants.read_access(app, bearer, None)?;
        Ok(AppTerms { timezone: tenant.timezone().into() })
    })
}

/// Without fan out in this process: the present where the documents lane has
/// committed all of the log, else unknown, which is 0.
pub(super) fn complete_until_ms(log: &dyn EventLog, now_ms: i64) -> i64 {
    let behind = (0..log.partitions()).any(|partition| {
        let committed = log.committed(DOCUMENTS_LANE, partition).ok().flatten().unwrap_or(0);
        committed < log.bounds(partition).1
    });
    if behind { 0 } else { now_ms }
}
