//! Keys, tokens, reloads and rates from the outside.

use std::net::Ipv4Addr;

use sluice_event::Limits;
use sluice_telemetry::ManualClock;

use super::*;
use crate::config::{AppConfig, RateConfig, SensorsProject, ServerKey};
use crate::secret::Secret;

const NOW: i64 = 1_795_190_400_000;

struct Rig {
    tenants: Tenants,
    clock: ManualClock,
    registry: Registry,
}

fn rig(config: AppsConfig) -> Rig {
    let (clock, registry) = (ManualClock::at(NOW), Registry::new());
    let shared: Arc<dyn Clock> = Arc::new(clock.clone());
    let ticks = Ticks::Clock(Arc::clone(&shared));
    let tenants = Tenants::with_ticks(config, shared, ticks, &registry).expect("a valid config");
    Rig { tenants, clock, registry }
}

/// The demo app and `shop`, which uses everything.
fn two_apps() -> AppsConfig {
    let mut config = AppsConfig::demo();
    let secret = |text: &str| Some(Secret::new(text));
    let shop = AppConfig {
        write_keys: vec!["shop-write".into()],
        server_keys: vec![ServerKey {
            key: "shop-server".into(),
            hmac_secret: secret("shop-hmac"),
        }],
        read_tokens: vec!["shop-read".into()],
        sensors_projects: vec![SensorsProject {
            project: "shop".to_owned(),
            token: secret("shop-token"),
        }],
        datarangers_app_ids: vec!["20002".to_owned()],
        referer_app_ids: vec!["wx1".to_owned()],
        ..AppConfig::default()
    };
    config.apps.insert("shop".to_owned(), shop);
    config
}

fn limited(rate: RateConfig) -> AppsConfig {
    let mut config = AppsConfig::demo();
    config.apps.get_mut("demo").expect("has it").rate = rate;
    config
}

fn key(key: &str) -> Presented<'_> {
    let referer = Some("https://servicewechat.com/wx1/1/page-frame.html");
    Presented { key: Some(key), referer, ..Presented::default() }
}

fn sensors<'r>(project: &'r str, token: &'r str) -> Presented<'r> {
    Presented { key: None, sensors_project: Some((project, token)), ..key("") }
}

fn datarangers(app_id: &str) -> Presented<'_> {
    Presented { key: None, datarangers_app_id: Some(app_id), ..key("") }
}

fn outcome(rig: &Rig, presented: &Presented<'_>) -> Result<(String, KeyKind), Reason> {
    let grant = rig.tenants.authenticate(presented);
    grant.map(|grant| (grant.app_id.to_string(), grant.kind)).map_err(|refusal| refusal.reason)
}

#[test]
fn keys_open_what_they_are_for() {
    let rig = rig(two_apps());
    let long = "k".repeat(1_000_000);
    for (presented, expected) in [
        (key("demo-write-key"), Ok(("demo", KeyKind::Write))),
        (key("demo-server-key"), Ok(("demo", KeyKind::Server))),
        (key("shop-write"), Ok(("shop", KeyKind::Write))),
        (key("shop-server"), Ok(("shop", KeyKind::Server))),
        (sensors("demo", ""), Ok(("demo", KeyKind::Write))),
        (sensors("default", "whatever"), Ok(("demo", KeyKind::Write))),
        (sensors("shop", "shop-token"), Ok(("shop", KeyKind::Write))),
        (sensors("shop", ""), Err(Reason::KeyUnknown)),
        (sensors("shop", "shop-toke"), Err(Reason::KeyUnknown)),
        (sensors("other", ""), Err(Reason::KeyUnknown)),
        (datarangers("10001"), Ok(("demo", KeyKind::Write))),
        (datarangers("20002"), Ok(("shop", KeyKind::Write))),
        (datarangers("10002"), Err(Reason::KeyUnknown)),
        (key("shop-read"), Err(Reason::KeyForbidden)),
        (key("shop-hmac"), Err(Reason::KeyUnknown)),
        (key("shop-writ"), Err(Reason::KeyUnknown)),
        (key("shop-write "), Err(Reason::KeyUnknown)),
        (key(""), Err(Reason::KeyUnknown)),
        (key(&long), Err(Reason::KeyUnknown)),
        (Presented::default(), Err(Reason::KeyMissing)),
    ] {
        let expected = expected.map(|(app, kind)| (app.to_owned(), kind));
        assert_eq!(outcome(&rig, &presented), expected, "{:.80?}", presented);
    }
}

