//! Apps and limits as they stand in the config. Types and defaults here, the
//! checks in `check`.
//!
//! Read by serde with unknown keys refused. Secrets arrive resolved (see
//! [`Secret`]).

mod check;

pub(crate) use check::KEY_BYTES_MAX;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sluice_event::Limits;
use sluice_event::limits::{FUTURE_MAX_MS, PAST_MAX_MS};
use sluice_event::service::SdkConfig;

use crate::secret::Secret;

/// All apps, and the limits that they share.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AppsConfig {
    /// Apps by id.
    pub apps: BTreeMap<String, AppConfig>,
    /// Limits over all apps together.
    pub limits: GlobalLimits,
}

/// One app: its keys, its limits, its settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AppConfig {
    /// Keys that ship in the mini program's package: public by nature.
    pub write_keys: Vec<Secret>,
    /// Keys kept on servers; their events may omit the device.
    pub server_keys: Vec<ServerKey>,
    /// Tokens that may ask this app's questions.
    pub read_tokens: Vec<Secret>,
    /// Sensors projects that report into this app.
    pub sensors_projects: Vec<SensorsProject>,
    /// `app_id`s of DataRangers SDKs that report into this app, as digits. They
    /// ship in a package and are public by nature, as write keys are.
    pub datarangers_app_ids: Vec<String>,
    /// Where not empty, write keys are taken only with a `Referer` of
    /// `https://servicewechat.com/{id}/…` for one of these ids. A weak signal,
    /// sent by WeChat alone: leave it empty for an app that runs in several hosts.
    pub referer_app_ids: Vec<String>,
    /// Rates.
    pub rate: RateConfig,
    /// How far in the past an event may lie, milliseconds; a minute to 366 days.
    pub past_max_ms: i64,
    /// How far in the future an event may lie, milliseconds; 0 to 7 days.
    pub future_max_ms: i64,
    /// Sizes; may narrow the contract's, never widen them.
    pub limits: Limits,
    /// What `GET /v1/config` answers to this app's SDKs.
    pub sdk: SdkConfig,
    /// IANA name of the time zone that questions use unless they say otherwise.
    pub timezone: String,
}

/// A key that is kept on a server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerKey {
    /// The key.
    pub key: Secret,
    /// Where given, every request must be signed with it.
    #[serde(default)]
    pub hmac_secret: Option<Secret>,
}

/// A Sensors project that reports into an app.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SensorsProject {
    /// `?project=`.
    pub project: String,
    /// Where given, `?token=` must be it; where not, any token is taken.
    #[serde(default)]
    pub token: Option<Secret>,
}

/// Rates of one app, on each gateway. `None`: unlimited.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RateConfig {
    /// Events per second; 1 to 10⁷.
    pub events_per_s: Option<u32>,
    /// Events at once; by default two seconds' worth, at least one full batch.
    pub events_burst: Option<u32>,
    /// Bytes on the wire per second; 1 KiB to 4 GiB.
    pub bytes_per_s: Option<u64>,
    /// Bytes at once; by default two seconds' worth, at least one full body.
    pub bytes_burst: Option<u64>,
}

/// Limits over all apps together, on each gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GlobalLimits {
    /// Bytes of bodies in flight, as they came over the wire; beyond it requests
    /// are refused as `overloaded`. At least one full body.
    pub in_flight_bytes_max: u64,
    /// Requests in flight; at least 1.
    pub in_flight_requests_max: u64,
    /// Requests without a known key that one address may make per second.
    pub unknown_keys_per_s: u32,
    /// The same at once.
    pub unknown_keys_burst: u32,
    /// Addresses remembered for that; when full, further ones share one bucket.
    pub addresses_max: usize,
}

// === impl AppsConfig ===

impl AppsConfig {
    /// The one app of a gateway without a config file. Its keys are in the
    /// documentation, so it is for loopback only; its rates are unlimited.
    pub fn demo() -> Self {
        let project = |name: &str| SensorsProject { project: name.to_owned(), token: None };
        let app = AppConfig {
            write_keys: vec![Secret::new("demo-write-key")],
            server_keys: vec![ServerKey { key: Secret::new("demo-server-key"), hmac_secret: None }],
            read_tokens: vec![Secret::new("demo-read-token")],
            sensors_projects: vec![project("demo"), project("default")],
            datarangers_app_ids: vec!["10001".to_owned()],
            rate: RateConfig::default(),
            ..AppConfig::default()
        };
        Self { apps: BTreeMap::from([("demo".to_owned(), app)]), limits: GlobalLimits::default() }
    }
}

// === impl AppConfig ===

impl Default for AppConfig {
    fn default() -> Self {
        Self {
            write_keys: Vec::new(),
            server_keys: Vec::new(),
            read_tokens: Vec::new(),
            sensors_projects: Vec::new(),
            datarangers_app_ids: Vec::new(),
            referer_app_ids: Vec::new(),
            rate: RateConfig::default(),
            past_max_ms: PAST_MAX_MS,
            future_max_ms: FUTURE_MAX_MS,
            limits: Limits::default(),
            sdk: SdkConfig::default(),
            timezone: "Asia/Shanghai".to_owned(),
        }
    }
}

// === impl GlobalLimits ===

impl Default for GlobalLimits {
    fn default() -> Self {
        Self {
            in_flight_bytes_max: 256 * 1024 * 1024,
            in_flight_requests_max: 16_384,
            unknown_keys_per_s: 5,
            unknown_keys_burst: 20,
            addresses_max: 10_000,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_keys_are_refused() {
        let error = serde_json::from_str::<AppsConfig>(r#"{"apps":{"a":{"write_key":["k"]}}}"#);
        let error = error.expect_err("misspelt").to_string();
        assert!(error.contains("write_key") && error.contains("write_keys"), "{error}");
    }

    #[test]
    fn defaults_fill_what_is_left_out() {
        let text = r#"{"apps":{"a":{"server_keys":[{"key":"k"}],"rate":{"events_per_s":5}}}}"#;
        let config: AppsConfig = serde_json::from_str(text).expect("reads");
        let app = &config.apps["a"];
        assert_eq!(app.timezone, "Asia/Shanghai");
        assert_eq!(app.rate.events_per_s, Some(5));
        assert_eq!(app.server_keys[0].hmac_secret, None);
        assert_eq!(config.limits, GlobalLimits::default());
    }

    #[test]
    fn nothing_secret_is_shown() {
        let shown = format!("{:?}", AppsConfig::demo());
        let json = serde_json::to_string(&AppsConfig::demo()).expect("serialises");
        for text in [shown, json] {
            assert!(!text.contains("demo-write-key") && !text.contains("-token"), "{text}");
        }
    }
}
