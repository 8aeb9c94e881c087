//! Every rule for values, as a table.

use std::sync::Arc;

use sluice_event::Limits;
use sluice_event::batch::Page;
use sluice_seams::Day;
use sluice_seams::key::AppHash;

use super::*;
use crate::config::AppConfig;
use crate::rate::Ticks;
use crate::tenant::Tenant;

const NOW: i64 = 1_795_190_400_000;
const DAY: i64 = 86_400_000;

fn terms_of(kind: KeyKind, config: &AppConfig) -> Terms {
    let tenant = Arc::new(Tenant::new("demo", config, None, &Ticks::monotonic()));
    Terms { tenant, kind, hmac_secret: None }
}

fn terms(kind: KeyKind) -> Terms {
    terms_of(kind, &AppConfig::default())
}

fn event() -> Event<'static> {
    Event {
        id: "e-1".into(),
        name: "page_view".into(),
        time_ms: Some(NOW),
        device_id: "d-1".into(),
        bytes: 100,
        ..Event::default()
    }
}

fn verdict(mut event: Event<'static>) -> Result<(), (Reason, String)> {
    let verdict = terms(KeyKind::Write).check(&Envelope::default(), &mut event, NOW);
    verdict.map(drop).map_err(|bad| (bad.reason, bad.detail))
}

#[track_caller]
fn refused(event: Event<'static>, reason: Reason, field: &str) {
    let shown = format!("{event:.80?}");
    let (because, detail) = verdict(event).expect_err(&shown);
    assert_eq!(because, reason, "{detail}");
    assert!(detail.starts_with(field), "{detail}");
}

fn text(bytes: usize) -> sluice_event::Text<'static> {
    "x".repeat(bytes).into()
}

#[test]
fn a_plain_event_passes_with_its_key() {
    let mut judged = event();
    let admitted = terms(KeyKind::Write).check(&Envelope::default(), &mut judged, NOW);
    let admitted = admitted.expect("passes");
    assert_eq!(judged, event());
    assert_eq!(admitted.key, AppHash::of("demo").key("e-1"));
    assert_eq!(admitted.fingerprint, fingerprint(&event()));
    assert_eq!((admitted.flags, admitted.timing.corrected_ms), (0, NOW));
    assert_eq!(admitted.timing.day, Day::of(NOW));
}

#[test]
fn ids() {
    for id in ["x", "!", "~", "0193a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b", &"x".repeat(64)] {
        assert_eq!(verdict(Event { id: id.to_owned().into(), ..event() }), Ok(()), "{id}");
    }
    refused(Event { id: "".into(), ..event() }, Reason::IdMissing, "id: ");
    for id in [" ", "a b", "a\n", "a\u{7f}", "é", &"x".repeat(65)] {
        refused(Event { id: id.to_owned().into(), ..event() }, Reason::IdInvalid, "id: ");
    }
}

#[test]
fn a_refused_id_comes_back_cut() {
    let id = format!("{}é", "x".repeat(63));
    let mut long = Event { id: id.into(), ..event() };
    let bad =
        terms(KeyKind::Write).check(&Envelope::default(), &mut long, NOW).expect_err("too long");
    assert_eq!(bad.id, "x".repeat(63));
    let mut short = Event { name: "".into(), ..event() };
    let bad =
        terms(KeyKind::Write).check(&Envelope::default(), &mut short, NOW).expect_err("no name");
    assert_eq!(bad.id, "e-1");
}

#[test]
fn names() {
    for name in ["a", "$", "Z9_.$-", "$AppStart", &"x".repeat(128)] {
        assert_eq!(verdict(Event { name: name.to_owned().into(), ..event() }), Ok(()), "{name}");
    }
    refused(Event { name: "".into(), ..event() }, Reason::NameMissing, "name: ");
    for name in ["1a", "_a", ".a", "-a", "a b", "a/b", "aé", "é", "a\0", &"x".repeat(129)] {
        refused(Event { name: name.to_owned().into(), ..event() }, Reason::NameInvalid, "name: ");
    }
}

#[test]
fn only_server_keys_may_omit_the_device() {
    let mut event = Event { device_id: "".into(), ..event() };
    refused(event.clone(), Reason::DeviceIdMissing, "device_id: ");
    assert!(terms(KeyKind::Server).check(&Envelope::default(), &mut event, NOW).is_ok());
}

