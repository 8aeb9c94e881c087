//! Every route, over HTTP, against stores in memory.

mod common;

use std::sync::atomic::Ordering;

use axum::body::Body;
use common::{NOW_MS, TOKEN, World, document};
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use prost::Message as _;
use serde_json::{Value, json};
use sluice_memory::fault::Fault;
use sluice_proto::v1::{BatchRecord, Page};
use sluice_query::QueryConfig;
use sluice_query::routes::{Operation, ROUTES};
use sluice_seams::{DedupeIndex as _, EventDocument, EventLog as _, Sighting};
use tower::ServiceExt as _;

const HOUR_MS: i64 = 3_600_000;
/// 2026-11-01T00:00+08:00.
const NOVEMBER_MS: i64 = 1_793_462_400_000;

fn view(id: &str, device: &str, time_ms: i64, path: &str) -> EventDocument {
    document(id, "page_view", device, time_ms, |event, _| {
        event.page = Some(Page { path: path.into(), ..Page::default() });
        event.properties = br#"{"plan":"gold","n":3}"#.to_vec().into();
    })
}

async fn small_world() -> World {
    let world = World::new(QueryConfig::default());
    world
        .file(vec![
            view("1", "d1", NOVEMBER_MS, "a"),
            view("2", "d1", NOVEMBER_MS + HOUR_MS, "b"),
            view("3", "d2", NOVEMBER_MS + 2 * HOUR_MS, "a"),
            view("4", "d1", NOVEMBER_MS + 26 * HOUR_MS, "a"),
        ])
        .await;
    world
}

#[tokio::test]
async fn a_question_is_answered_by_day_and_page() {
    let world = small_world().await;
    let body = world
        .answer(&json!({
            "metrics": ["visit_pv", "visit_uv"], "date_range": ["2026-11-01", "2026-11-02"],
            "dimensions": ["time:day", "page.path"], "include": {"totals": true},
        }))
        .await;
    assert_eq!(
        body["results"],
        json!([
            {"dimensions": ["2026-11-01", "a"], "metrics": [2, 2]},
            {"dimensions": ["2026-11-01", "b"], "metrics": [1, 1]},
            {"dimensions": ["2026-11-02", "a"], "metrics": [1, 1]},
        ])
    );
    assert_eq!(body["totals"], json!([4, 2]));
    let meta = &body["meta"];
    assert_eq!(meta["timezone"], "Asia/Shanghai");
    assert_eq!(meta["as_of"], "2026-11-21T00:00:00+08:00");
    assert_eq!(meta["units"], json!({"visit_pv": "events", "visit_uv": "users"}));
    assert_eq!(
        (&meta["exact"], &meta["total_rows"], &meta["warnings"]),
        (&json!(true), &json!(3), &json!([]))
    );
    let again = world.answer(&meta["query"]).await;
    assert_eq!(again["results"], body["results"]);
}

#[tokio::test]
async fn order_page_empty_rows_and_comparison() {
    let world = small_world().await;
    let mut question = json!({
        "metrics": ["visit_pv"], "date_range": ["2026-11-01", "2026-11-03"],
        "dimensions": ["time:day"], "order_by": [["visit_pv", "asc"]],
        "include": {"empty_rows": true},
    });
    let body = world.answer(&question).await;
    let days = |body: &Value| {
        let rows = body["results"].as_array().expect("rows").iter();
        rows.map(|row| (row["dimensions"][0].clone(), row["metrics"][0].clone()))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        days(&body),
        [
            (json!("2026-11-03"), json!(0)),
            (json!("2026-11-02"), json!(1)),
            (json!("2026-11-01"), json!(3))
        ]
    );
    question["limit"] = json!(1);
    question["offset"] = json!(1);
    let body = world.answer(&question).await;
    assert_eq!(days(&body), [(json!("2026-11-02"), json!(1))]);
    assert_eq!(body["meta"]["total_rows"], 3);

    let body = world
        .answer(&json!({
            "metrics": ["visit_pv", "visit_depth"], "date_range": ["2026-11-02", "2026-11-02"],
            "dimensions": ["time:day"], "include": {"compare": "previous_period", "totals": true},
        }))
        .await;
    assert_eq!(
        body["compare"]["results"],
        json!([{"dimensions": ["2026-11-01"], "metrics": [3, 1.0]}])
    );
    assert_eq!(body["compare"]["totals"], json!([3, 1.0]));
    assert_eq!(body["totals"], json!([1, 1.0]));
}

