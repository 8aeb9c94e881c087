//! The collector: admission, memory and log put together.

use std::collections::HashSet;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use sluice_admit::{Tenant, Tenants, Terms};
use sluice_event::service::{InFlight, SdkConfig};
use sluice_event::{
    Batch, Collector, Dialect, Grant, Outcome, Presented, Reason, Receipt, Refusal,
};
use sluice_remember::Remembered;
use sluice_seams::key::AppHash;
use sluice_seams::{EventLog, Key};
use sluice_telemetry::{Clock, Registry};
use tokio::time::Instant;

use crate::config::{CollectConfig, CollectConfigError};
use crate::fate::{Fate, Fates};
use crate::metrics::{Metrics, Tracked};
use crate::prepare::{self, Prepared};
use crate::recent::{Recent, RecentFate};
use crate::round::{Round, await_others};
use crate::shared::Shared;

/// Takes batches: checks them, tells copies from new events, makes the new ones
/// durable, and answers with the fate of each.
///
/// Cloning shares it.
#[derive(Clone)]
pub struct Collect {
    pub(crate) shared: Arc<Shared>,
}

// === impl Collect ===

impl Collect {
    /// A collector over a log. Takes nothing until [`warm`](Self::warm) is done.
    pub fn new(
        config: CollectConfig,
        tenants: Arc<Tenants>,
        remembered: Arc<Remembered>,
        log: Arc<dyn EventLog>,
        clock: Arc<dyn Clock>,
        registry: &Registry,
    ) -> Result<Self, CollectConfigError> {
        config.check()?;
        let shared = Shared {
            config,
            tenants,
            remembered,
            log,
            clock,
            metrics: Arc::new(Metrics::new(registry)),
            recent: Recent::new(config.recent_max),
            warm: AtomicBool::new(false),
            draining: AtomicBool::new(false),
            poisoned: OnceLock::new(),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Refuses whatever comes from now on; what was taken goes on.
    pub fn drain(&self) {
        self.shared.draining.store(true, Ordering::Release);
    }

    /// Events whose fate is not known yet.
    pub fn in_flight(&self) -> usize {
        self.shared.remembered.in_flight()
    }

    /// Why the log must not be used any more in this process: go unready, exit,
    /// start anew. `None` where it may be.
    pub fn poisoned(&self) -> Option<&str> {
        self.shared.poisoned.get().map(String::as_str)
    }

    /// What lately became of an event that was rejected or not taken; `None`
    /// where nothing is known, or so many came since that it was forgotten.
    pub fn recent_fate(&self, key: Key) -> Option<RecentFate> {
        self.shared.recent.get(key)
    }
}

impl Collector for Collect {
    fn authenticate(&self, presented: &Presented<'_>) -> Result<Grant, Refusal> {
        self.shared.tenants.authenticate(presented)
    }

    fn admit_bytes(
        &self,
        grant: &Grant,
        presented: &Presented<'_>,
        body: &[u8],
    ) -> Result<InFlight, Refusal> {
        self.shared.tenants.admit_bytes(grant, presented, body)
    }

    /// Everything up to the hand-over to the log happens in the call. The future
    /// may be dropped at any point: what was handed over is appended all the
    /// same, and its ids are released at once rather than remembered. A copy
    /// that comes then is appended a second time, which costs space and nothing
    /// else: the log decides who was first.
    fn collect(
        &self,
        grant: &Grant,
        dialect: Dialect,
        batch: Batch<'_>,
    ) -> Result<impl Future<Output = Receipt> + Send + 'static, Refusal> {
        let (since, shared) = (Instant::now(), &self.shared);
        if let Some(refusal) = shared.unready() {
            return Err(refusal);
        }
        let received_at_ms = shared.clock.now_ms();
        let terms = Terms::of(grant);
        terms.check_envelope(&batch.envelope)?;
        shared.tenants.admit_events(grant, dialect, batch.events.len())?;
        let Batch { envelope, mut events } = batch;
        let (received, client_lost) = (events.len(), envelope.dropped);
        let mut fates = Fates::with_capacity(received);
        let passed = prepare::check(terms, &envelope, &mut events, received_at_ms, &mut fates);
        let head = prepare::head_of(grant, dialect, &envelope, received_at_ms);
        let prepared = prepare::send(shared, grant, &head, &passed, fates)?;
        let tracked = Tracked::new(&shared.metrics, &grant.app_id, received);
        shared.metrics.lost_by_client(&grant.app_id, client_lost);
        shared.metrics.prepared(since.elapsed());
        Ok(finish(shared.clone(), grant.app_id.clone(), tracked, prepared))
    }

    /// Judges as `collect` does and leaves no trace (GW-VALIDATE-1).
    fn validate(&self, grant: &Grant, batch: Batch<'_>) -> Result<Receipt, Refusal> {
        let (shared, received_at_ms) = (&self.shared, self.shared.clock.now_ms());
        let terms = Terms::of(grant);
        terms.check_envelope(&batch.envelope)?;
        let Batch { envelope, mut events } = batch;
        let mut fates = Fates::with_capacity(events.len());
        let passed = prepare::check(terms, &envelope, &mut events, received_at_ms, &mut fates);
        let mut seen = HashSet::with_capacity(passed.len());
        for event in &passed {
            let key = event.admitted.key;
            let known = !seen.insert(key) || shared.remembered.contains(key);
            fates.set(event.slot, if known { Fate::Duplicate } else { Fate::Accepted });
        }
        Ok(fates.receipt(received_at_ms, 0))
    }

    fn sdk_config(&self, grant: &Grant) -> SdkConfig {
        Tenant::of(grant).sdk().clone()
    }

    fn refused(&self, app_id: Option<&str>, dialect: Dialect, refusal: &Refusal) {
        self.shared.metrics.refused(app_id, dialect, refusal.reason);
    }

    fn unready(&self) -> Option<Refusal> {
        self.shared.unready()
    }
}

/// What is left of a request once its records are handed over.
async fn finish(
    shared: Arc<Shared>,
    app: Arc<str>,
    tracked: Tracked,
    prepared: Prepared,
) -> Receipt {
    let Prepared { mut fates, round, head } = prepared;
    let mut waiting = round.settle(&shared, &mut fates).await;
    let until = Instant::now() + Duration::from_millis(shared.config.in_flight_wait_ms);
    while !waiting.is_empty() {
        let released = await_others(waiting, until, &mut fates).await;
        if released.is_empty() {
            break;
        }
        let late = Instant::now() >= until;
        let again =
            if late { Err(released) } else { Round::again(&shared, &head, released, &mut fates) };
        match again {
            Ok(round) => waiting = round.settle(&shared, &mut fates).await,
            Err(events) => {
                for event in events {
                    fates.set(event.slot, Fate::Retry(Reason::InFlight));
                }
                break;
            }
        }
    }
    shared.metrics.reused(&app, fates.reused);
    let receipt = fates.receipt(shared.clock.now_ms(), shared.config.retry_after_ms);
    note_recent(&shared, &app, &receipt);
    tracked.settle(&receipt);
    receipt
}

fn note_recent(shared: &Shared, app: &str, receipt: &Receipt) {
    if receipt.rejected == 0 && receipt.retry == 0 {
        return;
    }
    let hash = AppHash::of(app);
    let refused = receipt.results.iter().filter(|r| r.outcome != Outcome::Duplicate);
    shared.recent.note(refused.filter(|result| !result.id.is_empty()).filter_map(|result| {
        let (reason, detail) = (result.reason?, result.detail.clone());
        let fate =
            RecentFate { outcome: result.outcome, reason, detail, at_ms: receipt.server_time_ms };
        Some((hash.key(&result.id), fate))
    }));
}
