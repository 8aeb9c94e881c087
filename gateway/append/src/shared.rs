//! What all requests share.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use sluice_admit::Tenants;
use sluice_event::{Reason, Refusal};
use sluice_remember::Remembered;
use sluice_seams::{AppendError, EventLog};
use sluice_telemetry::Clock;

use crate::config::CollectConfig;
use crate::fate::Fates;
use crate::metrics::Metrics;
use crate::recent::Recent;

pub(crate) struct Shared {
    pub(crate) config: CollectConfig,
    pub(crate) tenants: Arc<Tenants>,
    pub(crate) remembered: Arc<Remembered>,
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) recent: Recent,
    pub(crate) warm: AtomicBool,
    pub(crate) draining: AtomicBool,
    /// Why the log must not be used any more.
    pub(crate) poisoned: OnceLock<String>,
}

// === impl Shared ===

impl Shared {
    /// The reason that events of a failed append are answered with. Details go
    /// to our log, not to the client.
    pub(crate) fn failed(&self, error: &AppendError, fates: &mut Fates) -> Reason {
        match error {
            AppendError::NotWritten { after, .. } => {
                // Every request meets this while the log is away: readiness and
                // the metrics tell it once.
                tracing::debug!(%error, "an append was refused");
                fates.wait(u64::try_from(after.as_millis()).unwrap_or(u64::MAX));
                Reason::LogUnavailable
            }
            AppendError::Unknown(_) => {
                tracing::warn!(%error, "an append may or may not have been written");
                Reason::OutcomeUnknown
            }
            AppendError::Poisoned(detail) => {
                if self.poisoned.set(detail.clone()).is_ok() {
                    tracing::error!(%error, "nothing is taken any more; restart this process");
                }
                Reason::LogUnavailable
            }
        }
    }

    /// Why nothing is taken now.
    pub(crate) fn unready(&self) -> Option<Refusal> {
        let wait = self.config.retry_after_ms;
        let refuse = |reason, detail| Some(Refusal::new(reason, detail).retry_after_ms(wait));
        if self.draining.load(Ordering::Acquire) {
            return refuse(Reason::Draining, "this gateway is shutting down: resend");
        }
        if !self.warm.load(Ordering::Acquire) {
            return refuse(Reason::LogUnavailable, "this gateway is starting: wait and resend");
        }
        if self.poisoned.get().is_some() || self.log.refusing().is_some() {
            let detail = "events cannot be made durable now: wait and resend with the same ids";
            return refuse(Reason::LogUnavailable, detail);
        }
        None
    }
}
