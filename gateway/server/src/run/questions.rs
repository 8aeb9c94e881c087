//! Builds the query API on what the process has.

use std::sync::Arc;

use sluice_admit::Tenants;
use sluice_query::{Access, AppTerms, QueryApi, QueryDeps, RecentFate};
use sluice_seams::Key;
use tokio::sync::broadcast;

use super::Parts;

/// Builds it.
pub(super) fn build(parts: &Parts) -> Result<QueryApi, String> {
    let stores = &parts.stores;
    let opened = (stores.documents.clone(), stores.rows.clone(), stores.first());
    let (Some(documents), Some(rows), Some(first)) = opened else {
        return Err("the query API needs its stores, and they were not opened".to_owned());
    };
    let live = match (&parts.tail, &parts.fan_out) {
        (Some(tail), _) => tail.live_sender(),
        (None, Some(fan_out)) => fan_out.live_sender(),
        // A role that asks has one or the other.
        (None, None) => broadcast::channel(1).0,
    };
    let collect = parts.collect.clone();
    let recent = move |key: Key| {
        let fate = collect.as_ref()?.recent_fate(key)?;
        let sluice_append::RecentFate { outcome, reason, detail, at_ms } = fate;
        Some(RecentFate { outcome, reason: Some(reason), detail, at_ms })
    };
    Ok(QueryApi::new(QueryDeps {
        documents,
        rows,
        log: Arc::clone(&stores.logs.events),
        first,
        access: access(&parts.tenants),
        live,
        complete_until_ms: parts.completeness(),
        recent: Arc::new(recent),
        clock: Arc::clone(&parts.clock),
        config: parts.config.query.clone(),
        registry: parts.registry.clone(),
    }))
}

fn access(tenants: &Arc<Tenants>) -> Access {
    let tenants = Arc::clone(tenants);
    Arc::new(move |app, bearer| {
        let tenant = tenants.read_access(app, bearer, None)?;
        Ok(AppTerms { timezone: tenant.timezone().into() })
    })
}
