//! Any accepted set of events gives the same answers, in whatever order, batches
//! and copies it arrives, over whatever crashes, and when it is replayed; and the
//! answers are those of plain loops over what was sent.

mod oracle;
mod world;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use load_tests::crowd::now_ms;
use load_tests::gateway::{Gateway, Start, ask, settled};
use load_tests::population::Random;
use oracle::{Look, date, is_mean};
use parking_lot::Mutex;
use serde_json::{Value, json};
use world::{DAY_MS, Ev, batches, generate};

const BIN: &str = env!("CARGO_BIN_EXE_sluice-faulty");
const WORKERS: usize = 3;
const ZONES: [(&str, i64); 2] = [("Asia/Shanghai", 8 * 3_600_000), ("UTC", 0)];
/// Dimensions that the oracle knows.
const PLAIN: [&str; 7] =
    ["", "time:day", "platform", "name", "page.path", "properties.sku", "properties.tags"];
/// Others that two runs must agree about.
const MORE: [&[&str]; 4] = [
    &["time:hour"],
    &["time:day", "platform"],
    &["time:week", "properties.tags"],
    &["page.path", "properties.sku"],
];

/// Posts one batch; `Ok` where nothing of it is wanted again.
async fn post(client: &reqwest::Client, http: &str, body: &str) -> Result<(), String> {
    let request = client.post(format!("{http}/v1/events")).bearer_auth("demo-write-key");
    let response = request.body(body.to_owned()).send().await.map_err(|error| error.to_string())?;
    let status = response.status().as_u16();
    let answer: Value = response.json().await.map_err(|error| error.to_string())?;
    if status != 200 || answer["retry"] != 0 {
        return Err(format!("{status} {answer}"));
    }
    assert_eq!(answer["rejected"], 0, "{answer}");
    Ok(())
}

async fn get(client: &reqwest::Client, url: String) -> Value {
    let request = client.get(&url).bearer_auth("demo-read-token");
    let response = request.send().await.expect("answered");
    response.json().await.unwrap_or_else(|error| panic!("{url}: {error}"))
}

fn start(data_dir: &Path, partitions: u32) -> Gateway {
    let start = Start::new(Path::new(BIN), data_dir).env("SLUICE_LOG__PARTITIONS", partitions);
    tokio::task::block_in_place(|| start.run()).expect("starts")
}

/// In order, once.
async fn run_in_order(client: &reqwest::Client, data_dir: &Path, events: &[Ev]) -> Gateway {
    let gateway = start(data_dir, 4);
    let mut events = events.to_vec();
    events.sort_by_key(|ev| ev.time_ms);
    for body in batches(&events, 50) {
        post(client, &gateway.http, &body).await.expect("taken");
    }
    settled(client, &gateway.admin).await.expect("settles");
    gateway
}

