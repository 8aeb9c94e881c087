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
use serde_json::json;

use steady::Steady;

const BIN: &str = env!("CARGO_BIN_EXE_sluice-faulty");
/// Resident memory may grow by this much at its peak, and by this much in the end.
const PEAK_BYTES_MAX: u64 = 512 << 20;
const LASTING_BYTES_MAX: u64 = 256 << 20;

/// The gateway under test, as its attackers see it.
struct Target<'g> {
    gateway: &'g Gateway,
    /// `host:port` of the main listener.
    address: String,
    client: reqwest::Client,
    data_dir: &'g Path,
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
    let before = gateway.resident_bytes();
    let mut peak = before;
    let mut group = |name: &str| {
        let resident = gateway.resident_bytes();
        peak = peak.max(resident);
        println!("{name}: resident {} MiB, {}", resident >> 20, steady.line());
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
    let idle = floods::idle(&target, &steady, descriptors).await;
    group("idle");
    peak = peak.max(idle);
    let (posted, report) = steady.stop().await;
    println!("peak {} MiB over {} MiB; {report}", peak >> 20, before >> 20);
    assert_eq!(report.failures, Vec::<String>::new());
    assert!(report.median < steady::MEDIAN_MAX, "{report}");
    assert!(peak - before < PEAK_BYTES_MAX, "peak {peak} over {before}");
    unharmed(&target, posted, before).await;
    assert!(tokio::task::block_in_place(|| gateway.stop()), "a drain ends cleanly");
}

/// Alive, ready, small again, and each good event counted once.
async fn unharmed(target: &Target<'_>, posted: u64, before: u64) {
    let ready = target.client.get(format!("{}/readyz", target.gateway.admin)).send().await;
    assert_eq!(ready.expect("answers").status(), 200);
    settled(&target.client, &target.gateway.admin).await.expect("settles");
    let question = json!({
        "metrics": ["event_count"], "date_range": {"last": "7d"},
        "filters": [["is", "name", [steady::NAME]]],
    });
    let answer = ask(&target.client, &target.gateway.http, &question).await.expect("answers");
    assert_eq!(answer["results"][0]["metrics"][0], json!(posted), "{answer}");
    let after = target.gateway.resident_bytes();
    assert!(after.saturating_sub(before) < LASTING_BYTES_MAX, "{after} after {before}");
    // A day of 1970 or 2090 would stand here as an index of its own.
    let days: BTreeSet<String> = std::fs::read_dir(target.data_dir.join("documents/events"))
        .expect("readable")
        .map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned())
        .collect();
    assert!((1..=3).contains(&days.len()), "{days:?}");
    let this_year = clocks::year(now_ms());
    let near = |day: &String| {
        day[..4].parse::<i64>().is_ok_and(|year| (year - this_year).abs() <= 1)
    };
    assert!(days.iter().all(near), "{days:?}");
}
