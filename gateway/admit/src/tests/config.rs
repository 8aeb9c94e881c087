//! Every fault of a config, as a table.

use super::*;
use crate::config::{RateConfig, SensorsProject, ServerKey};

/// The faults of the demo config after a change.
fn faults(change: impl FnOnce(&mut AppsConfig)) -> Vec<String> {
    let mut config = AppsConfig::demo();
    change(&mut config);
    config.validate().err().unwrap_or_default()
}

fn app_faults(change: impl FnOnce(&mut AppConfig)) -> Vec<String> {
    faults(|config| change(config.apps.get_mut("demo").expect("has it")))
}

#[track_caller]
fn one(faults: &[String], at: &str) {
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert!(faults[0].starts_with(&format!("{at}: ")), "{faults:?}");
}

#[test]
fn the_demo_and_no_apps_at_all_are_valid() {
    assert_eq!(AppsConfig::demo().validate(), Ok(()));
    assert_eq!(AppsConfig::default().validate(), Ok(()));
}

#[test]
fn each_value_has_its_range() {
    type Change = fn(&mut AppConfig);
    let table: &[(&str, Change)] = &[
        ("past_max_ms", |app| app.past_max_ms = 59_999),
        ("past_max_ms", |app| app.past_max_ms = 367 * DAY_MS),
        ("future_max_ms", |app| app.future_max_ms = -1),
        ("future_max_ms", |app| app.future_max_ms = 8 * DAY_MS),
        ("limits.event_bytes_max", |app| app.limits.event_bytes_max = EVENT_BYTES_MAX + 1),
        ("limits.wire_bytes_max", |app| app.limits.wire_bytes_max = 0),
        ("limits.inflated_bytes_max", |app| app.limits.inflated_bytes_max = usize::MAX),
        ("limits.batch_events_max", |app| app.limits.batch_events_max = BATCH_EVENTS_MAX + 1),
        ("sdk.batch_events_max", |app| app.limits.batch_events_max = 49),
        ("sdk.flush_interval_ms", |app| app.sdk.flush_interval_ms = 0),
        ("sdk.sample_rate", |app| app.sdk.sample_rate = 1.1),
        ("sdk.sample_rate", |app| app.sdk.sample_rate = f64::NAN),
        ("timezone", |app| app.timezone = String::new()),
        ("write_keys[0]", |app| app.write_keys = vec!["".into()]),
        ("write_keys[0]", |app| app.write_keys = vec!["with space".into()]),
        ("write_keys[0]", |app| app.write_keys = vec![Secret::new("k".repeat(257))]),
        ("server_keys[0]", |app| app.server_keys[0].key = "".into()),
        ("server_keys[0].hmac_secret", |app| app.server_keys[0].hmac_secret = Some("".into())),
        ("read_tokens[0]", |app| app.read_tokens[0] = "".into()),
        ("sensors_projects[0].project", |app| app.sensors_projects[0].project.clear()),
        ("datarangers_app_ids[0]", |app| app.datarangers_app_ids[0].push('x')),
        ("sensors_projects[0].token", |app| app.sensors_projects[0].token = Some("".into())),
        ("referer_app_ids[0]", |app| app.referer_app_ids = vec!["a/b".to_owned()]),
        ("rate.events_per_s", |app| app.rate.events_per_s = Some(0)),
        ("rate.bytes_per_s", |app| app.rate.bytes_per_s = Some(1_023)),
        ("rate.events_burst", |app| app.rate.events_burst = Some(1)),
        ("rate.bytes_burst", |app| app.rate.bytes_burst = Some(1_024)),
    ];
    for (at, change) in table {
        one(&app_faults(change), &format!("apps.demo.{at}"));
    }
    one(&faults(|config| config.limits.in_flight_bytes_max = 1), "limits.in_flight_bytes_max");
    one(
        &faults(|config| config.limits.in_flight_requests_max = 0),
        "limits.in_flight_requests_max",
    );
    one(&faults(|config| config.limits.unknown_keys_per_s = 0), "limits.unknown_keys_per_s");
    one(&faults(|config| config.limits.unknown_keys_burst = 0), "limits.unknown_keys_burst");
    one(&faults(|config| config.limits.addresses_max = 0), "limits.addresses_max");
}

#[test]
fn app_ids_fit_into_a_path() {
    for id in ["", "a/b", "é", &"a".repeat(65)] {
        let faults = faults(|config| drop(config.apps.insert(id.to_owned(), AppConfig::default())));
        one(&faults, &format!("apps.{id}"));
    }
}

#[test]
fn a_key_stands_in_one_place_only() {
    let second = |app: AppConfig| faults(|config| drop(config.apps.insert("shop".to_owned(), app)));
    let server = ServerKey { key: "demo-write-key".into(), hmac_secret: None };
    let project = SensorsProject { project: "default".to_owned(), token: None };
    let base = AppConfig::default();
    for (app, at) in [
        (AppConfig { write_keys: vec!["demo-write-key".into()], ..base.clone() }, "write_keys[0]"),
        (AppConfig { server_keys: vec![server], ..base.clone() }, "server_keys[0]"),
        (
            AppConfig { read_tokens: vec!["demo-write-key".into()], ..base.clone() },
            "read_tokens[0]",
        ),
        (AppConfig { sensors_projects: vec![project], ..base }, "sensors_projects[0]"),
    ] {
        let faults = second(app);
        one(&faults, &format!("apps.shop.{at}"));
        assert!(
            faults[0].contains("apps.demo.") && !faults[0].contains("demo-write-key"),
            "{faults:?}"
        );
    }
    let twice = app_faults(|app| app.read_tokens = vec!["demo-write-key".into()]);
    one(&twice, "apps.demo.read_tokens[0]");
}

/// Found by searching short ids for one that collides.
#[test]
fn two_apps_do_not_share_the_first_bits_of_their_keys() {
    let (a, b) = ("app-6548", "app-49008");
    assert_eq!(AppHash::of(a).tag(), AppHash::of(b).tag());
    let faults = faults(|config| {
        for id in [a, b] {
            config.apps.insert(id.to_owned(), AppConfig::default());
        }
    });
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert!(faults[0].contains(a) && faults[0].contains(b), "{faults:?}");
}

#[test]
fn all_faults_are_told_at_once() {
    let faults = app_faults(|app| {
        app.past_max_ms = 0;
        app.timezone.clear();
        app.rate = RateConfig { events_per_s: Some(0), ..RateConfig::default() };
    });
    assert_eq!(faults.len(), 3, "{faults:?}");
}
