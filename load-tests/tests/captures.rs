//! Every request that the published Sensors SDK was seen to send, byte for byte
//! over a raw socket, twice: each event once in every store, the second time a
//! duplicate, and every question about it answers what was sent.
//!
//! The captures are of 2026-11-20 and are posted as they are whatever the day:
//! each carries the clock at sending (`_flush_time`), by which its times are
//! corrected. What must come of them stands in the `.json` beside each, which
//! `gateway/wire/tests/vectors.rs` checks against a fixed time of receipt.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use load_tests::gateway::{Gateway, Start, ask, settled};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const BIN: &str = env!("CARGO_BIN_EXE_sluice-faulty");

/// One captured request, and the events in it.
struct Capture {
    name: String,
    bytes: Vec<u8>,
    events: Vec<Value>,
}

/// All captures, and a gateway that has them.
struct Posted {
    captures: Vec<Capture>,
    client: reqwest::Client,
    gateway: Gateway,
    _data: tempfile::TempDir,
}

fn captures() -> Vec<Capture> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sdk-spec/vectors/sensors");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .expect("vectors")
        .map(|entry| entry.expect("readable").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "http"))
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            name.starts_with("batch-") || name.starts_with("single-")
        })
        .collect();
    files.sort();
    let read = |path: PathBuf| {
        let expected = std::fs::read(path.with_extension("json")).expect("readable");
        let mut expected: Value = serde_json::from_slice(&expected).expect("JSON");
        Capture {
            name: path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
            bytes: std::fs::read(&path).expect("readable"),
            events: serde_json::from_value(expected["events"].take()).expect("events"),
        }
    };
    files.into_iter().map(read).collect()
}

/// Posts bytes as they are; gives the head of the answer.
async fn post(address: &str, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.expect("connects");
    stream.write_all(bytes).await.expect("written");
    let mut answer = Vec::new();
    while !answer.windows(4).any(|four| four == b"\r\n\r\n") {
        let read = stream.read_buf(&mut answer);
        let read = tokio::time::timeout(Duration::from_secs(10), read).await;
        assert_ne!(read.expect("answered in time").expect("readable"), 0, "closed unanswered");
    }
    String::from_utf8_lossy(&answer).into_owned()
}

// === impl Posted ===

impl Posted {
    async fn twice() -> Self {
        let data = tempfile::tempdir().expect("temp dir");
        let start = Start::new(Path::new(BIN), data.path());
        let gateway = tokio::task::block_in_place(|| start.run().expect("starts"));
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(10));
        let client = client.build().expect("a client without TLS");
        let posted = Self { captures: captures(), client, gateway, _data: data };
        let events = posted.captures.iter().map(|capture| capture.events.len()).sum::<usize>();
        assert_eq!((posted.captures.len(), events), (14, 22));
        let address = posted.gateway.http.trim_start_matches("http://");
        for (round, duplicates) in [(1, 0), (2, events)] {
            for Capture { name, bytes, .. } in &posted.captures {
                let head = post(address, bytes).await;
                assert!(head.starts_with("HTTP/1.1 200 "), "{name}, round {round}: {head}");
            }
            let fates = posted.fates().await;
            assert_eq!(fates.get("accepted"), Some(&(events as u64)), "round {round}: {fates:?}");
            let found = fates.get("duplicate").copied().unwrap_or(0);
            assert_eq!(found, duplicates as u64, "round {round}: {fates:?}");
            let other =
                ["rejected", "retry"].iter().filter_map(|fate| fates.get(*fate)).sum::<u64>();
            assert_eq!(other, 0, "round {round}: {fates:?}");
        }
        settled(&posted.client, &posted.gateway.admin).await.expect("settles");
        posted
    }

    /// Events by fate, as `/metrics` counts them.
    async fn fates(&self) -> BTreeMap<String, u64> {
        let metrics = self.client.get(format!("{}/metrics", self.gateway.admin)).send().await;
        let text = metrics.expect("answers").text().await.expect("text");
        let mut fates = BTreeMap::new();
        let lines = text.lines().filter(|line| line.starts_with("sluice_append_events_total{"));
        for line in lines {
            let (labels, value) = line.rsplit_once(' ').expect("a sample");
            let fate = labels.split("fate=\"").nth(1).and_then(|rest| rest.split('"').next());
            let value: u64 = value.parse().expect("a count");
            *fates.entry(fate.expect("a fate").to_owned()).or_default() += value;
        }
        fates
    }

    fn events(&self) -> impl Iterator<Item = &Value> {
        self.captures.iter().flat_map(|capture| &capture.events)
    }

    async fn get(&self, path: &str) -> Value {
        let request = self.client.get(format!("{}/v1/apps/demo/{path}", self.gateway.http));
        let answer = request.bearer_auth("demo-read-token").send().await.expect("answers");
        assert_eq!(answer.status(), 200, "{path}");
        answer.json().await.expect("JSON")
    }

    /// Rows of an answer: dimensions, then metrics.
    async fn ask(&self, metrics: &[&str], dimensions: &[&str]) -> BTreeSet<Vec<String>> {
        let question = json!({
            "metrics": metrics, "dimensions": dimensions, "date_range": {"last": "7d"},
        });
        let answer = ask(&self.client, &self.gateway.http, &question).await.expect("answers");
        let text = |value: &Value| match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let row = |row: &Value| {
            let part = |name: &str| row[name].as_array().cloned().unwrap_or_default();
            part("dimensions").iter().chain(&part("metrics")).map(text).collect()
        };
        answer["results"].as_array().expect("rows").iter().map(row).collect()
    }
}