#[test]
fn lengths() {
    type Set = fn(sluice_event::Text<'static>) -> Event<'static>;
    let fields: [(&str, usize, Set); 9] = [
        ("device_id", 128, |text| Event { device_id: text, ..event() }),
        ("user_id", 255, |text| Event { user_id: text, ..event() }),
        ("session_id", 64, |text| Event { session_id: text, ..event() }),
        ("scene", 8_192, |text| Event { scene: text, ..event() }),
        ("page.path", 8_192, |text| with_page(Page { path: text, ..Page::default() })),
        ("page.query", 8_192, |text| with_page(Page { query: text, ..Page::default() })),
        ("page.title", 8_192, |text| with_page(Page { title: text, ..Page::default() })),
        ("page.referrer", 8_192, |text| with_page(Page { referrer: text, ..Page::default() })),
        ("ids.openid", 255, |text| Event { ids: vec![("openid".into(), text)], ..event() }),
    ];
    for (field, bytes_max, set) in fields {
        assert_eq!(verdict(set(text(bytes_max))), Ok(()), "{field}");
        refused(set(text(bytes_max + 1)), Reason::FieldInvalid, &format!("{field}: is "));
    }
}

fn with_page(page: Page<'static>) -> Event<'static> {
    Event { page: Some(page), ..event() }
}

#[test]
fn ids_of_a_user_are_few_and_named() {
    let ids = |n: usize| Event {
        ids: (0..n).map(|n| (format!("k{n}").into(), "v".into())).collect(),
        ..event()
    };
    assert_eq!(verdict(ids(16)), Ok(()));
    refused(ids(17), Reason::FieldInvalid, "ids: has 17");
    for (bytes, passes) in [(0, false), (1, true), (128, true), (129, false)] {
        let event = Event { ids: vec![(text(bytes), "v".into())], ..event() };
        assert_eq!(verdict(event).is_ok(), passes, "{bytes}");
    }
}

#[test]
fn sizes() {
    assert_eq!(verdict(Event { bytes: 65_536, ..event() }), Ok(()));
    refused(Event { bytes: 65_537, ..event() }, Reason::EventTooLarge, "takes 65537");
    let properties = format!("{{\"a\":1{}}}", " ".repeat(65_536)).into_bytes().into();
    refused(Event { properties, ..event() }, Reason::EventTooLarge, "takes ");
    let limits = Limits { event_bytes_max: 99, ..Limits::default() };
    let narrow = terms_of(KeyKind::Write, &AppConfig { limits, ..AppConfig::default() });
    let bad = narrow.check(&Envelope::default(), &mut event(), NOW).expect_err("narrowed");
    assert_eq!(bad.reason, Reason::EventTooLarge);
}

#[test]
fn times() {
    refused(Event { time_ms: None, ..event() }, Reason::TimeInvalid, "time: ");
    for (raw_ms, sent_ms, expected) in [
        (NOW - 7 * DAY, NOW, Ok((NOW - 7 * DAY, 0))),
        (NOW - 7 * DAY - 1, NOW, Err(Reason::TimeOutOfRange)),
        (NOW + DAY, NOW, Ok((NOW + DAY, 0))),
        (NOW + DAY + 1, NOW, Err(Reason::TimeOutOfRange)),
        (NOW - 60_000, NOW - 5_000, Ok((NOW - 60_000, 0))),
        (NOW - 60_000, NOW - 5_001, Ok((NOW - 54_999, FLAG_CORRECTED))),
        (1_000, 2_000, Ok((NOW - 1_000, FLAG_CORRECTED | FLAG_DAY_OF_RECEIPT))),
        (
            3_786_912_000_000,
            3_786_912_000_500,
            Ok((NOW - 500, FLAG_CORRECTED | FLAG_DAY_OF_RECEIPT)),
        ),
        (1_000, 0, Err(Reason::TimeOutOfRange)),
        (i64::MAX, i64::MIN, Err(Reason::TimeOutOfRange)),
        (i64::MIN, i64::MAX, Err(Reason::TimeOutOfRange)),
    ] {
        let envelope = Envelope { sent_at_ms: sent_ms, ..Envelope::default() };
        let mut event = Event { time_ms: Some(raw_ms), ..event() };
        let verdict = terms(KeyKind::Write).check(&envelope, &mut event, NOW);
        let verdict = verdict.map(|admitted| (admitted.timing.corrected_ms, admitted.flags));
        assert_eq!(verdict.map_err(|bad| bad.reason), expected, "{raw_ms} {sent_ms}");
    }
}

/// Where a protocol leaves the time out, the event happened when it is received,
/// whatever the sender's clock says; sent again, it is still the same event.
#[test]
fn times_of_receipt() {
    let untimed = || Event { time_ms: None, ..event() };
    let check = |sent_at_ms, received_ms| {
        let envelope = Envelope { sent_at_ms, time_of_receipt: true, ..Envelope::default() };
        let mut event = untimed();
        let admitted = terms(KeyKind::Write).check(&envelope, &mut event, received_ms);
        (admitted.expect("passes"), event)
    };
    for sent_ms in [0, 1_000, NOW - DAY, NOW, NOW + 40 * DAY] {
        assert_eq!(check(sent_ms, NOW).0.timing.corrected_ms, NOW, "{sent_ms}");
    }
    assert_eq!(check(0, NOW).1.time_ms, Some(NOW));
    assert_eq!(check(0, NOW).0.fingerprint, check(NOW, NOW + 60_000).0.fingerprint);
    let envelope = Envelope { time_of_receipt: true, ..Envelope::default() };
    let mut timed = event();
    terms(KeyKind::Write).check(&envelope, &mut timed, NOW).expect("passes");
    assert_eq!(timed.time_ms, event().time_ms, "a time that is sent stays");
}

#[test]
fn the_window_is_the_apps_own() {
    let config = AppConfig { past_max_ms: 60_000, future_max_ms: 0, ..AppConfig::default() };
    let terms = terms_of(KeyKind::Write, &config);
    for (off_ms, passes) in [(-60_000, true), (-60_001, false), (0, true), (1, false)] {
        let mut event = Event { time_ms: Some(NOW + off_ms), ..event() };
        assert_eq!(terms.check(&Envelope::default(), &mut event, NOW).is_ok(), passes, "{off_ms}");
    }
}

#[test]
fn properties_are_checked_and_truncated() {
    let with = |text: &str| Event { properties: text.as_bytes().to_vec().into(), ..event() };
    assert_eq!(verdict(with("")), Ok(()));
    refused(with("[]"), Reason::PropertiesInvalid, "properties: ");
    let mut long = with(&format!("{{\"s\":\"{}\"}}", "x".repeat(9_000)));
    let sent = fingerprint(&long);
    let admitted = terms(KeyKind::Write).check(&Envelope::default(), &mut long, NOW);
    let admitted = admitted.expect("passes");
    assert_eq!(admitted.flags, FLAG_TRUNCATED);
    assert_eq!(long.properties.len(), 8_192 + r#"{"s":""}"#.len());
    assert_eq!(admitted.fingerprint, sent, "goes by what was sent");
}

#[test]
fn what_fits_is_not_copied() {
    let text = br#"{"a":"b"}"#;
    let mut event = Event { properties: text[..].into(), ..event() };
    terms(KeyKind::Write).check(&Envelope::default(), &mut event, NOW).expect("passes");
    assert!(std::ptr::eq(&*event.properties, &text[..]));
}

#[test]
fn envelopes() {
    let terms = terms(KeyKind::Write);
    for app_id in ["", "demo"] {
        let envelope = Envelope { app_id: app_id.into(), ..Envelope::default() };
        assert_eq!(terms.check_envelope(&envelope), Ok(()));
    }
    let other = Envelope { app_id: "other".into(), ..Envelope::default() };
    let refusal = terms.check_envelope(&other).expect_err("another app");
    assert_eq!(refusal.reason, Reason::AppMismatch);

    type Set = fn(sluice_event::Text<'static>) -> Envelope<'static>;
    let fields: [(&str, Set); 14] = [
        ("platform", |text| Envelope { platform: text, ..Envelope::default() }),
        ("host_app", |text| Envelope { host_app: text, ..Envelope::default() }),
        ("env", |text| Envelope { env: text, ..Envelope::default() }),
        ("app_version", |text| Envelope { app_version: text, ..Envelope::default() }),
        ("sdk.name", |text| Envelope { sdk_name: text, ..Envelope::default() }),
        ("sdk.version", |text| Envelope { sdk_version: text, ..Envelope::default() }),
        ("batch_id", |text| Envelope { batch_id: text, ..Envelope::default() }),
        ("device.model", |text| with_device(Device { model: text, ..Device::default() })),
        ("device.brand", |text| with_device(Device { brand: text, ..Device::default() })),
        ("device.os", |text| with_device(Device { os: text, ..Device::default() })),
        ("device.os_version", |text| with_device(Device { os_version: text, ..Device::default() })),
        ("device.screen", |text| with_device(Device { screen: text, ..Device::default() })),
        ("device.network", |text| with_device(Device { network: text, ..Device::default() })),
        ("device.lang", |text| with_device(Device { lang: text, ..Device::default() })),
    ];
    for (field, set) in fields {
        assert_eq!(terms.check_envelope(&set(text(8_192))), Ok(()), "{field}");
        let refusal = terms.check_envelope(&set(text(8_193))).expect_err(field);
        assert_eq!((refusal.reason, refusal.limit), (Reason::BodyInvalid, Some(8_192)));
        assert!(refusal.detail.starts_with(&format!("{field}: ")), "{}", refusal.detail);
    }
}

fn with_device(device: Device<'static>) -> Envelope<'static> {
    Envelope { device, ..Envelope::default() }
}
