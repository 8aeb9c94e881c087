//! Questions over a million events of thirty days in the embedded document
//! store, as a reader asks them: JSON in, JSON out, without the sockets. By the
//! wall, since a reader waits by the wall.

use std::time::Duration;

use axum::Router;
use load_tests::measure::{self, Stopwatch};
use load_tests::stored::{RANGE, api, ask, fill};
use serde_json::{Value, json};
use sluice_embedded::documents::{DocumentsConfig, EmbeddedDocuments};
use sluice_seams::DocumentStore;

const EVENTS: usize = 1_000_000;
const ROUNDS: usize = 9;

async fn measure(router: &Router, name: &str, question: &Value) {
    let (first, answer) = ask(router, question).await.expect("answered");
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        rounds.push(ask(router, question).await.expect("answered").0);
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
    let watch = Stopwatch::start();
    fill(&store, EVENTS).await.expect("filled");
    measure::report("filling the document store", &[watch.spent()], EVENTS);
    let router = api(store.clone());
    let (range, visits) = (RANGE, ["visit_pv", "visit_uv"]);
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
