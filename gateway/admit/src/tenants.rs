//! All apps: who may report, who may ask, and how much at once.
//!
//! What the config says is one immutable state that a reload swaps as a whole;
//! readers never wait. A config with a fault changes nothing. Limiters of apps
//! whose rates did not change keep their state; grants already given keep the
//! terms they were given under.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use sluice_event::reason::{Reason, Refusal};
use sluice_event::service::{Dialect, Grant, InFlight, KeyKind, Presented};
use sluice_telemetry::{Clock, Registry};

use crate::addresses::Addresses;
use crate::config::{AppsConfig, GlobalLimits};
use crate::in_flight::Load;
use crate::keyring::{Keyring, Use};
use crate::metrics::{LimitedLabels, Metrics, ReloadLabels};
use crate::rate::Ticks;
use crate::signature;
use crate::tenant::{Tenant, Terms};

const WHERE: &str = "send it as `Authorization: Bearer <key>`, as `X-Sluice-Key: <key>`, or as \
                     `?key=<key>` where the host allows no header";

/// The apps of this gateway.
pub struct Tenants {
    state: ArcSwap<State>,
    /// Held while a reload builds the next state from the last one.
    reloading: parking_lot::Mutex<()>,
    load: Load,
    clock: Arc<dyn Clock>,
    ticks: Ticks,
    metrics: Metrics,
}

/// What one config says.
struct State {
    tenants: HashMap<Arc<str>, Arc<Tenant>>,
    keyring: Keyring,
    limits: GlobalLimits,
    addresses: Arc<Addresses>,
}

// === impl State ===

impl State {
    fn new(config: &AppsConfig, before: Option<&Self>, ticks: &Ticks) -> Self {
        let limits = config.limits.clone();
        let kept = before.filter(|before| before.limits == limits);
        let addresses = kept.map_or_else(
            || Arc::new(Addresses::new(&limits, ticks.clone())),
            |before| Arc::clone(&before.addresses),
        );
        let (mut tenants, mut keyring) = (HashMap::new(), Keyring::default());
        for (id, app) in &config.apps {
            let before = before.and_then(|before| before.tenants.get(id.as_str()));
            let tenant = Arc::new(Tenant::new(id, app, before.map(Arc::as_ref), ticks));
            keyring.add(&tenant, app);
            tenants.insert(Arc::clone(tenant.app_id()), tenant);
        }
        Self { tenants, keyring, limits, addresses }
    }
}

// === impl Tenants ===

impl Tenants {
    /// Builds the apps; `Err`: every fault of the config. `clock` tells the time
    /// that signatures are judged by; rates go by the monotonic clock.
    pub fn new(
        config: AppsConfig,
        clock: Arc<dyn Clock>,
        registry: &Registry,
    ) -> Result<Self, Vec<String>> {
        Self::with_ticks(config, clock, Ticks::monotonic(), registry)
    }

    /// As [`Tenants::new`], with the clock that rates go by.
    pub fn with_ticks(
        config: AppsConfig,
        clock: Arc<dyn Clock>,
        ticks: Ticks,
        registry: &Registry,
    ) -> Result<Self, Vec<String>> {
        config.validate()?;
        let metrics = Metrics::new(registry);
        let load = Load::new(metrics.in_flight_bytes.clone(), metrics.in_flight_requests.clone());
        let state = ArcSwap::from_pointee(State::new(&config, None, &ticks));
        metrics.apps.set(config.apps.len() as i64);
        let reloading = parking_lot::Mutex::new(());
        Ok(Self { state, reloading, load, clock, ticks, metrics })
    }

