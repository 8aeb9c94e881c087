//! The same events, the same answers: embedded and real engines, across
//! midnights, a change to winter time and several time zones.

use std::path::Path;
use std::time::{Duration, Instant};

use load_tests::crowd::now_ms;
use load_tests::gateway::{Gateway, Start, ask, settled};
use load_tests::sender::Sender;
use serde_json::{Value, json};

use crate::cluster::{APPS, Cluster};
use crate::world::{Ev, batches, generate};

const BIN: &str = env!("CARGO_BIN_EXE_sluice-faulty");
/// At least this many events.
const EVENTS: usize = 200_000;
/// Two days after New York and Berlin both left summer time.
const AFTER_DST_MS: i64 = 1_793_664_000_000; // 2026-11-03T00:00:00Z
/// Days around now, and around the change of clocks; as `YYYY-MM-DD`.
const DAY_MS: i64 = 86_400_000;
const ZONES: [&str; 3] = ["Asia/Shanghai", "America/New_York", "Europe/Berlin"];
const DIMENSIONS: [&[&str]; 8] = [
    &[],
    &["time:day"],
    &["time:hour"],
    &["name"],
    &["page.path", "platform"],
    &["time:week", "properties.tags"],
    &["properties.sku"],
    &["env"],
];
const FILTERS: [&str; 4] = [
    "[]",
    r#"[["is", "platform", ["jd"]]]"#,
    r#"[["contains", "page.path", ["购物"]]]"#,
    r#"[["or", [["matches", "properties.sku", ["^sku-1[01]$"]], ["not", ["exists", "page.path"]]]]]"#,
];

/// Half of them around now, half around the change of clocks.
fn events(now_ms: i64) -> Vec<Ev> {
    let mut all = Vec::new();
    for seed in 1.. {
        let around = if seed % 2 == 0 { now_ms } else { AFTER_DST_MS };
        let mut some = generate(seed, around);
        for ev in &mut some {
            // Other people than those of the other seeds.
            ev.device = format!("{}-{seed}", ev.device);
            ev.user = ev.user.as_ref().map(|user| format!("{user}-{seed}"));
        }
        all.append(&mut some);
        if all.len() >= EVENTS {
            break;
        }
    }
    all
}

