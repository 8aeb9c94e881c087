//! CloudEvents: identity, names, times and what is refused.

use serde_json::{Value, json};
use sluice_event::{Event, EventType, Parsed};

use super::*;

fn head(headers: &[(&str, &str)]) -> Head {
    let mut request = http::Request::post("/cloudevents");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    Head::new(request.body(()).expect("valid").into_parts().0, None)
}

fn sample() -> Value {
    json!({
        "specversion": "1.0", "id": "e-1", "source": "/jd/app", "type": "order.paid",
        "time": "2026-11-20T18:48:43.217Z", "subject": "user-42", "data": {"amount": 12.5},
    })
}

fn with(changes: Value) -> Value {
    let mut event = sample();
    for (key, value) in changes.as_object().expect("members") {
        event[key] = value.clone();
    }
    event
}

/// Reads one event in JSON; `Err` is the reason and the detail.
fn read<T>(event: &Value, then: impl Fn(&Event<'_>) -> T) -> Result<T, (Reason, String)> {
    let text = event.to_string();
    let head = head(&[("content-type", "application/cloudevents+json")]);
    let batch = CloudEvents.decode(&head, text.as_bytes(), &Limits::default());
    match batch.expect("a batch").events.remove(0) {
        Parsed::Event(event) => Ok(then(&event)),
        Parsed::Bad { reason, detail, .. } => Err((reason, detail)),
    }
}

fn id(event: &Value) -> String {
    read(event, |event| event.id.to_string()).expect("an event")
}

fn properties(event: &Value) -> Value {
    let text = read(event, |event| event.properties.to_vec()).expect("an event");
    serde_json::from_slice(&text).expect("JSON")
}

#[test]
fn source_and_id_alone_are_the_identity() {
    let first = id(&sample());
    assert!(first.len() <= 64 && first.bytes().all(|byte| byte.is_ascii_graphic()), "{first}");
    for same in [
        json!({"time": "2026-11-21T00:00:00Z"}),
        json!({"data": null}),
        json!({"type": "other"}),
        json!({"sequence": "7"}),
    ] {
        assert_eq!(id(&with(same)), first);
    }
    assert_ne!(id(&with(json!({"source": "/jd/ap", "id": "pe-1"}))), first);
    assert_ne!(id(&with(json!({"id": "e-2"}))), first);
}

#[test]
fn both_modes_give_one_event() {
    let text = sample().to_string();
    let structured = head(&[("content-type", "application/cloudevents+json; charset=utf-8")]);
    let binary = head(&[
        ("content-type", "application/json"),
        ("ce-specversion", "1.0"),
        ("ce-id", "e-1"),
        ("ce-source", "%2Fjd/app"),
        ("ce-type", "order.paid"),
        ("ce-time", "2026-11-20T18:48:43.217Z"),
        ("ce-subject", "user%2D42"),
    ]);
    let limits = Limits::default();
    let mut structured = CloudEvents.decode(&structured, text.as_bytes(), &limits).expect("read");
    let mut binary = CloudEvents.decode(&binary, b"{\"amount\":12.5}", &limits).expect("read");
    for batch in [&mut structured, &mut binary] {
        if let Parsed::Event(event) = &mut batch.events[0] {
            event.bytes = 0;
        }
    }
    assert_eq!(structured, binary);
}

#[test]
fn types_become_names() {
    let name = |kind: &str| {
        read(&with(json!({ "type": kind })), |event| (event.name.to_string(), event.r#type))
            .expect("an event")
    };
    assert_eq!(name("page_view"), ("page_view".to_owned(), EventType::Track));
    assert_eq!(name("user_set"), ("user_set".to_owned(), EventType::UserSet));
    assert_eq!(name("error"), ("error".to_owned(), EventType::Error));
    assert_eq!(name("com.x.paid/v2").0, "com.x.paid_v2");
    assert_eq!(properties(&with(json!({"type": "com.x.paid/v2"})))["ce_type"], "com.x.paid/v2");
    assert_eq!(properties(&sample()), json!({"ce_source": "/jd/app", "amount": 12.5}));
}

#[test]
fn extensions_are_mapped_and_kept() {
    let event = with(json!({
        "deviceid": "d-1", "userid": 42, "page": "pages/index", "openid": "o-1", "vip": true,
        "amount": 1,
    }));
    let found = read(&event, |event| {
        let page = event.page.clone().expect("a page").path.to_string();
        let (key, openid) = event.ids[0].clone();
        assert_eq!((&*key, &*openid, event.ids.len()), ("openid", "o-1", 1));
        (event.device_id.to_string(), event.user_id.to_string(), page)
    });
    let expected = ("d-1".to_owned(), "42".to_owned(), "pages/index".to_owned());
    assert_eq!(found, Ok(expected));
    let properties = properties(&event);
    assert_eq!(properties["vip"], true);
    assert_eq!(properties["ce_subject"], "user-42");
    assert_eq!(properties["amount"], 12.5, "the data wins");
}

#[test]
fn data_that_is_no_object() {
    assert_eq!(properties(&with(json!({"data": [1, 2]})))["data"], json!([1, 2]));
    assert_eq!(properties(&with(json!({"data": "text"})))["data"], "text");
    let event = with(json!({"data": null, "data_base64": "/wA="}));
    assert_eq!(properties(&event), json!({"ce_source": "/jd/app", "data_base64": "/wA="}));
}

#[test]
fn times() {
    let time = |time: Value| read(&with(json!({ "time": time })), |event| event.time_ms);
    assert_eq!(time(json!("2026-11-21T02:48:43.217+08:00")), Ok(Some(1_795_200_523_217)));
    assert_eq!(time(json!(null)), Ok(None));
    assert_eq!(time(json!("today")).expect_err("no moment").0, Reason::TimeInvalid);
    let batch = CloudEvents.decode(&head(&[]), b"[]", &Limits::default()).expect("a batch");
    assert!(batch.envelope.time_of_receipt);
}

#[test]
fn what_is_refused_says_why() {
    for (changes, reason, place) in [
        (json!({"specversion": null}), Reason::FieldInvalid, "specversion"),
        (json!({"specversion": "0.3"}), Reason::EventUnsupported, "specversion"),
        (json!({"specversion": 1.0}), Reason::FieldInvalid, "specversion"),
        (json!({"id": ""}), Reason::IdMissing, "id"),
        (json!({"id": 7}), Reason::FieldInvalid, "id"),
        (json!({"source": null}), Reason::FieldInvalid, "source"),
        (json!({"type": null}), Reason::NameMissing, "type"),
        (json!({"data_base64": {}}), Reason::FieldInvalid, "data_base64"),
        (json!({"data": "x".repeat(70_000)}), Reason::EventTooLarge, ""),
    ] {
        let (found, detail) = read(&with(changes.clone()), |_| ()).expect_err("bad");
        assert_eq!(found, reason, "{changes}");
        assert!(detail.starts_with("events[0]") && detail.contains(place), "{detail}");
    }
    let many: Value = (0..200).map(|n| (format!("x{n}"), json!(n))).collect();
    assert_eq!(read(&with(many), |_| ()).expect_err("bad").0, Reason::PropertiesInvalid);
}

#[test]
fn requests_that_are_no_batch() {
    let reason = |media: &str, body: &str| {
        let head = head(&[("content-type", media)]);
        let checked = CloudEvents.check_head(&head);
        let limits = Limits::default();
        let read = checked.and_then(|()| CloudEvents.decode(&head, body.as_bytes(), &limits));
        read.map(|batch| batch.events.len()).map_err(|refusal| refusal.reason)
    };
    assert_eq!(reason("application/json", "[]"), Ok(0));
    assert_eq!(reason("application/cloudevents-batch+json", "[1,{}]"), Ok(2));
    assert_eq!(reason("application/cloudevents+xml", "<a/>"), Err(Reason::ContentTypeUnsupported));
    assert_eq!(reason("image/png", "[]"), Err(Reason::ContentTypeUnsupported));
    assert_eq!(reason("application/cloudevents+json", "7"), Err(Reason::BodyInvalid));
    assert_eq!(reason("application/cloudevents+json", "{"), Err(Reason::BodyInvalid));
    let many = format!("[{}1]", "1,".repeat(500));
    assert_eq!(reason("", &many), Err(Reason::TooManyEvents));
    let deep = format!("{{\"data\":{}", "[".repeat(100));
    assert_eq!(reason("", &deep), Err(Reason::BodyTooDeep));
}