    /// Takes a new config as a whole; `Err`: every fault of it, and the old one
    /// stays.
    pub fn reload(&self, config: AppsConfig) -> Result<(), Vec<String>> {
        let _one_at_a_time = self.reloading.lock();
        let verdict = config.validate();
        let result = if verdict.is_ok() { "taken" } else { "refused" };
        self.metrics.reloads.get_or_create(&ReloadLabels { result }).inc();
        verdict?;
        let before = self.state.load_full();
        self.state.store(Arc::new(State::new(&config, Some(&before), &self.ticks)));
        self.metrics.apps.set(config.apps.len() as i64);
        for gone in before.tenants.keys().filter(|id| !config.apps.contains_key(&***id)) {
            for kind in ["events", "bytes"] {
                self.metrics.rate_limited.remove(&LimitedLabels { app: gone.to_string(), kind });
            }
        }
        Ok(())
    }

    /// Lets a request in by the key, the Sensors project or the DataRangers `app_id` that it
    /// presents.
    ///
    /// # Errors
    /// `key_missing`, `key_unknown`, `key_forbidden`; `rate_limited` where the
    /// address came too often without a known key.
    pub fn authenticate(&self, presented: &Presented<'_>) -> Result<Grant, Refusal> {
        let state = self.state.load();
        let foreign = (presented.sensors_project, presented.datarangers_app_id);
        let found = match (presented.key, foreign) {
            (Some(key), _) => Self::by_key(&state, key),
            (None, (Some((project, token)), _)) => Self::by_project(&state, project, token),
            (None, (None, Some(app_id))) => state.keyring.datarangers(app_id).ok_or_else(|| {
                let detail = "this DataRangers app_id is not known here: add it to an app's \
                              datarangers_app_ids";
                Refusal::new(Reason::KeyUnknown, detail)
            }),
            (None, (None, None)) => {
                let detail = format!("no key was presented: {WHERE}");
                Err(Refusal::new(Reason::KeyMissing, detail))
            }
        };
        let terms = found.map_err(|refusal| self.stranger(&state, presented.peer, refusal))?;
        if terms.kind == KeyKind::Write {
            // GW-KEY-4
            terms.tenant.check_referer(presented.referer)?;
        }
        Ok(terms.grant())
    }