/// Shuffled, three in ten sent twice, in other batches, over another number of
/// partitions, killed twice while it takes them and once while it replays, both
/// stores replayed from the start.
async fn run_in_disorder(
    client: &reqwest::Client,
    data_dir: &Path,
    events: &[Ev],
    random: &mut Random,
) -> Gateway {
    let mut all = events.to_vec();
    all.extend(events.iter().filter(|_| random.below(10) < 3).cloned());
    random.shuffle(&mut all);
    let mut bodies = batches(&all, 17);
    random.shuffle(&mut bodies);
    let (total, delivered) = (bodies.len(), Arc::new(AtomicUsize::new(0)));
    let mut gateway = start(data_dir, 3);
    let http = Arc::new(Mutex::new(gateway.http.clone()));
    let queue = Arc::new(Mutex::new(bodies));
    let workers: Vec<_> = (0..WORKERS)
        .map(|_| {
            let (client, queue) = (client.clone(), Arc::clone(&queue));
            let (http, delivered) = (Arc::clone(&http), Arc::clone(&delivered));
            tokio::spawn(async move {
                while let Some(body) = { queue.lock().pop() } {
                    let begun = Instant::now();
                    while let Err(error) = post(&client, &{ http.lock().clone() }, &body).await {
                        assert!(begun.elapsed() < Duration::from_secs(60), "{error}");
                        tokio::time::sleep(Duration::from_millis(10)).await;
                    }
                    delivered.fetch_add(1, Ordering::SeqCst);
                }
            })
        })
        .collect();
    for part in [4, 2] {
        while delivered.load(Ordering::SeqCst) < total / part {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        gateway.kill();
        gateway = start(data_dir, 3);
        *http.lock() = gateway.http.clone();
    }
    for worker in workers {
        worker.await.expect("delivered in the end");
    }
    replay(client, &gateway.admin, "documents").await;
    gateway.kill();
    gateway = start(data_dir, 3);
    for store in ["documents", "rows"] {
        replay(client, &gateway.admin, store).await;
        caught_up(client, &gateway.admin, store).await;
    }
    settled(client, &gateway.admin).await.expect("settles");
    gateway
}

async fn replay(client: &reqwest::Client, admin: &str, store: &str) {
    let request = json!({ "store": store, "from": "start" });
    let response = client.post(format!("{admin}/replay")).json(&request).send().await;
    let response = response.expect("answered");
    let status = response.status();
    let answer: Value = response.json().await.expect("JSON");
    assert!(status.is_success(), "{status} {answer}");
    assert!(answer["records_total"].as_u64() > Some(0), "{answer}");
}

async fn caught_up(client: &reqwest::Client, admin: &str, store: &str) {
    let begun = Instant::now();
    while get(client, format!("{admin}/replay/{store}")).await["done"] != true {
        assert!(begun.elapsed() < Duration::from_secs(60), "replay of {store} does not end");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A question; the parts of its answer that do not name the moment.
async fn answer(client: &reqwest::Client, http: &str, question: &Value) -> Result<Value, String> {
    let answer = ask(client, http, question).await?;
    let meta = &answer["meta"];
    assert_eq!(meta["exact"], true, "{meta}");
    Ok(json!([answer["results"], answer["totals"], meta["warnings"], meta["units"]]))
}

/// Spans of days around today; the second is long over.
fn spans(now_ms: i64, offset_ms: i64) -> [(i64, i64); 2] {
    let today = (now_ms + offset_ms).div_euclid(DAY_MS);
    [(today - 8, today + 1), (today - 8, today - 4)]
}

fn question(metrics: &[String], dims: &[&str], zone: &str, span: (i64, i64), env: &str) -> Value {
    let filters = if env == "release" { json!([]) } else { json!([["is", "env", [env]]]) };
    json!({
        "metrics": metrics, "dimensions": dims, "timezone": zone, "filters": filters,
        "date_range": [date(span.0), date(span.1)], "limit": 10_000,
        "include": { "totals": true },
    })
}

/// Both runs' answers to every question, metric by metric where they cannot all
/// be asked together; the number of answers.
async fn same_answers(client: &reqwest::Client, a: &str, b: &str, metrics: &[String]) -> usize {
    let mut asked = 0;
    let plain: Vec<Vec<&str>> = PLAIN
        .iter()
        .map(|name| name.split(' ').filter(|name| !name.is_empty()).collect())
        .collect();
    for (zone, offset_ms) in ZONES.into_iter().chain([("America/New_York", -5 * 3_600_000)]) {
        for dims in plain.iter().map(Vec::as_slice).chain(MORE) {
            for env in ["release", "trial"] {
                let span = spans(now_ms(), offset_ms)[0];
                let all = question(metrics, dims, zone, span, env);
                if let Ok(of_a) = answer(client, a, &all).await {
                    assert_eq!(Ok(of_a), answer(client, b, &all).await, "{all}");
                    asked += metrics.len();
                    continue;
                }
                for metric in metrics {
                    let one = question(std::slice::from_ref(metric), dims, zone, span, env);
                    let of_a = answer(client, a, &one).await;
                    assert_eq!(of_a, answer(client, b, &one).await, "{one}");
                    asked += usize::from(of_a.is_ok());
                }
            }
        }
    }
    asked
}

/// One run's answers against the oracle's; the number of values compared.
async fn right_answers(
    client: &reqwest::Client,
    http: &str,
    metrics: &[String],
    events: &[Ev],
) -> usize {
    let mut compared = 0;
    for (zone, offset_ms) in ZONES {
        for span in spans(now_ms(), offset_ms) {
            for env in ["release", "trial"] {
                for dimension in PLAIN {
                    let dims: Vec<&str> =
                        [dimension].into_iter().filter(|d| !d.is_empty()).collect();
                    let asked = question(metrics, &dims, zone, span, env);
                    let body = ask(client, http, &asked).await.expect("answers");
                    let (from_day, to_day, now_ms) = (span.0, span.1, now_ms());
                    let look = Look { events, offset_ms, from_day, to_day, dimension, env, now_ms };
                    compared += compare(&body, metrics, &look);
                }
            }
        }
    }
    compared
}

fn compare(body: &Value, metrics: &[String], look: &Look<'_>) -> usize {
    let rows = body["results"].as_array().expect("rows");
    let mut compared = 0;
    for (n, metric) in metrics.iter().enumerate() {
        let wanted = look.answer(metric);
        let at = format!("{metric} by {:?} of {} in {}", look.dimension, look.env, look.offset_ms);
        let mut seen = Vec::new();
        for row in rows {
            let label = row["dimensions"].get(0).and_then(Value::as_str).map(str::to_owned);
            same(&row["metrics"][n], wanted.get(&label), metric, &format!("{at} at {label:?}"));
            seen.push(label);
        }
        let missing = wanted.iter().find(|(label, value)| **value != 0.0 && !seen.contains(label));
        assert_eq!(missing, None, "{at}: no such row");
        let total = Look { dimension: "", ..*look }.answer(metric);
        same(&body["totals"][n], total.get(&None), metric, &format!("total of {at}"));
        compared += rows.len() + 1;
    }
    compared
}

#[track_caller]
fn same(got: &Value, wanted: Option<&f64>, metric: &str, at: &str) {
    let wanted = wanted.copied().or((!is_mean(metric)).then_some(0.0));
    match (got.as_f64(), wanted) {
        (Some(got), Some(wanted)) if (got - wanted).abs() < 1e-9 => {}
        (None, None) => {}
        (got, wanted) => panic!("{at}: answered {got:?}, wanted {wanted:?}"),
    }
}

/// Leaves out what a run is free to choose: when it received, and where it
/// stands in its log.
fn bare(mut event: Value) -> Value {
    if let Some(event) = event.as_object_mut() {
        event.remove("received_at_ms");
        event.remove("position");
    }
    event
}

/// A user's whole timeline by cursor, and profile.
async fn user(client: &reqwest::Client, http: &str, user: &str) -> (Vec<Value>, Value) {
    let base = format!("{http}/v1/apps/demo/users/{user}");
    let (mut events, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = get(client, format!("{base}/events?limit=7{cursor}")).await;
        events.extend(page["events"].as_array().expect("events").iter().cloned().map(bare));
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return (events, get(client, base).await),
        }
    }
}

async fn same_users(client: &reqwest::Client, a: &str, b: &str, events: &[Ev]) {
    let mut names: Vec<&str> = events.iter().map(Ev::who).collect();
    names.sort_unstable();
    names.dedup();
    for name in names {
        let of_a = user(client, a, name).await;
        assert_eq!(of_a, user(client, b, name).await, "{name}");
        let mut own: Vec<_> = events.iter().filter(|ev| ev.who() == name).collect();
        own.sort_by_key(|ev| std::cmp::Reverse(ev.time_ms));
        let times: Vec<_> = of_a.0.iter().map(|event| event["time_ms"].as_i64()).collect();
        assert_eq!(times, own.iter().map(|ev| Some(ev.time_ms)).collect::<Vec<_>>(), "{name}");
        assert_eq!(of_a.1["last_seen_ms"], own[0].time_ms, "{name}");
        assert_eq!(of_a.1["first_seen_ms"], own[own.len() - 1].time_ms, "{name}");
    }
}

async fn same_ledger(client: &reqwest::Client, a: &str, b: &str, events: &[Ev]) {
    for ev in events.iter().step_by(7) {
        let entry = async |http: &str| {
            let mut entry = get(client, format!("{http}/v1/apps/demo/events/{}", ev.id)).await;
            assert_eq!(entry["stores"], json!({ "documents": true, "rows": true }), "{entry}");
            let event = bare(entry["event"].take());
            json!([
                entry["outcome"],
                entry["day"],
                entry["key"],
                entry["times"]["corrected"],
                event
            ])
        };
        assert_eq!(entry(a).await, entry(b).await, "{}", ev.id);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_order_of_arrival_gives_the_same_and_the_right_answers() {
    let client = reqwest::Client::builder().timeout(Duration::from_secs(20)).no_proxy().build();
    let client = client.expect("a client");
    for seed in [1, 20, 300] {
        let mut random = Random::new(seed);
        let events = generate(seed, now_ms());
        let (dir_a, dir_b) = (tempfile::tempdir().expect("dir"), tempfile::tempdir().expect("dir"));
        let a = run_in_order(&client, dir_a.path(), &events).await;
        let b = run_in_disorder(&client, dir_b.path(), &events, &mut random).await;
        let catalogue = get(&client, format!("{}/v1/apps/demo/catalogue", a.http)).await;
        let of_b = get(&client, format!("{}/v1/apps/demo/catalogue", b.http)).await;
        assert_eq!(catalogue, of_b);
        let metrics = catalogue["metrics"].as_array().expect("metrics").iter();
        let metrics: Vec<String> =
            metrics.map(|metric| metric["name"].as_str().expect("name").to_owned()).collect();
        let compared = right_answers(&client, &a.http, &metrics, &events).await;
        let asked = same_answers(&client, &a.http, &b.http, &metrics).await;
        same_users(&client, &a.http, &b.http, &events).await;
        same_ledger(&client, &a.http, &b.http, &events).await;
        println!(
            "seed {seed}: {} events, {} metrics: {compared} values as the oracle has them, \
             {asked} answers alike, timelines, profiles and ledger alike",
            events.len(),
            metrics.len()
        );
        assert!(a.stop() && b.stop(), "a drain ends cleanly");
    }
}
