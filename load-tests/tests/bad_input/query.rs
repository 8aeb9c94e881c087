//! Questions that cannot be answered: the place, and what is allowed there.

use futures::StreamExt as _;
use serde_json::{Value, json};

use crate::Target;
use crate::raw::{request, send};

/// The cap that the gateway is started with.
pub const LIVE_CLIENTS_MAX: usize = 4;

/// A question, and the path, a part of the detail, and one allowed value
/// (empty: none are listed) of its answer.
type Row = (Value, &'static str, &'static str, &'static str);

fn rows() -> Vec<Row> {
    let week = json!({"last": "7d"});
    let with = |name: &str, value: Value| {
        let mut question = json!({"metrics": ["visit_pv"], "date_range": week});
        question[name] = value;
        question
    };
    vec![
        (with("metrics", json!(["vist_pv"])), "metrics[0]", "did you mean `visit_pv`", "visit_pv"),
        (with("metrics", json!([])), "metrics", "1 to 50", "visit_uv"),
        (with("metrix", json!(1)), "metrix", "did you mean `metrics`", "metrics"),
        (with("dimensions", json!(["pge.path"])), "dimensions[0]", "`page.path`", "page.path"),
        (with("filters", json!([["iz", "platform", ["jd"]]])), "filters[0][0]", "`is`", "is_not"),
        (with("filters", json!([["matches", "name", ["("]]])), "filters[0][2]", "unclosed", ""),
        (with("timezone", json!("Asia/Shangai")), "timezone", "no IANA", "Asia/Shanghai"),
        (with("limit", json!(-1)), "limit", "0 to 10000", ""),
        (with("limit", json!(10_001)), "limit", "0 to 10000", ""),
        (with("order_by", json!([["visit_uv", "desc"]])), "order_by[0][0]", "", "visit_pv"),
        (with("date_range", json!(["2026-11-02", "2026-11-01"])), "date_range", "ends before", ""),
        (
            with("date_range", json!(["2026-11-31", "2026-12-01"])),
            "date_range[0]",
            "date",
            "2026-11-01",
        ),
        (with("date_range", json!({"last": "7x"})), "date_range.last", "", ""),
        (json!(7), "$", "", ""),
    ]
}

pub async fn run(target: &Target<'_>) {
    let mut wrong = Vec::new();
    for (question, path, detail, allowed) in rows() {
        let answer = ask(target, question.to_string().as_bytes()).await;
        let error = &answer.1["error"];
        let listed = error["allowed"].as_array().cloned().unwrap_or_default();
        let right = answer.0 == 400
            && error["reason"] == "request_invalid"
            && error["path"] == path
            && error["detail"].as_str().is_some_and(|text| text.contains(detail))
            && (allowed.is_empty() || listed.contains(&json!(allowed)));
        if !right {
            wrong.push(format!("{question}: wanted {path} {detail}, got {answer:?}"));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    bodies(target).await;
    tokens(target).await;
    places(target).await;
    live(target).await;
}

async fn ask(target: &Target<'_>, body: &[u8]) -> (u16, Value) {
    let length = body.len().to_string();
    let headers = [("authorization", "Bearer demo-read-token"), ("content-length", &*length)];
    let bytes = request("POST", "/v1/apps/demo/query", &headers, body);
    let answer = send(&target.address, &bytes).await;
    (answer.status, answer.json())
}

async fn bodies(target: &Target<'_>) {
    let deep = format!("{{\"filters\":{}", "[".repeat(20_000));
    for broken in [&b"{\"metrics\":[\"visit_pv\""[..], b"\xff", deep.as_bytes(), b""] {
        let (status, reply) = ask(target, broken).await;
        assert_eq!((status, &reply["error"]["path"]), (400, &json!("$")), "{reply}");
        assert_eq!(reply["error"]["reason"], "request_invalid", "{reply}");
    }
    for length in [100_000, 300_000] {
        let (status, reply) = ask(target, &vec![b' '; length]).await;
        assert_eq!((status, &reply["error"]["reason"]), (413, &json!("body_too_large")), "{reply}");
        assert!(!reply["error"]["detail"].to_string().contains("batch"), "{reply}");
    }
}

async fn tokens(target: &Target<'_>) {
    for (app, token, status, reason) in [
        ("demo", None, 401, "key_missing"),
        ("demo", Some("Bearer nobody"), 401, "key_unknown"),
        ("demo", Some("Bearer demo-write-key"), 403, "key_forbidden"),
        ("other", Some("Bearer demo-read-token"), 403, "key_forbidden"),
    ] {
        let headers: Vec<_> = token.iter().map(|token| ("authorization", *token)).collect();
        let bytes = request("GET", &format!("/v1/apps/{app}/catalogue"), &headers, b"");
        let answer = send(&target.address, &bytes).await;
        assert_eq!(
            (answer.status, answer.json()["error"]["reason"].as_str()),
            (status, Some(reason))
        );
        assert_eq!(answer.headers.contains_key("www-authenticate"), status == 401);
    }
}

/// Paths, methods and parameters.
async fn places(target: &Target<'_>) {
    let get =
        |path: &str| request("GET", path, &[("authorization", "Bearer demo-read-token")], b"");
    for (path, status, reason, place) in [
        ("/v1/apps/demo/nothing", 404, "not_found", Value::Null),
        ("/", 404, "not_found", Value::Null),
        ("/v1/apps/demo/events/no-such", 404, "event_unknown", Value::Null),
        ("/v1/apps/demo/users/no-such", 404, "user_unknown", Value::Null),
        ("/v1/apps/demo/query", 405, "method_not_allowed", Value::Null),
        ("/v1/apps/demo/users/d/events?limit=9999", 400, "request_invalid", json!("limit")),
        ("/v1/apps/demo/users/d/events?cursor=zzz", 400, "request_invalid", json!("cursor")),
        ("/v1/apps/demo/users/d/events?foo=1", 400, "request_invalid", json!("foo")),
        ("/v1/apps/demo/users/%ff/events", 400, "request_invalid", json!("path")),
    ] {
        let answer = send(&target.address, &get(path)).await;
        let reply = answer.json();
        let error = &reply["error"];
        assert_eq!(
            (answer.status, error["reason"].as_str()),
            (status, Some(reason)),
            "{path}: {reply}"
        );
        assert_eq!(error["path"], place, "{path}: {reply}");
        assert!(error["detail"].as_str().is_some_and(|text| !text.is_empty()), "{path}: {reply}");
        assert_eq!(answer.headers.contains_key("allow"), status == 405, "{path}");
    }
}

/// Live streams over the cap are told to come back; a closed one makes room.
async fn live(target: &Target<'_>) {
    let open = || async {
        let url = format!("{}/v1/apps/demo/live", target.gateway.http);
        target.client.get(url).bearer_auth("demo-read-token").send().await.expect("answers")
    };
    let mut streams = Vec::new();
    for _ in 0..LIVE_CLIENTS_MAX {
        let stream = open().await;
        assert_eq!(stream.status(), 200);
        let mut events = stream.bytes_stream();
        let first = events.next().await.expect("an event").expect("no error");
        assert!(first.starts_with(b"event: open"), "{first:?}");
        streams.push(events);
    }
    let over = open().await;
    assert_eq!(over.status(), 503);
    assert_eq!(over.headers()["retry-after"], "5");
    let reply: Value = over.json().await.expect("JSON");
    assert_eq!(reply["error"]["reason"], "overloaded", "{reply}");
    streams.pop();
    for _ in 0..100 {
        if open().await.status() == 200 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("a closed stream made no room");
}