async fn post(client: &reqwest::Client, http: &str, bodies: &[String]) {
    for body in bodies {
        let begun = Instant::now();
        loop {
            let request = client.post(format!("{http}/v1/events")).bearer_auth("demo-write-key");
            let response = request.body(body.clone()).send().await.expect("answered");
            let status = response.status();
            let answer: Value = response.json().await.expect("JSON");
            if status.is_success() && answer["retry"] == 0 {
                assert_eq!(answer["rejected"], 0, "{answer}");
                break;
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "{status} {answer}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

fn embedded(dir: &Path) -> Gateway {
    let config = dir.join("sluice.toml");
    std::fs::write(&config, APPS).expect("written");
    let data_dir = dir.join("data");
    let start = Start::new(Path::new(BIN), &data_dir).flag("--config", config.display());
    tokio::task::block_in_place(|| start.run()).expect("starts")
}

/// A question; the parts of its answer that do not name the moment. How far the stores are is
/// of the moment, and so is the warning that says it: both were seen to have settled before.
async fn answer(client: &reqwest::Client, http: &str, question: &Value) -> Result<Value, String> {
    let answer = ask(client, http, question).await?;
    let meta = &answer["meta"];
    assert_eq!(meta["exact"], true, "{meta}");
    let warnings = meta["warnings"].as_array().expect("warnings").iter();
    let warnings: Vec<&Value> = warnings.filter(|text| !is_of_the_moment(text)).collect();
    Ok(json!([answer["results"], answer["totals"], warnings, meta["units"]]))
}

fn is_of_the_moment(warning: &Value) -> bool {
    warning.as_str().is_some_and(|text| text.contains("see complete_until"))
}

fn date(ms: i64) -> String {
    let time = jiff::Timestamp::from_millisecond(ms).expect("a time");
    time.strftime("%Y-%m-%d").to_string()
}

fn questions(metrics: &[String]) -> Vec<Value> {
    let mut questions = Vec::new();
    let spans = [(now_ms() - 7 * DAY_MS, now_ms()), (AFTER_DST_MS - 7 * DAY_MS, AFTER_DST_MS)];
    for (number, zone) in ZONES.iter().enumerate() {
        for (from, to) in spans {
            for (at, dimensions) in DIMENSIONS.iter().enumerate() {
                let filters: Value =
                    serde_json::from_str(FILTERS[(at + number) % FILTERS.len()]).expect("JSON");
                questions.push(json!({
                    "metrics": metrics, "dimensions": dimensions, "timezone": zone,
                    "filters": filters, "date_range": [date(from), date(to)], "limit": 10_000,
                    "include": { "totals": true },
                }));
            }
        }
    }
    questions
}

/// Answers alike; metric by metric where they cannot all be asked together.
async fn same(client: &reqwest::Client, a: &str, b: &str, question: &Value) -> usize {
    let of_a = answer(client, a, question).await;
    if of_a.is_ok() {
        assert_eq!(of_a, answer(client, b, question).await, "{question}");
        return question["metrics"].as_array().map_or(0, Vec::len);
    }
    let mut alike = 0;
    for metric in question["metrics"].as_array().into_iter().flatten() {
        let mut one = question.clone();
        one["metrics"] = json!([metric]);
        let of_a = answer(client, a, &one).await;
        assert_eq!(of_a, answer(client, b, &one).await, "{one}");
        alike += usize::from(of_a.is_ok());
    }
    alike
}

async fn get(client: &reqwest::Client, url: String) -> Value {
    let reply = client.get(&url).bearer_auth("demo-read-token").send().await.expect("answered");
    reply.json().await.unwrap_or_else(|error| panic!("{url}: {error}"))
}

/// Without what a run is free to choose.
fn bare(mut event: Value) -> Value {
    if let Some(event) = event.as_object_mut() {
        event.remove("received_at_ms");
        event.remove("position");
    }
    event
}

async fn same_people(client: &reqwest::Client, a: &str, b: &str, events: &[Ev]) -> usize {
    let mut people: Vec<&str> = events.iter().map(Ev::who).collect();
    people.sort_unstable();
    people.dedup();
    let some = people.iter().step_by(people.len() / 100);
    let mut alike = 0;
    for person in some {
        let of = async |http: &str| {
            let base = format!("{http}/v1/apps/demo/users/{person}");
            let page = get(client, format!("{base}/events?limit=1000")).await;
            let events = page["events"].as_array().expect("events").iter().cloned();
            (events.map(bare).collect::<Vec<_>>(), get(client, base).await)
        };
        assert_eq!(of(a).await, of(b).await, "{person}");
        alike += 1;
    }
    alike
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "real engine: started by storage-adapters/services/services; run with -- --ignored"]
async fn real_engines_answer_as_the_embedded_ones_do() {
    let client = reqwest::Client::builder().timeout(Duration::from_secs(120)).no_proxy().build();
    let (client, sender) = (client.expect("a client"), Sender::new());
    let events = events(now_ms());
    let bodies = batches(&events, 500);
    let dir = tempfile::tempdir().expect("temp dir");
    let one = embedded(dir.path());
    let mut cluster = Cluster::start().await;
    tokio::join!(
        post(&client, &one.http, &bodies),
        post(&client, &cluster.gateways[0].http, &bodies[..bodies.len() / 2]),
        post(&client, &cluster.gateways[1].http, &bodies[bodies.len() / 2..]),
    );
    settled(&client, &one.admin).await.expect("settles");
    cluster.settled(&sender).await;
    let other = cluster.asked().to_owned();
    let catalogue = get(&client, format!("{}/v1/apps/demo/catalogue", one.http)).await;
    let of_other = get(&client, format!("{other}/v1/apps/demo/catalogue")).await;
    assert_eq!(catalogue, of_other);
    let metrics = catalogue["metrics"].as_array().expect("metrics").iter();
    let metrics: Vec<String> =
        metrics.map(|metric| metric["name"].as_str().expect("name").to_owned()).collect();
    let mut alike = 0;
    for question in questions(&metrics) {
        alike += same(&client, &one.http, &other, &question).await;
    }
    let people = same_people(&client, &one.http, &other, &events).await;
    println!(
        "{} events, {} metrics: {alike} answers alike, {people} timelines and profiles alike",
        events.len(),
        metrics.len()
    );
    assert!(alike > 1_000, "{alike} answers");
    cluster.gateways.clear();
}
