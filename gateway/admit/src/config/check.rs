//! What a config must satisfy, all faults at once. Faults name places, never
//! secrets.

use std::collections::HashMap;

use sluice_event::Limits;
use sluice_event::limits::{BATCH_EVENTS_MAX, EVENT_BYTES_MAX, INFLATED_BYTES_MAX, WIRE_BYTES_MAX};
use sluice_seams::key::{AppHash, DAY_MS};

use super::{AppConfig, AppsConfig, GlobalLimits, RateConfig};
use crate::secret::Secret;

/// Bytes of an app id: it stands in paths, labels and rows.
const APP_ID_BYTES_MAX: usize = 64;
/// Bytes of a key, token or secret.
pub(crate) const KEY_BYTES_MAX: usize = 256;
/// Widest window backwards: beyond it every broken clock makes a day of its own.
const PAST_WIDEST_MS: i64 = 366 * DAY_MS;
/// Widest window forwards.
const FUTURE_WIDEST_MS: i64 = 7 * DAY_MS;
/// Finest rate: the limiter counts in whole nanoseconds.
const EVENTS_PER_S_MAX: u32 = 10_000_000;
/// Range of byte rates and bursts.
const BYTES_PER_S: std::ops::RangeInclusive<u64> = 1024..=4 * 1024 * 1024 * 1024;

/// Faults found so far.
struct Faults(Vec<String>);

// === impl AppsConfig ===

impl AppsConfig {
    /// Every fault of this config, each with its place and what is allowed.
    pub fn validate(&self) -> Result<(), Vec<String>> {
        let mut faults = Faults(Vec::new());
        faults.global(&self.limits);
        faults.tags(self.apps.keys());
        faults.duplicates(self);
        for (id, app) in &self.apps {
            faults.app(id, app);
        }
        if faults.0.is_empty() { Ok(()) } else { Err(faults.0) }
    }
}

// === impl Faults ===

impl Faults {
    fn require(&mut self, holds: bool, fault: impl FnOnce() -> String) {
        if !holds {
            self.0.push(fault());
        }
    }

    fn range<T: PartialOrd + std::fmt::Display>(&mut self, at: &str, value: T, low: T, high: T) {
        if value < low || value > high {
            self.0.push(format!("{at}: {value} is out of range, allowed are {low} to {high}"));
        }
    }

    fn global(&mut self, limits: &GlobalLimits) {
        let bytes_min = WIRE_BYTES_MAX as u64;
        self.range("limits.in_flight_bytes_max", limits.in_flight_bytes_max, bytes_min, 1 << 40);
        self.range("limits.in_flight_requests_max", limits.in_flight_requests_max, 1, 1 << 20);
        self.range("limits.unknown_keys_per_s", limits.unknown_keys_per_s, 1, 1_000_000);
        self.range("limits.unknown_keys_burst", limits.unknown_keys_burst, 1, 1_000_000);
        self.range("limits.addresses_max", limits.addresses_max, 1, 1_000_000);
    }

