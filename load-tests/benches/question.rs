//! Questions over a million events of thirty days in the embedded document
//! store, as a reader asks them: JSON in, JSON out, without the sockets. By the
//! wall, since a reader waits by the wall.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, to_bytes};
use http::{Request, StatusCode};
use load_tests::population::{Population, Sent};
use serde_json::{Value, json};
use sluice_embedded::documents::{DocumentsConfig, EmbeddedDocuments};
use sluice_proto::v1::{Device, Envelope, RecordEvent};
use sluice_query::{AppTerms, QueryApi, QueryConfig, QueryDeps, first_in};
use sluice_seams::key::AppHash;
use sluice_seams::{Day, DocumentStore, DocumentWrite, EventDocument, Position};
use sluice_telemetry::{ManualClock, Registry};
use tower::ServiceExt;

#[path = "common/measure.rs"]
#[allow(dead_code)] // rounds by CPU time are for the others
mod measure;
#[path = "common/null.rs"]
#[allow(dead_code)] // all of it but the parts a question does not meet
mod null;
#[path = "common/traffic.rs"]
#[allow(dead_code)] // bodies are for the others
mod traffic;

const DAYS: i32 = 30;
const EVENTS: usize = 1_000_000;
const WRITE_EVENTS: usize = 5_000;
const ROUNDS: usize = 9;
const DAY_MS: i64 = 86_400_000;
/// 2026-11-01T00:00Z.
const FIRST_MS: i64 = 1_793_491_200_000;

fn document(sent: &Sent, envelope: &Arc<Envelope>, number: usize) -> EventDocument {
    let key = AppHash::of("demo").key(&sent.id);
    let event = RecordEvent {
        key: key.to_bytes().to_vec().into(),
        event: Some(traffic::event(sent)),
        time_corrected: sent.time_ms,
        day: Day::of(sent.time_ms).0,
        fingerprint: number as u64,
        flags: 0,
    };
    EventDocument {
        key,
        position: Position { partition: 0, offset: (number / 50) as u64, index: 0 },
        day: Day::of(sent.time_ms),
        received_at_ms: sent.time_ms,
        source: "native".into(),
        envelope: Arc::clone(envelope),
        event: Arc::new(event),
    }
}

async fn fill(store: &EmbeddedDocuments) {
    let device = Device { model: "iPhone 15".into(), os: "iOS".into(), ..Device::default() };
    let envelope = Arc::new(Envelope {
        app_id: "demo".to_owned(),
        platform: "wx".to_owned(),
        app_version: "1.2.3".to_owned(),
        device: Some(device),
        ..Envelope::default()
    });
    let mut population = Population::new(7, "0193a5b2-7c4d-7e8f-9a0b", 50_000, 200);
    let watch = measure::Stopwatch::start();
    let mut written = 0;
    for day in 0..DAYS {
        let until = EVENTS * (day as usize + 1) / DAYS as usize;
        while written < until {
            let count = WRITE_EVENTS.min(until - written);
            let writes = (0..count).map(|at| {
                let time = FIRST_MS + i64::from(day) * DAY_MS + 60_000;
                let spread = (at as i64 * (DAY_MS - 120_000)) / count as i64;
                let sent = population.event(time + spread);
                DocumentWrite::Event(document(&sent, &envelope, written + at))
            });
            let report = store.write(writes.collect()).await.expect("written");
            assert_eq!((report.existing, report.refused.len()), (0, 0));
            written += count;
        }
    }
    measure::report("filling the document store", &[watch.spent()], EVENTS);
}

fn api(store: EmbeddedDocuments) -> Router {
    let deps = QueryDeps {
        documents: Arc::new(store),
        rows: Arc::new(null::NullStore),
        log: Arc::new(null::NullLog(1)),
        first: first_in(Arc::new(null::MapIndex)),
        access: Arc::new(|_, _| Ok(AppTerms { timezone: "Asia/Shanghai".into() })),
        live: tokio::sync::broadcast::channel(1).0,
        complete_until_ms: Arc::new(|| i64::MAX),
        recent: Arc::new(|_| None),
        clock: Arc::new(ManualClock::at(FIRST_MS + i64::from(DAYS) * DAY_MS)),
        config: QueryConfig::default(),
        registry: Registry::new(),
    };
    QueryApi::new(deps).router()
}

async fn ask(router: &Router, question: &Value) -> (Duration, Value) {
    let body = Body::from(question.to_string());
    let request = Request::post("/v1/apps/demo/query")
        .header("content-type", "application/json")
        .header("authorization", "Bearer demo-read-token")
        .body(body);
    let began = Instant::now();
    let answer = router.clone().oneshot(request.expect("valid")).await.expect("infallible");
    let status = answer.status();
    let bytes = to_bytes(answer.into_body(), usize::MAX).await.expect("whole");
    let took = began.elapsed();
    assert_eq!(status, StatusCode::OK, "{}", String::from_utf8_lossy(&bytes));
    (took, serde_json::from_slice(&bytes).expect("JSON"))
}

async fn measure(router: &Router, name: &str, question: &Value) {
    let (first, answer) = ask(router, question).await;
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        rounds.push(ask(router, question).await.0);
    }
    rounds.sort_unstable();
    let ms = |took: Duration| took.as_secs_f64() * 1e3;
    println!(
        "{name:<34} {:>7.1} ms ({:.1} to {:.1}), first {:.1}; {} rows",
        ms(rounds[ROUNDS / 2]),
        ms(rounds[0]),
        ms(rounds[ROUNDS - 1]),
        ms(first),
        answer["results"].as_array().map_or(0, Vec::len),
    );
}

async fn bench() {
    let dir = tempfile::tempdir().expect("a folder");
    let config = DocumentsConfig::new(dir.path());
    let store = EmbeddedDocuments::open(config).expect("new");
    fill(&store).await;
    let router = api(store.clone());
    let (range, visits) = (["2026-11-01", "2026-11-30"], ["visit_pv", "visit_uv"]);
    let limit = 10_000;
    let questions = [
        (
            "day × page: visit_pv, visit_uv",
            json!({"metrics": visits, "date_range": range, "dimensions": ["time:day", "page.path"],
                "limit": limit}),
        ),
        (
            "day: visit_pv, visit_uv",
            json!({"metrics": visits, "date_range": range, "dimensions": ["time:day"]}),
        ),
        ("one number: visit_uv", json!({"metrics": ["visit_uv"], "date_range": range})),
        (
            "property: event_count, event_users",
            json!({"metrics": ["event_count", "event_users"], "date_range": range,
                "dimensions": ["properties.position"]}),
        ),
        (
            "day: session_cnt, stay_time_uv",
            json!({"metrics": ["session_cnt", "stay_time_uv"], "date_range": range,
                "dimensions": ["time:day"]}),
        ),
    ];
    for (name, question) in &questions {
        measure(&router, name, question).await;
    }
    store.close().await.expect("closes");
}

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(bench());
}
