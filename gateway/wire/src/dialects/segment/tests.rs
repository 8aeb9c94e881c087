//! Segment: who is let in, identity, names, pages and bodies under wrong labels.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use sluice_event::{Event, Parsed, Reason};

use super::*;

fn head(path: &str, headers: &[(&str, &str)]) -> Head {
    let mut request = http::Request::post(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    Head::new(request.body(()).expect("valid").into_parts().0, None)
}

/// Reads one message; `Err` is the reason and the detail.
fn read<T>(
    path: &str,
    message: &Value,
    then: impl Fn(&Event<'_>) -> T,
) -> Result<T, (Reason, String)> {
    let text = message.to_string();
    let batch = Segment.decode(&head(path, &[]), text.as_bytes(), &Limits::default());
    match batch.expect("a batch").events.remove(0) {
        Parsed::Event(event) => Ok(then(&event)),
        Parsed::Bad { reason, detail, .. } => Err((reason, detail)),
    }
}

fn track(changes: Value) -> Value {
    let mut message = json!({
        "messageId": "m-1", "event": "a", "anonymousId": "anon-1",
        "timestamp": "2026-11-20T18:40:43.217Z", "properties": {},
    });
    for (key, value) in changes.as_object().expect("members") {
        message[key] = value.clone();
    }
    message
}

fn id(message: &Value) -> String {
    read("/v1/track", message, |event| event.id.to_string()).expect("an event")
}

fn name(event: &str) -> String {
    let message = track(json!({ "event": event }));
    read("/v1/track", &message, |event| event.name.to_string()).expect("an event")
}

#[test]
fn keys() {
    let key = |headers: &[(&str, &str)]| {
        let head = head("/v1/batch", headers);
        Segment.presented(&head).key.map(str::to_owned)
    };
    assert_eq!(
        key(&[("authorization", "Basic ZGVtby13cml0ZS1rZXk6")]).as_deref(),
        Some("demo-write-key")
    );
    assert_eq!(key(&[("authorization", "Bearer a")]).as_deref(), Some("a"));
    assert_eq!(key(&[("x-sluice-key", "b")]).as_deref(), Some("b"));
    assert_eq!(key(&[]), None);
}

#[test]
fn every_path_knows_its_call() {
    for route in Segment.routes() {
        let single = Call::of(&head(route.path, &[])).is_some();
        assert_eq!(single, !matches!(route.path, "/v1/batch" | "/v1/import"), "{}", route.path);
    }
}

#[test]
fn identity_is_the_message_id_or_what_a_retry_does_not_change() {
    assert_eq!(id(&track(json!({}))), "m-1");
    assert_eq!(id(&track(json!({"event": "b", "sentAt": 1}))), "m-1");
    let unnamed = |changes: Value| {
        let mut message = track(changes);
        message["messageId"] = Value::Null;
        id(&message)
    };
    let first = unnamed(json!({"sentAt": "2026-11-20T18:41:00Z"}));
    assert_eq!(unnamed(json!({"sentAt": "2026-11-20T18:42:00Z"})), first);
    assert_ne!(unnamed(json!({"properties": {"sentAt": 1}})), first);
    assert_ne!(unnamed(json!({"timestamp": "2026-11-20T18:40:43.218Z"})), first);
    let long = "x".repeat(65);
    let hashed = id(&track(json!({ "messageId": long })));
    assert!(hashed.starts_with("sg-") && hashed.len() <= 64, "{hashed}");
    assert_eq!(id(&track(json!({"messageId": long, "event": "b"}))), hashed);
}

#[test]
fn names() {
    for (sent, expected) in [
        ("Order Paid", "order_paid"),
        ("Order Completed", "order"),
        ("order completed", "order"),
        ("Application Opened", "app_launch"),
        ("page_view", "page_view"),
        ("addToCart", "addToCart"),
        ("$MPShow", "$MPShow"),
    ] {
        assert_eq!(name(sent), expected, "{sent}");
    }
    assert_ne!(name("订单支付"), name("订单发货"));
    let missing = read("/v1/track", &track(json!({"event": ""})), |_| ()).expect_err("no name");
    assert_eq!(missing.0, Reason::NameMissing);
}

#[test]
fn pages() {
    let page = |path: &str, message: Value| {
        let told = |event: &Event<'_>| {
            let page = event.page.as_ref()?;
            Some(format!("{}?{} {}", page.path, page.query, page.title))
        };
        read(path, &message, told).expect("an event")
    };
    let context = json!({"page": {"path": "/from/context"}});
    let found = page("/v1/page", json!({"properties": {"url": "https://a.b/c?d#e"}}));
    assert_eq!(found.as_deref(), Some("/c?d "));
    let found = page("/v1/page", json!({"name": "Home", "properties": {"path": "/x"}}));
    assert_eq!(found.as_deref(), Some("/x? Home"));
    let found = page("/v1/screen", json!({"name": "Home", "context": context}));
    assert_eq!(found.as_deref(), Some("Home? Home"));
    let found = page("/v1/page", json!({ "context": context }));
    assert_eq!(found.as_deref(), Some("/from/context? "));
    assert_eq!(page("/v1/page", json!({})), None);
    let found = page("/v1/track", track(json!({"properties": {"path": "/x"}})));
    assert_eq!(found, None, "a property of an event is no page");
}

#[test]
fn gzip_is_told_by_its_first_bytes_and_capped() {
    let text = format!("{{\"batch\":[]{}}}", " ".repeat(5_000));
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).expect("in memory");
    let packed = encoder.finish().expect("in memory");
    let limits = |inflated_bytes_max| Limits { inflated_bytes_max, ..Limits::default() };
    let unwrapped = |headers: &[(&str, &str)], body: &[u8], max| {
        let head = head("/v1/batch", headers);
        assert_eq!(Segment.encoding(&head), Ok(Encoding::Identity));
        let found = Segment.unwrap(&head, body, &limits(max), &mut Inflater::default());
        found.map(Cow::into_owned).map_err(|refusal| refusal.reason)
    };
    let labelled = [("content-encoding", "gzip")];
    for headers in [&labelled[..], &[]] {
        assert_eq!(unwrapped(headers, &packed, 10_000).as_deref(), Ok(text.as_bytes()));
        assert_eq!(unwrapped(headers, text.as_bytes(), 10_000).as_deref(), Ok(text.as_bytes()));
        assert_eq!(unwrapped(headers, &packed, 1_000), Err(Reason::InflatedTooLarge));
    }
    let deflated = Segment.encoding(&head("/v1/batch", &[("content-encoding", "deflate")]));
    assert_eq!(deflated, Ok(Encoding::Deflate));
}