    /// Keys of events begin with 32 bits of the app's hash; two apps that share
    /// them could name each other's events.
    fn tags<'c>(&mut self, ids: impl Iterator<Item = &'c String>) {
        let mut seen: HashMap<u32, &str> = HashMap::new();
        for id in ids {
            if let Some(other) = seen.insert(AppHash::of(id).tag(), id) {
                self.0.push(format!(
                    "apps.{id}: its id hashes to the same 32 bits as `{other}`: rename one of them"
                ));
            }
        }
    }

    /// A key says whose a request is, so no two places may hold the same one.
    fn duplicates(&mut self, config: &AppsConfig) {
        let mut keys: HashMap<&str, String> = HashMap::new();
        let mut projects: HashMap<&str, String> = HashMap::new();
        let mut app_ids: HashMap<&str, String> = HashMap::new();
        for (id, app) in &config.apps {
            for (at, secret) in secrets(id, app) {
                if let Some(other) = keys.insert(secret.expose(), at.clone()) {
                    self.0.push(format!("{at}: is the same as {other}: make each key its own"));
                }
            }
            for (n, sensors) in app.sensors_projects.iter().enumerate() {
                let at = format!("apps.{id}.sensors_projects[{n}]");
                if let Some(other) = projects.insert(&sensors.project, at.clone()) {
                    self.0.push(format!("{at}: names the same project as {other}"));
                }
            }
            for (n, app_id) in app.datarangers_app_ids.iter().enumerate() {
                let at = format!("apps.{id}.datarangers_app_ids[{n}]");
                if let Some(other) = app_ids.insert(app_id, at.clone()) {
                    self.0.push(format!("{at}: is the same app_id as {other}"));
                }
            }
        }
    }

    fn app(&mut self, id: &str, app: &AppConfig) {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        let id_ok = !id.is_empty() && id.len() <= APP_ID_BYTES_MAX && id.bytes().all(plain);
        self.require(id_ok, || {
            format!("apps.{id}: an app id is 1-{APP_ID_BYTES_MAX} of A-Z a-z 0-9 . _ -")
        });
        for (at, secret) in secrets(id, app) {
            self.key(&at, secret);
        }
        for (n, key) in app.server_keys.iter().enumerate() {
            if let Some(secret) = &key.hmac_secret {
                self.key(&format!("apps.{id}.server_keys[{n}].hmac_secret"), secret);
            }
        }
        for (n, sensors) in app.sensors_projects.iter().enumerate() {
            let at = format!("apps.{id}.sensors_projects[{n}]");
            self.require((1..=128).contains(&sensors.project.len()), || {
                format!("{at}.project: is 1-128 bytes long")
            });
            if let Some(token) = &sensors.token {
                self.key(&format!("{at}.token"), token);
            }
        }
        for (n, app_id) in app.datarangers_app_ids.iter().enumerate() {
            let ok = (1..=20).contains(&app_id.len()) && app_id.bytes().all(|b| b.is_ascii_digit());
            self.require(ok, || {
                format!("apps.{id}.datarangers_app_ids[{n}]: is 1-20 digits, such as 10001")
            });
        }
        for (n, referer) in app.referer_app_ids.iter().enumerate() {
            let ok = !referer.is_empty() && referer.bytes().all(plain);
            self.require(ok, || {
                format!(
                    "apps.{id}.referer_app_ids[{n}]: a host's app id, such as wx0123456789abcdef"
                )
            });
        }
        self.rate(&format!("apps.{id}.rate"), &app.rate);
        self.range(&format!("apps.{id}.past_max_ms"), app.past_max_ms, 60_000, PAST_WIDEST_MS);
        self.range(&format!("apps.{id}.future_max_ms"), app.future_max_ms, 0, FUTURE_WIDEST_MS);
        self.limits(&format!("apps.{id}.limits"), &app.limits);
        let sdk = format!("apps.{id}.sdk");
        self.range(&format!("{sdk}.flush_interval_ms"), app.sdk.flush_interval_ms, 100, 86_400_000);
        let batch_max = app.limits.batch_events_max.max(1);
        self.range(&format!("{sdk}.batch_events_max"), app.sdk.batch_events_max, 1, batch_max);
        // Not `range`: a NaN compares as neither below nor above.
        self.require((0.0..=1.0).contains(&app.sdk.sample_rate), || {
            format!(
                "{sdk}.sample_rate: {} is out of range, allowed are 0 to 1",
                app.sdk.sample_rate
            )
        });
        let zone = &app.timezone;
        let zone_ok =
            !zone.is_empty() && zone.len() <= 64 && zone.bytes().all(|b| b.is_ascii_graphic());
        self.require(zone_ok, || {
            format!("apps.{id}.timezone: an IANA name, such as Asia/Shanghai")
        });
    }

    /// Visible ASCII, so that it can stand in a header.
    fn key(&mut self, at: &str, secret: &Secret) {
        let text = secret.expose();
        let ok = !text.is_empty()
            && text.len() <= KEY_BYTES_MAX
            && text.bytes().all(|b| b.is_ascii_graphic());
        self.require(ok, || format!("{at}: is 1-{KEY_BYTES_MAX} visible ASCII characters"));
    }

    fn rate(&mut self, at: &str, rate: &RateConfig) {
        for (name, value) in
            [("events_per_s", rate.events_per_s), ("events_burst", rate.events_burst)]
        {
            if let Some(value) = value {
                self.range(&format!("{at}.{name}"), value, 1, EVENTS_PER_S_MAX);
            }
        }
        for (name, value) in [("bytes_per_s", rate.bytes_per_s), ("bytes_burst", rate.bytes_burst)]
        {
            if let Some(value) = value {
                self.range(
                    &format!("{at}.{name}"),
                    value,
                    *BYTES_PER_S.start(),
                    *BYTES_PER_S.end(),
                );
            }
        }
        let lonely = |per_s: bool, burst: bool| burst && !per_s;
        self.require(!lonely(rate.events_per_s.is_some(), rate.events_burst.is_some()), || {
            format!("{at}.events_burst: needs events_per_s beside it")
        });
        self.require(!lonely(rate.bytes_per_s.is_some(), rate.bytes_burst.is_some()), || {
            format!("{at}.bytes_burst: needs bytes_per_s beside it")
        });
    }

    fn limits(&mut self, at: &str, limits: &Limits) {
        for (name, value, max) in [
            ("batch_events_max", limits.batch_events_max, BATCH_EVENTS_MAX),
            ("event_bytes_max", limits.event_bytes_max, EVENT_BYTES_MAX),
            ("wire_bytes_max", limits.wire_bytes_max, WIRE_BYTES_MAX),
            ("inflated_bytes_max", limits.inflated_bytes_max, INFLATED_BYTES_MAX),
        ] {
            self.range(&format!("{at}.{name}"), value, 1, max);
        }
    }
}

/// Every key that says whose a request is, with its place.
fn secrets<'c>(id: &str, app: &'c AppConfig) -> Vec<(String, &'c Secret)> {
    let named = |kind: &str, n: usize| format!("apps.{id}.{kind}[{n}]");
    let write = app.write_keys.iter().enumerate().map(|(n, key)| (named("write_keys", n), key));
    let server = app.server_keys.iter().enumerate();
    let server = server.map(|(n, key)| (named("server_keys", n), &key.key));
    let read = app.read_tokens.iter().enumerate().map(|(n, key)| (named("read_tokens", n), key));
    write.chain(server).chain(read).collect()
}

#[cfg(test)]
#[path = "../tests/config.rs"]
mod tests;
