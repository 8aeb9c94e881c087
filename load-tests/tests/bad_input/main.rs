//! Bad input, from the outside: each kind gets its documented answer, other
//! clients do not notice, memory stays bounded.
//!
//! One gateway serves all of it. Beside each group a well-behaved client posts
//! good batches all the time: none of them may fail or wait long, and in the end
//! each of its events is counted once. The answers asserted here are those of
//! `sdk-spec/collect.md`.

mod clocks;
mod config;
mod events;
mod floods;
mod query;
mod raw;
mod requests;
mod slow;
mod steady;
mod strangers;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use load_tests::gateway::{Gateway, Start, ask, settled};
use serde_json::{Value, json};

use steady::Steady;

const BIN: &str = env!("CARGO_BIN_EXE_sluice-faulty");
/// Memory may grow by this much in all: bodies, ten thousand connections at
/// about 20 KiB each, and what the allocator keeps of them.
const GROWTH_BYTES_MAX: u64 = 512 << 20;
/// What was paid once is not paid again: the flood that costs most may add this
/// much when it comes a second time.
const AGAIN_BYTES_MAX: u64 = 96 << 20;

/// The gateway under test, as its attackers see it.
struct Target<'g> {
    gateway: &'g Gateway,
    /// `host:port` of the main listener.
    address: String,
    client: reqwest::Client,
    data_dir: &'g Path,
}

// === impl Target ===

impl Target<'_> {
    /// What became of an event, once it is filed.
    async fn ledger(&self, id: &str) -> Value {
        let url = format!("{}/v1/apps/demo/events/{id}", self.gateway.http);
        let mut found = Value::Null;
        for _ in 0..100 {
            let answer = self.client.get(&url).bearer_auth("demo-read-token").send().await;
            found = answer.expect("answers").json().await.expect("JSON");
            if found["stores"]["documents"] == json!(true) {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("not filed within 10 s: {found}");
    }
}

#[allow(clippy::disallowed_methods)] // a client's clock is the machine's
fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis() as i64
}

fn client() -> reqwest::Client {
    let builder = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(15));
    builder.build().expect("a client without TLS")
}

/// Time-outs short enough to be waited for, long enough for a busy machine.
fn start(data_dir: &Path) -> Gateway {
    let start = Start::new(Path::new(BIN), data_dir)
        .env("SLUICE_WIRE__HEADER_TIMEOUT_MS", slow::HEADER_TIMEOUT_MS)
        .env("SLUICE_WIRE__BODY_TIMEOUT_MS", slow::BODY_TIMEOUT_MS)
        .env("SLUICE_WIRE__BODY_RATE_GRACE_MS", slow::BODY_GRACE_MS)
        .env("SLUICE_LIMITS__UNKNOWN_KEYS_PER_S", strangers::PER_S)
        .env("SLUICE_LIMITS__UNKNOWN_KEYS_BURST", strangers::BURST)
        .env("SLUICE_QUERY__LIVE_CLIENTS_MAX", query::LIVE_CLIENTS_MAX);
    start.run().expect("starts")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_bad_input_gets_its_answer_and_harms_nobody() {
    let descriptors = floods::raise_descriptors();
    let data = tempfile::tempdir().expect("temp dir");
    let gateway = tokio::task::block_in_place(|| start(data.path()));
    let target = Target {
        gateway: &gateway,
        address: gateway.http.trim_start_matches("http://").to_owned(),
        client: client(),
        data_dir: data.path(),
    };
    let steady = Steady::start(&gateway);
    // What a working gateway takes: the first index, the thread's buffers.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = anonymous_bytes(&gateway);
    let group = |name: &str| {
        println!("{name}: {} MiB, {}", anonymous_bytes(&gateway) >> 20, steady.line());
    };
    requests::run(&target).await;
    group("requests");
    events::run(&target).await;
    group("events");
    clocks::run(&target).await;
    group("clocks");
    strangers::run(&target).await;
    group("strangers");
    query::run(&target).await;
    group("query");
    slow::run(&target).await;
    group("slow");
    floods::resets(&target).await;
    group("resets");
    floods::continuations(&target).await;
    group("continuations");
    floods::bombs(&target).await;
    group("bombs");
    let first = floods::idle(&target, &steady, descriptors).await;
    group("idle");
    let second = floods::idle(&target, &steady, descriptors).await;
    group("idle again");
    let (posted, report) = steady.stop().await;
    println!("{} MiB at the start, {report}", before >> 20);
    assert_eq!(report.failures, Vec::<String>::new());
    assert!(report.median < steady::MEDIAN_MAX, "{report}");
    assert!(second - before < GROWTH_BYTES_MAX, "{second} over {before}");
    assert!(second < first + AGAIN_BYTES_MAX, "{second} after {first}");
    unharmed(&target, posted).await;
    assert!(tokio::task::block_in_place(|| gateway.stop()), "a drain ends cleanly");
}

/// Memory of the process that is not the page cache of its files, bytes.
fn anonymous_bytes(gateway: &Gateway) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", gateway.pid()));
    let status = status.expect("the gateway is alive");
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.expect("the kernel tells RssAnon") * 1024
}

/// Alive, ready, and each good event counted once.
async fn unharmed(target: &Target<'_>, posted: u64) {
    let ready = target.client.get(format!("{}/readyz", target.gateway.admin)).send().await;
    assert_eq!(ready.expect("answers").status(), 200);
    settled(&target.client, &target.gateway.admin).await.expect("settles");
    let question = json!({
        "metrics": ["event_count"], "date_range": {"last": "7d"},
        "filters": [["is", "name", [steady::NAME]]],
    });
    let answer = ask(&target.client, &target.gateway.http, &question).await.expect("answers");
    assert_eq!(answer["results"][0]["metrics"][0], json!(posted), "{answer}");
    // A day of 1970 or 2090 would stand here as an index of its own.
    let days: BTreeSet<String> = std::fs::read_dir(target.data_dir.join("documents/events"))
        .expect("readable")
        .map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned())
        .collect();
    assert!((1..=3).contains(&days.len()), "{days:?}");
    let this_year = clocks::year(now_ms());
    let near =
        |day: &String| day[..4].parse::<i64>().is_ok_and(|year| (year - this_year).abs() <= 1);
    assert!(days.iter().all(near), "{days:?}");
}