#[test]
fn a_bound_write_key_wants_its_referer() {
    let rig = rig(two_apps());
    let from = |referer| Presented { referer, ..key("shop-write") };
    assert!(outcome(&rig, &from(Some("https://servicewechat.com/wx1/1/p.html"))).is_ok());
    for referer in [None, Some("https://servicewechat.com/wx2/1/p.html"), Some("x")] {
        assert_eq!(outcome(&rig, &from(referer)), Err(Reason::KeyForbidden));
    }
    assert!(outcome(&rig, &Presented { referer: None, ..key("shop-server") }).is_ok());
    assert!(outcome(&rig, &Presented { referer: None, ..key("demo-write-key") }).is_ok());
    let unbound = Presented { referer: None, ..sensors("shop", "shop-token") };
    assert_eq!(outcome(&rig, &unbound), Err(Reason::KeyForbidden));
}

#[test]
fn read_tokens_open_their_app_only() {
    let rig = rig(two_apps());
    for (app, bearer, expected) in [
        ("demo", Some("demo-read-token"), None),
        ("shop", Some("shop-read"), None),
        ("demo", Some("shop-read"), Some(Reason::KeyForbidden)),
        ("none", Some("shop-read"), Some(Reason::KeyForbidden)),
        ("demo", Some("demo-write-key"), Some(Reason::KeyForbidden)),
        ("demo", Some("guess"), Some(Reason::KeyUnknown)),
        ("none", Some("guess"), Some(Reason::KeyUnknown)),
        ("demo", None, Some(Reason::KeyMissing)),
    ] {
        let verdict = rig.tenants.read_access(app, bearer, None);
        assert_eq!(verdict.err().map(|refusal| refusal.reason), expected, "{app} {bearer:?}");
    }
}

#[test]
fn strangers_are_slowed_by_address_and_known_keys_are_not() {
    let rig = rig(AppsConfig::demo());
    let peer = Some(std::net::IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)));
    let guess = Presented { peer, ..key("guess") };
    for _ in 0..20 {
        assert_eq!(outcome(&rig, &guess), Err(Reason::KeyUnknown));
    }
    let refusal = rig.tenants.authenticate(&guess).expect_err("over the rate");
    assert_eq!((refusal.reason, refusal.retry_after_ms), (Reason::RateLimited, Some(200)));
    assert!(!refusal.detail.contains("guess"));
    let refusal = rig.tenants.read_access("demo", Some("guess"), peer).err().expect("refused");
    assert_eq!(refusal.reason, Reason::RateLimited);
    assert!(outcome(&rig, &Presented { peer, ..key("demo-write-key") }).is_ok());
    rig.clock.advance(200);
    assert_eq!(outcome(&rig, &guess), Err(Reason::KeyUnknown));
    let text = rig.registry.encode().expect("encodes");
    assert!(text.contains("sluice_admit_unknown_keys_total 23"), "{text}");
    assert!(text.contains("sluice_admit_addresses_limited_total 2"), "{text}");
    assert!(text.contains("sluice_admit_addresses 1"), "{text}");
}

#[test]
fn a_server_key_with_a_secret_wants_signatures() {
    let rig = rig(two_apps());
    let grant = rig.tenants.authenticate(&key("shop-server")).expect("known");
    let now = NOW.to_string();
    let good = crate::sign(&"shop-hmac".into(), &now, b"body");
    let admit = |signature, body: &[u8]| {
        let presented = Presented { signature, ..key("shop-server") };
        rig.tenants.admit_bytes(&grant, &presented, body).err().map(|refusal| refusal.reason)
    };
    assert_eq!(admit(Some((&now, &good)), b"body"), None);
    assert_eq!(admit(Some((&now, &good)), b"bodz"), Some(Reason::SignatureInvalid));
    assert_eq!(admit(None, b"body"), Some(Reason::SignatureInvalid));
    rig.clock.advance(300_001);
    assert_eq!(admit(Some((&now, &good)), b"body"), Some(Reason::SignatureExpired));
    let unsigned = rig.tenants.authenticate(&key("demo-server-key")).expect("known");
    assert!(rig.tenants.admit_bytes(&unsigned, &key(""), b"body").is_ok());
}

#[test]
fn rates_refuse_with_a_wait_and_a_label() {
    let rig = rig(limited(RateConfig {
        events_per_s: Some(100),
        events_burst: Some(100),
        bytes_per_s: Some(6_400),
        bytes_burst: Some(6_400),
    }));
    let grant = rig.tenants.authenticate(&key("demo-write-key")).expect("known");
    assert_eq!(rig.tenants.admit_events(&grant, Dialect::Native, 100), Ok(()));
    let refusal = rig.tenants.admit_events(&grant, Dialect::Native, 50).expect_err("over the rate");
    assert_eq!(refusal.reason, Reason::RateLimited);
    assert_eq!((refusal.limit, refusal.retry_after_ms), (Some(100), Some(500)));
    let bytes = |n: usize| rig.tenants.admit_bytes(&grant, &key(""), &vec![0; n]).err();
    assert_eq!(bytes(6_400), None);
    let refusal = bytes(64).expect("over the rate");
    assert_eq!((refusal.limit, refusal.retry_after_ms), (Some(6_400), Some(10)));
    let text = rig.registry.encode().expect("encodes");
    for kind in ["events", "bytes"] {
        let line = format!("sluice_admit_rate_limited_total{{app=\"demo\",kind=\"{kind}\"}} 1");
        assert!(text.contains(&line), "{text}");
    }
}