#[tokio::test]
async fn metrics_with_parameters_and_properties() {
    let world = small_world().await;
    let body = world
        .answer(&json!({
            "metrics": [
                {"metric": "event_count", "event": "page_view", "as": "views"},
                {"metric": "event_users", "filters": [[">", "properties.n", 2]]},
                "js_error_rate",
            ],
            "date_range": {"last": "30d"}, "dimensions": ["properties.plan", "properties.nope"],
        }))
        .await;
    assert_eq!(body["results"], json!([{"dimensions": ["gold", null], "metrics": [4, 2, null]}]));
    assert_eq!(body["meta"]["warnings"], json!(["`properties.nope` was never sent by this app"]));
}

#[tokio::test]
async fn a_wrong_question_is_told_where_and_what_is_allowed() {
    let world = small_world().await;
    let (status, body) = world
        .ask(&json!({"metrics": ["visit_pv", "visit_vu"], "date_range": ["2026-11-01", "2026-11-02"]}))
        .await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let error = &body["error"];
    assert_eq!(
        (&error["reason"], &error["path"]),
        (&json!("request_invalid"), &json!("metrics[1]"))
    );
    assert!(error["detail"].as_str().is_some_and(|text| text.contains("visit_uv")), "{error}");
    assert!(error["allowed"].as_array().is_some_and(|words| words.contains(&json!("visit_pv"))));

    for (body, status) in
        [("{", 400), ("", 400), (&*"[".repeat(100_000), 413), (&*"[".repeat(1_000), 400)]
    {
        let request = Request::post("/v1/apps/demo/query?token=read-token");
        let reply = world.send(request.body(Body::from(body.to_owned())).expect("a request")).await;
        assert_eq!(reply.0.as_u16(), status, "{}", reply.1);
        assert!(reply.1["error"]["detail"].is_string());
    }
}

#[tokio::test]
async fn only_readers_of_the_app_are_let_in() {
    let world = small_world().await;
    for route in ROUTES.iter().filter(|route| route.path.contains("{app}")) {
        let fill = |app: &str| {
            route.path.replace("{app}", app).replace("{user}", "u").replace("{id}", "1")
        };
        for (path, token, status, reason) in [
            (fill("demo"), None, 401, "key_missing"),
            (fill("demo"), Some("Bearer nope"), 401, "key_unknown"),
            (fill("other"), Some("Bearer read-token"), 403, "key_forbidden"),
        ] {
            let mut request =
                Request::builder().method(route.method.to_uppercase().as_str()).uri(&path);
            if let Some(token) = token {
                request = request.header("authorization", token);
            }
            let (got, body) = world.send(request.body(Body::empty()).expect("a request")).await;
            assert_eq!(
                (got.as_u16(), &body["error"]["reason"]),
                (status, &json!(reason)),
                "{path}"
            );
        }
    }
    let (status, body) = world.get("/v1/apps/demo/users/%ff").await;
    assert_eq!((status.as_u16(), &body["error"]["path"]), (400, &json!("path")));
    let (status, body) = world.get("/v1/apps/demo/catalogue?tokn=x").await;
    assert_eq!((status.as_u16(), &body["error"]["path"]), (400, &json!("tokn")));
}

#[tokio::test]
async fn the_catalogue_says_what_can_be_asked() {
    let (status, body) = small_world().await.get("/v1/apps/demo/catalogue").await;
    assert_eq!(status, 200);
    assert_eq!(body["events"], json!(["page_view"]));
    assert_eq!(body["properties"], json!(["n", "plan"]));
    assert!(body["metrics"].as_array().is_some_and(|all| all.len() > 20));
    assert!(body["dimensions"].as_array().is_some_and(|all| all.contains(&json!("time:week"))));
}