/// A user is its user id, else its device id.
fn user(event: &Value) -> &str {
    event["user_id"].as_str().or(event["device_id"].as_str()).expect("a user")
}

fn name(event: &Value) -> String {
    event["name"].as_str().expect("a name").to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn captured_requests_posted_twice_count_once() {
    let posted = Posted::twice().await;
    ledger(&posted).await;
    questions(&posted).await;
    timelines(&posted).await;
    profile(&posted).await;
    assert!(tokio::task::block_in_place(|| posted.gateway.stop()), "a drain ends cleanly");
}

/// Each event is in every store, at one place of the log.
async fn ledger(posted: &Posted) {
    let mut places = HashSet::new();
    for event in posted.events() {
        let id = event["id"].as_str().expect("an id");
        let found = posted.get(&format!("events/{id}")).await;
        assert_eq!(found["outcome"], "accepted", "{found}");
        assert_eq!(found["stores"], json!({"documents": true, "rows": true}), "{found}");
        assert_eq!(found["times"]["device"]["ms"], event["time"], "{found}");
        assert_eq!(found["event"]["properties"], event["properties"], "{found}");
        assert!(places.insert(found["position"].to_string()), "{found}");
    }
}

async fn questions(posted: &Posted) {
    let mut by_name: BTreeMap<String, u64> = BTreeMap::new();
    let mut by_page: BTreeMap<String, u64> = BTreeMap::new();
    let mut visitors = HashSet::new();
    for event in posted.events() {
        *by_name.entry(name(event)).or_default() += 1;
        if event["name"] == "page_view" {
            let page = event["page"]["path"].as_str().expect("a page");
            *by_page.entry(page.to_owned()).or_default() += 1;
        }
        if event["name"] == "page_view" || event["name"] == "app_show" {
            visitors.insert(user(event));
        }
    }
    let rows = |counts: &BTreeMap<String, u64>| -> BTreeSet<Vec<String>> {
        counts.iter().map(|(key, count)| vec![key.clone(), count.to_string()]).collect()
    };
    assert_eq!(posted.ask(&["event_count"], &["name"]).await, rows(&by_name));
    assert_eq!(posted.ask(&["visit_pv"], &["page.path"]).await, rows(&by_page));
    let totals = [by_name.values().sum(), by_name["page_view"], visitors.len() as u64];
    let totals = totals.map(|count| count.to_string()).to_vec();
    let found = posted.ask(&["event_count", "visit_pv", "visit_uv"], &[]).await;
    assert_eq!(found, BTreeSet::from([totals]));
    let platform = posted.ask(&["event_count"], &["platform", "sdk.version", "source"]).await;
    let all = ["wx", "1.22.7", "sensors", &posted.events().count().to_string()].map(str::to_owned);
    assert_eq!(platform, BTreeSet::from([all.to_vec()]));
}

/// Each user's timeline holds each of its events once, newest first.
async fn timelines(posted: &Posted) {
    let mut wanted: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for event in posted.events() {
        wanted.entry(user(event)).or_default().push(event["id"].as_str().expect("an id"));
    }
    assert_eq!(wanted.len(), 3, "two devices before login, one user after it: {wanted:?}");
    for (user, mut ids) in wanted {
        let timeline = posted.get(&format!("users/{user}/events")).await;
        let events = timeline["events"].as_array().expect("events");
        let mut found: Vec<&str> = events.iter().filter_map(|event| event["id"].as_str()).collect();
        let times: Vec<_> = events.iter().map(|event| event["time_ms"].as_i64()).collect();
        assert!(times.is_sorted_by(|newer, older| newer >= older), "{times:?}");
        found.sort_unstable();
        ids.sort_unstable();
        assert_eq!(found, ids, "{user}");
    }
}

/// What `setProfile` said stands in the profile.
async fn profile(posted: &Posted) {
    let set = posted.events().find(|event| event["name"] == "user_set").expect("one is captured");
    let profile = posted.get(&format!("users/{}", user(set))).await;
    let (found, wanted) = (&profile["properties"], &set["properties"]);
    for (key, value) in wanted.as_object().expect("properties") {
        assert_eq!(found[key], *value, "{profile}");
    }
    assert!(wanted.as_object().is_some_and(|wanted| !wanted.is_empty()), "{set}");
}