#[test]
fn bodies_that_are_no_batch() {
    let reason = |path: &str, body: &str| {
        let read = Segment.decode(&head(path, &[]), body.as_bytes(), &Limits::default());
        read.map(|batch| batch.events.len()).map_err(|refusal| refusal.reason)
    };
    assert_eq!(reason("/v1/batch", "{\"batch\":[]}"), Ok(0));
    assert_eq!(reason("/v1/batch", "[]"), Err(Reason::BodyInvalid));
    assert_eq!(reason("/v1/batch", "{\"batch\":{}}"), Err(Reason::BodyInvalid));
    assert_eq!(reason("/v1/track", "7"), Err(Reason::BodyInvalid));
    assert_eq!(reason("/v1/track", "{} {}"), Err(Reason::BodyInvalid));
    let many = format!("{{\"batch\":[{}1]}}", "1,".repeat(500));
    assert_eq!(reason("/v1/batch", &many), Err(Reason::TooManyEvents));
    let large = track(json!({"properties": {"a": "x".repeat(70_000)}}));
    assert_eq!(read("/v1/track", &large, |_| ()).expect_err("bad").0, Reason::EventTooLarge);
    let deep = format!("{{\"context\":{}", "{\"a\":".repeat(100));
    assert_eq!(reason("/v1/track", &deep), Err(Reason::BodyTooDeep));
}