#[test]
fn a_batch_is_no_longer_than_the_app_allows() {
    let mut config = AppsConfig::demo();
    let app = config.apps.get_mut("demo").expect("has it");
    app.limits = Limits { batch_events_max: 10, ..Limits::default() };
    app.sdk.batch_events_max = 10;
    let rig = rig(config);
    let grant = rig.tenants.authenticate(&key("demo-write-key")).expect("known");
    assert_eq!(grant.limits.batch_events_max, 10);
    assert_eq!(rig.tenants.admit_events(&grant, Dialect::Native, 10), Ok(()));
    let refusal = rig.tenants.admit_events(&grant, Dialect::Native, 11).expect_err("too many");
    assert_eq!((refusal.reason, refusal.limit), (Reason::TooManyEvents, Some(10)));
    assert_eq!(rig.tenants.admit_events(&grant, Dialect::Otlp, 200), Ok(()));
    assert!(rig.tenants.admit_events(&grant, Dialect::Otlp, 201).is_err());
}

#[test]
fn load_is_shed_over_all_apps_together() {
    let mut config = two_apps();
    config.limits.in_flight_bytes_max = 1024 * 1024;
    let rig = rig(config);
    let grant = |name| rig.tenants.authenticate(&key(name)).expect("known");
    let (demo, shop) = (grant("demo-write-key"), grant("shop-write"));
    let held = rig.tenants.admit_bytes(&demo, &key(""), &vec![0; 1024 * 1024]);
    assert!(held.is_ok());
    let refusal = rig.tenants.admit_bytes(&shop, &key(""), b"x").err().expect("full");
    assert_eq!(refusal.reason, Reason::Overloaded);
    assert!(refusal.retry_after_ms.is_some());
    drop(held);
    assert!(rig.tenants.admit_bytes(&shop, &key(""), b"x").is_ok());
    let text = rig.registry.encode().expect("encodes");
    assert!(text.contains("sluice_admit_shed_total 1"), "{text}");
    assert!(text.contains("sluice_admit_in_flight_bytes 0"), "{text}");
}

#[test]
fn a_refused_reload_changes_nothing() {
    let rig = rig(two_apps());
    let mut bad = two_apps();
    bad.apps.remove("shop");
    bad.apps.get_mut("demo").expect("has it").write_keys = vec!["".into()];
    let faults = rig.tenants.reload(bad).expect_err("an empty key");
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert!(outcome(&rig, &key("shop-write")).is_ok());
    assert!(outcome(&rig, &key("demo-write-key")).is_ok());
    assert_eq!(rig.tenants.app_ids(), ["demo".into(), "shop".into()]);
}

#[test]
fn a_reload_swaps_keys_and_keeps_the_state_of_rates() {
    let rate = RateConfig { events_per_s: Some(1), events_burst: Some(5), ..RateConfig::default() };
    let rig = rig(limited(rate.clone()));
    let grant = rig.tenants.authenticate(&key("demo-write-key")).expect("known");
    assert_eq!(rig.tenants.admit_events(&grant, Dialect::Native, 5), Ok(()));

    let mut next = limited(rate);
    next.apps.get_mut("demo").expect("has it").write_keys = vec!["new-key".into()];
    rig.tenants.reload(next.clone()).expect("valid");
    assert_eq!(outcome(&rig, &key("demo-write-key")), Err(Reason::KeyUnknown));
    let grant = rig.tenants.authenticate(&key("new-key")).expect("known");
    assert!(
        rig.tenants.admit_events(&grant, Dialect::Native, 1).is_err(),
        "the bucket is still empty"
    );

    next.apps.get_mut("demo").expect("has it").rate.events_per_s = Some(2);
    rig.tenants.reload(next).expect("valid");
    let grant = rig.tenants.authenticate(&key("new-key")).expect("known");
    assert_eq!(
        rig.tenants.admit_events(&grant, Dialect::Native, 5),
        Ok(()),
        "another rate, another bucket"
    );

    rig.tenants.reload(AppsConfig::default()).expect("no apps are valid");
    assert_eq!(outcome(&rig, &key("new-key")), Err(Reason::KeyUnknown));
    assert!(rig.tenants.tenant("demo").is_none());
    let text = rig.registry.encode().expect("encodes");
    assert!(!text.contains("app=\"demo\""), "{text}");
}

#[test]
fn refusals_say_nothing_secret() {
    let rig = rig(two_apps());
    for presented in [key("pssst"), sensors("pssst", "pssst"), key("shop-read")] {
        let refusal = rig.tenants.authenticate(&presented).expect_err("refused");
        for secret in ["pssst", "shop-read", "shop-token"] {
            assert!(!refusal.detail.contains(secret), "{}", refusal.detail);
        }
    }
}
