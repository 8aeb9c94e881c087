//! One app as it is now, and the terms of one key of it.

use std::sync::Arc;

use sluice_event::Limits;
use sluice_event::reason::{Reason, Refusal};
use sluice_event::service::{Grant, KeyKind, SdkConfig};
use sluice_event::time::Window;
use sluice_seams::key::AppHash;

use crate::config::AppConfig;
use crate::rate::{AppRate, Ticks};
use crate::secret::Secret;

/// An app as its config says.
pub struct Tenant {
    app_id: Arc<str>,
    hash: AppHash,
    limits: Limits,
    window: Window,
    sdk: SdkConfig,
    timezone: String,
    referer_app_ids: Vec<String>,
    pub(crate) rate: Arc<AppRate>,
}

/// What a key may do: carried by every [`Grant`] made for it.
pub struct Terms {
    pub(crate) tenant: Arc<Tenant>,
    pub(crate) kind: KeyKind,
    pub(crate) hmac_secret: Option<Secret>,
}

// === impl Tenant ===

impl Tenant {
    /// Builds an app from a valid config. Its limiters keep their state where
    /// `before`, the app as it was, had the same rates.
    pub(crate) fn new(id: &str, config: &AppConfig, before: Option<&Self>, ticks: &Ticks) -> Self {
        let kept = before.map(|before| &before.rate).filter(|rate| rate.is(&config.rate));
        Self {
            app_id: Arc::from(id),
            hash: AppHash::of(id),
            limits: config.limits,
            window: Window { past_max_ms: config.past_max_ms, future_max_ms: config.future_max_ms },
            sdk: config.sdk.clone(),
            timezone: config.timezone.clone(),
            referer_app_ids: config.referer_app_ids.clone(),
            rate: kept.cloned().unwrap_or_else(|| Arc::new(AppRate::new(&config.rate, ticks))),
        }
    }

    /// The app that a grant of [`Tenants::authenticate`](crate::Tenants::authenticate)
    /// is for.
    pub fn of(grant: &Grant) -> &Arc<Self> {
        &Terms::of(grant).tenant
    }

    /// Its id.
    pub fn app_id(&self) -> &Arc<str> {
        &self.app_id
    }

    /// The hash of its id, which every key of its events and users begins with.
    pub fn hash(&self) -> AppHash {
        self.hash
    }

    /// Its limits.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Its acceptance window.
    pub fn window(&self) -> Window {
        self.window
    }

    /// What its SDKs are told.
    pub fn sdk(&self) -> &SdkConfig {
        &self.sdk
    }

    /// IANA name of the time zone of its questions.
    pub fn timezone(&self) -> &str {
        &self.timezone
    }

    /// Whether a write key may come with this `Referer`.
    pub(crate) fn check_referer(&self, referer: Option<&str>) -> Result<(), Refusal> {
        if self.referer_app_ids.is_empty() {
            return Ok(());
        }
        let sent = referer.and_then(referer_app_id);
        if sent.is_some_and(|sent| self.referer_app_ids.iter().any(|allowed| allowed == sent)) {
            return Ok(());
        }
        Err(Refusal::new(
            Reason::KeyForbidden,
            "this key is taken only from the mini programs it is bound to: the Referer has to be \
             https://servicewechat.com/{appid}/… with an app id listed in referer_app_ids",
        ))
    }
}

/// The app id in `https://servicewechat.com/{appid}/{version}/…`.
fn referer_app_id(referer: &str) -> Option<&str> {
    let path = referer.strip_prefix("https://servicewechat.com/")?;
    path.split_once('/').map(|(app_id, _rest)| app_id)
}

// === impl Terms ===

impl Terms {
    /// The terms of a grant of [`Tenants::authenticate`](crate::Tenants::authenticate).
    ///
    /// # Panics
    /// On a grant made elsewhere: that is a fault of the program, not of input.
    pub fn of(grant: &Grant) -> &Self {
        grant.tenant.downcast_ref::<Self>().expect("the grant was made by authenticate")
    }

    /// The grant for a request under these terms.
    pub(crate) fn grant(self: &Arc<Self>) -> Grant {
        Grant {
            app_id: Arc::clone(&self.tenant.app_id),
            kind: self.kind,
            limits: self.tenant.limits,
            tenant: Arc::clone(self) as Arc<dyn std::any::Any + Send + Sync>,
        }
    }

    /// The app.
    pub fn tenant(&self) -> &Arc<Tenant> {
        &self.tenant
    }

    /// The kind of the key.
    pub fn kind(&self) -> KeyKind {
        self.kind
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_hosts_own_form_names_an_app() {
        for (referer, expected) in [
            ("https://servicewechat.com/wx1/12/page-frame.html", Some("wx1")),
            ("https://servicewechat.com/wx1/", Some("wx1")),
            ("https://servicewechat.com/wx1", None),
            ("http://servicewechat.com/wx1/1/", None),
            ("https://servicewechat.com.example.org/wx1/1/", None),
            ("https://example.org/?https://servicewechat.com/wx1/", None),
            ("", None),
        ] {
            assert_eq!(referer_app_id(referer), expected, "{referer}");
        }
    }
}