    fn by_key<'s>(state: &'s State, key: &str) -> Result<&'s Arc<Terms>, Refusal> {
        match state.keyring.find(key) {
            Some(Use::Report(terms)) => Ok(terms),
            Some(Use::Read(_)) => Err(Refusal::new(
                Reason::KeyForbidden,
                "this is a read token: it may ask questions but not report; use a write or server key",
            )),
            None => Err(Refusal::new(
                Reason::KeyUnknown,
                format!(
                    "the key is not known here: check that it is a write or server key of the app, and {WHERE}"
                ),
            )),
        }
    }

    fn by_project<'s>(
        state: &'s State,
        project: &str,
        token: &str,
    ) -> Result<&'s Arc<Terms>, Refusal> {
        let found = state.keyring.project(project).filter(|known| known.takes(token));
        found.map(|known| &known.terms).ok_or_else(|| {
            Refusal::new(
                Reason::KeyUnknown,
                "the Sensors project is not known here or its token is wrong: check `?project=` \
                 and `?token=` in the SDK's server_url",
            )
        })
    }

    /// Counts a request without a known key against its address.
    fn stranger(&self, state: &State, peer: Option<IpAddr>, refusal: Refusal) -> Refusal {
        if !matches!(refusal.reason, Reason::KeyMissing | Reason::KeyUnknown) {
            return refusal;
        }
        self.metrics.unknown_keys.inc();
        let taken = state.addresses.take(peer);
        self.metrics.addresses.set(state.addresses.len() as i64);
        let Err(wait_ms) = taken else { return refusal };
        self.metrics.addresses_limited.inc();
        Refusal::new(
            Reason::RateLimited,
            "too many requests without a known key from this address: check the key before resending",
        )
        .limit(u64::from(state.limits.unknown_keys_per_s))
        .retry_after_ms(wait_ms)
    }

    /// Whether a bearer of this token may ask the questions of an app. An app
    /// that does not exist is answered like a wrong token.
    ///
    /// # Errors
    /// As [`Tenants::authenticate`].
    pub fn read_access(
        &self,
        app_id: &str,
        bearer: Option<&str>,
        peer: Option<IpAddr>,
    ) -> Result<Arc<Tenant>, Refusal> {
        const HOW: &str = "send a read token of this app as `Authorization: Bearer <read token>`";
        let state = self.state.load();
        let refusal = match bearer.map(|bearer| state.keyring.find(bearer)) {
            Some(Some(Use::Read(tenant))) if &**tenant.app_id() == app_id => {
                return Ok(Arc::clone(tenant));
            }
            Some(Some(Use::Read(_))) => {
                Refusal::new(Reason::KeyForbidden, format!("the token is another app's: {HOW}"))
            }
            Some(Some(Use::Report(_))) => {
                Refusal::new(Reason::KeyForbidden, format!("this key may only report: {HOW}"))
            }
            Some(None) => {
                Refusal::new(Reason::KeyUnknown, format!("the token is not known: {HOW}"))
            }
            None => Refusal::new(Reason::KeyMissing, format!("no token was presented: {HOW}")),
        };
        Err(self.stranger(&state, peer, refusal))
    }

    /// Takes a body as it came over the wire. It counts as in flight until the
    /// permit is dropped.
    ///
    /// # Errors
    /// `overloaded`, `signature_invalid`, `signature_expired`, `rate_limited`.
    pub fn admit_bytes(
        &self,
        grant: &Grant,
        presented: &Presented<'_>,
        body: &[u8],
    ) -> Result<InFlight, Refusal> {
        let terms = Terms::of(grant);
        let entered = self.load.enter(body.len() as u64, &self.state.load().limits);
        let permit = entered.inspect_err(|_| {
            self.metrics.shed.inc();
        })?;
        // Before the rate: whoever has no secret must not spend what is the app's.
        if let Some(secret) = &terms.hmac_secret {
            signature::verify(secret, presented.signature, body, self.clock.now_ms())?;
        }
        let rate = &terms.tenant.rate;
        let taken = rate.take_bytes(body.len());
        taken.map_err(|wait| self.limited(&terms.tenant, "bytes", rate.bytes_per_s(), wait))?;
        Ok(permit)
    }

    /// Takes the events of a decoded batch. More than a burst waits for a full
    /// bucket.
    ///
    /// # Errors
    /// `too_many_events`, `rate_limited`.
    pub fn admit_events(
        &self,
        grant: &Grant,
        dialect: Dialect,
        count: usize,
    ) -> Result<(), Refusal> {
        let Terms { tenant, .. } = Terms::of(grant);
        let max = tenant.limits().batch_events_max_of(dialect);
        if count > max {
            let detail = format!("{count} events in one batch, at most {max} are taken: split it");
            return Err(Refusal::new(Reason::TooManyEvents, detail).limit(max as u64));
        }
        let taken = tenant.rate.take_events(count);
        taken.map_err(|wait| self.limited(tenant, "events", tenant.rate.events_per_s(), wait))
    }

    fn limited(&self, app: &Tenant, kind: &'static str, per_s: Option<u64>, wait: u64) -> Refusal {
        let labels = LimitedLabels { app: app.app_id().to_string(), kind };
        self.metrics.rate_limited.get_or_create(&labels).inc();
        let per_s = per_s.unwrap_or_default();
        let detail = format!("this app is over its {per_s} {kind} per second: resend later");
        Refusal::new(Reason::RateLimited, detail).limit(per_s).retry_after_ms(wait)
    }

    /// An app by id.
    pub fn tenant(&self, app_id: &str) -> Option<Arc<Tenant>> {
        self.state.load().tenants.get(app_id).cloned()
    }

    /// Ids of all apps, in order.
    pub fn app_ids(&self) -> Vec<Arc<str>> {
        let mut ids: Vec<_> = self.state.load().tenants.keys().cloned().collect();
        ids.sort_unstable();
        ids
    }
}

#[cfg(test)]
#[path = "tests/tenants.rs"]
mod tests;