#[tokio::test]
async fn a_timeline_is_paged_newest_first() {
    let world = small_world().await;
    let (status, first) = world.get("/v1/apps/demo/users/d1/events?limit=2").await;
    assert_eq!(status, 200, "{first}");
    let ids = |page: &Value| {
        let events = page["events"].as_array().expect("events").iter();
        events.map(|event| event["id"].as_str().expect("an id").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(ids(&first), ["4", "2"]);
    assert_eq!(first["events"][1]["page"]["path"], "b");
    assert_eq!(first["events"][1]["time"], "2026-11-01T01:00:00+08:00");
    assert_eq!(first["events"][1]["properties"], json!({"plan": "gold", "n": 3}));
    let cursor = first["next"].as_str().expect("more");
    let (_, second) =
        world.get(&format!("/v1/apps/demo/users/d1/events?cursor={cursor}&timezone=UTC")).await;
    assert_eq!(ids(&second), ["1"]);
    assert_eq!(second["next"], Value::Null);
    for (query, path) in
        [("limit=0", "limit"), ("cursor=x", "cursor"), ("timezone=Mars", "timezone")]
    {
        let (status, body) = world.get(&format!("/v1/apps/demo/users/d1/events?{query}")).await;
        assert_eq!((status.as_u16(), &body["error"]["path"]), (400, &json!(path)));
    }
}

#[tokio::test]
async fn a_profile_says_first_and_last_seen() {
    let world = small_world().await;
    let (status, body) = world.get("/v1/apps/demo/users/d1?timezone=UTC").await;
    assert_eq!(status, 200);
    assert_eq!(body["first_seen_ms"], NOVEMBER_MS);
    assert_eq!(body["first_seen"], "2026-10-31T16:00:00+00:00");
    assert_eq!(body["last_seen_ms"], NOVEMBER_MS + 26 * HOUR_MS);
    let (status, body) = world.get("/v1/apps/demo/users/nobody").await;
    assert_eq!((status.as_u16(), &body["error"]["reason"]), (404, &json!("user_unknown")));
}

#[tokio::test]
async fn the_ledger_says_what_became_of_an_event() {
    let world = small_world().await;
    let document = view("1", "d1", NOVEMBER_MS, "a");
    let record = BatchRecord {
        envelope: Some((*document.envelope).clone()),
        received_at: document.received_at_ms,
        source: "native".into(),
        events: vec![(*document.event).clone()],
    };
    world.log.set_now_ms(NOVEMBER_MS + 9);
    let offset = world.log.append(0, record.encode_to_vec().into()).await.expect("appended");
    let sighting =
        Sighting { key: document.key, offset, index: 0, day: document.day, fingerprint: 1 };
    let mut partition = world.dedupe.open(0).expect("opened");
    partition.resolve(NOVEMBER_MS + 9, &[sighting], &mut Vec::new()).expect("resolved");
    partition.persist(offset + 1).expect("persisted");

    let (status, body) = world.get("/v1/apps/demo/events/1").await;
    assert_eq!(status, 200, "{body}");
    assert_eq!((&body["outcome"], &body["day"]), (&json!("accepted"), &json!("2026-10-31")));
    assert_eq!(body["position"], json!({"partition": 0, "offset": offset, "index": 0}));
    assert_eq!(body["stores"], json!({"documents": true, "rows": true}));
    assert_eq!(body["times"]["appended"]["ms"], NOVEMBER_MS + 9);
    assert_eq!(body["event"]["page"]["path"], "a");

    world.log.append(0, record.encode_to_vec().into()).await.expect("appended");
    world.log.retain(NOVEMBER_MS + 10);
    let (status, body) = world.get("/v1/apps/demo/events/rejected").await;
    assert_eq!((status.as_u16(), &body["outcome"]), (200, &json!("rejected")));
    assert_eq!(body["recent"]["reason"], "name_invalid");
    let (status, body) = world.get("/v1/apps/demo/events/nowhere").await;
    assert_eq!((status.as_u16(), &body["error"]["reason"]), (404, &json!("event_unknown")));
    assert!(body["error"]["detail"].as_str().is_some_and(|text| text.contains("dead-letter")));
}

#[tokio::test]
async fn a_live_stream_shows_events_heartbeats_and_what_was_missed() {
    let config =
        QueryConfig { live_clients_max: 1, live_heartbeat_ms: 20, ..QueryConfig::default() };
    let world = World::new(config);
    let open = || {
        Request::get(format!("/v1/apps/demo/live?token={TOKEN}&name=page_view")).body(Body::empty())
    };
    let response =
        world.router.clone().oneshot(open().expect("a request")).await.expect("infallible");
    assert_eq!(response.status(), 200);
    let (status, body) = world.send(open().expect("a request")).await;
    assert_eq!((status.as_u16(), &body["error"]["reason"]), (503, &json!("overloaded")));

    for n in 0..10 {
        let _ = world.live.send(view(&format!("v{n}"), "d", NOW_MS, "a"));
    }
    let _ = world.live.send(document("other", "click", "d", NOW_MS, |_, _| {}));
    let mut stream = response.into_body();
    let mut text = String::new();
    for _ in 0..20 {
        let frame = stream.frame().await.expect("goes on").expect("a frame");
        text.push_str(&String::from_utf8_lossy(&frame.into_data().expect("data")));
        if text.contains("heartbeat") {
            break;
        }
    }
    assert!(text.starts_with("event: open"), "{text}");
    assert!(text.contains("event: missed\ndata: {\"missed_at_most\":7}"), "{text}");
    assert!(text.contains("\"id\":\"v9\"") && !text.contains("\"id\":\"v0\""), "{text}");
    assert!(!text.contains("click") && text.contains(": heartbeat"), "{text}");
    drop(stream);
    let response =
        world.router.clone().oneshot(open().expect("a request")).await.expect("infallible");
    assert_eq!(response.status(), 200, "the place is free again");
}

#[tokio::test]
async fn what_cannot_be_answered_now_says_when_to_come_back() {
    let question = json!({"metrics": ["visit_pv"], "date_range": ["2026-11-01", "2026-11-02"]});
    let world = small_world().await;
    world.moods.then([Fault::RetryBefore]);
    let (status, body) = world.ask(&question).await;
    assert_eq!((status.as_u16(), &body["error"]["reason"]), (503, &json!("store_unavailable")));

    let narrow = World::new(QueryConfig {
        visits_max: 1,
        timeout_ms: 30,
        concurrent_max: 1,
        ..QueryConfig::default()
    });
    narrow.file(vec![view("1", "d", NOVEMBER_MS, "a"), view("2", "d", NOVEMBER_MS, "a")]).await;
    let sessions = json!({"metrics": ["session_cnt"], "date_range": ["2026-11-01", "2026-11-02"]});
    let (status, body) = narrow.ask(&sessions).await;
    assert_eq!((status.as_u16(), &body["error"]["reason"]), (400, &json!("question_refused")));

    narrow.moods.always(Some(Fault::Slow(std::time::Duration::from_secs(5))));
    let (first, second) = tokio::join!(narrow.ask(&question), narrow.ask(&question));
    assert_eq!((first.0.as_u16(), &first.1["error"]["reason"]), (504, &json!("timed_out")));
    assert_eq!((second.0.as_u16(), &second.1["error"]["reason"]), (503, &json!("overloaded")));
    let text = narrow.registry.encode().expect("encodes");
    assert!(text.contains("reason=\"timed_out\""), "{text}");
}

/// A user active without a pause since long before the period: where the session
/// begins cannot be known from a bounded look back, and the answer says so.
#[tokio::test]
async fn an_estimate_is_called_one() {
    let world = World::new(QueryConfig::default());
    let events = (0..240).map(|n| view(&n.to_string(), "bot", NOVEMBER_MS + n * HOUR_MS / 3, "a"));
    world.file(events.collect()).await;
    let mut question =
        json!({"metrics": ["session_cnt"], "date_range": ["2026-11-03", "2026-11-03"]});
    let meta = &world.answer(&question).await["meta"];
    assert_eq!(meta["exact"], false);
    assert!(meta["warnings"][0].as_str().is_some_and(|text| text.starts_with("1 users")), "{meta}");
    question["date_range"] = json!(["2026-11-01", "2026-11-01"]);
    let body = world.answer(&question).await;
    assert_eq!(
        (&body["meta"]["exact"], &body["results"][0]["metrics"][0]),
        (&json!(true), &json!(1))
    );
}

/// Seconds behind are the ordinary state of stores; more is said, of periods that reach so far.
#[tokio::test]
async fn an_answer_says_where_the_stores_are_behind() {
    let world = small_world().await;
    let mut question = json!({"metrics": ["visit_pv"], "date_range": {"last": "1d"}});
    for (behind_ms, warned) in [(9_000, false), (11_000, true)] {
        world.behind_ms.store(behind_ms, Ordering::Relaxed);
        let meta = &world.answer(&question).await["meta"];
        assert_eq!(meta["warnings"].to_string().contains("complete_until"), warned, "{meta}");
        assert_eq!(
            meta["complete_until"],
            format!("2026-11-20T23:59:{}+08:00", 60 - behind_ms / 1_000)
        );
    }
    question["date_range"] = json!(["2026-11-01", "2026-11-01"]);
    assert_eq!(world.answer(&question).await["meta"]["warnings"], json!([]));
}

/// An autumn day of New York has 25 hours, each with its own label.
#[tokio::test]
async fn empty_hours_follow_daylight_saving() {
    let world = small_world().await;
    let body = world
        .answer(&json!({
            "metrics": ["visit_pv"], "date_range": ["2026-11-01", "2026-11-01"],
            "timezone": "America/New_York", "dimensions": ["time:hour"],
            "include": {"empty_rows": true},
        }))
        .await;
    let rows = body["results"].as_array().expect("rows");
    let label = |n: usize| rows[n]["dimensions"][0].as_str().expect("a label");
    assert_eq!(rows.len(), 25);
    assert_eq!((label(1), label(2)), ("2026-11-01T01:00-04:00", "2026-11-01T01:00-05:00"));
}

/// The document says what the router does, and the router nothing else.
#[tokio::test]
async fn openapi_and_router_agree() {
    let world = small_world().await;
    let request = Request::get("/openapi.json").body(Body::empty()).expect("a request");
    let (status, openapi) = world.send(request).await;
    assert_eq!(status, 200);
    let mut described = 0;
    for (path, methods) in openapi["paths"].as_object().expect("paths") {
        let methods = methods.as_object().expect("methods");
        described += methods.len();
        let route = ROUTES.iter().find(|route| route.path == path).expect("in the table");
        let concrete = path.replace("{app}", "demo").replace("{user}", "d1").replace("{id}", "1");
        for method in ["get", "post", "put", "delete"] {
            let request = Request::builder().method(method.to_uppercase().as_str()).uri(&concrete);
            let request = request.header("authorization", format!("Bearer {TOKEN}"));
            let response =
                world.router.clone().oneshot(request.body(Body::empty()).expect("a request"));
            let status = response.await.expect("infallible").status().as_u16();
            let served = route.operation != Operation::Ingest;
            match (served, methods.contains_key(method)) {
                (false, _) => assert_eq!(status, 404, "{method} {path} is served elsewhere"),
                (true, false) => assert_eq!(status, 405, "{method} {path} is not described"),
                (true, true) => assert!(status != 405, "{method} {path} is described"),
            }
        }
    }
    assert_eq!(described, ROUTES.len());
    check_references(&openapi, &openapi);
}

/// Every `$ref` leads somewhere.
fn check_references(value: &Value, document: &Value) {
    match value {
        Value::Object(map) => {
            if let Some(Value::String(at)) = map.get("$ref") {
                assert!(document.pointer(at.trim_start_matches('#')).is_some(), "{at}");
            }
            map.values().for_each(|value| check_references(value, document));
        }
        Value::Array(items) => items.iter().for_each(|item| check_references(item, document)),
        _ => {}
    }
}
