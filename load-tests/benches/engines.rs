//! What roles cost on the real engines: `cargo bench -p load-tests --bench engines`.
//!
//! Starts Kafka, Elasticsearch and HBase through the project's launcher, or uses
//! the set that `SLUICE_SERVICES_DIR` names. CPU time is counted per process;
//! engines and clients share the machine with it. `SLUICE_BENCH_EVENTS` is the
//! number of events of the long run, a million by default.

#[path = "../tests/engines/cluster.rs"]
#[allow(dead_code)]
mod cluster;
#[path = "../tests/engines/lies.rs"]
#[allow(dead_code)]
mod lies;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cluster::Cluster;
use load_tests::crowd::now_ms;
use load_tests::gateway::{Gateway, ask};
use load_tests::population::{Population, body};
use load_tests::sender::Sender;
use serde_json::{Value, json};

const BATCH_EVENTS: usize = 50;
const CLIENTS: u64 = 16;
const ROUNDS: usize = 5;
const ROUND_EVENTS: u64 = 200_000;
const PROBES: usize = 100;

/// Posts batches until about `events` were acknowledged; how many.
async fn send(http: &str, prefix: &str, events: u64) -> u64 {
    let acknowledged = Arc::new(AtomicU64::new(0));
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let (client, acknowledged) = (client.clone(), Arc::clone(&acknowledged));
            let url = format!("{http}/v1/events");
            let mut people = Population::new(number, &format!("{prefix}-{number}"), 50_000, 200);
            tokio::spawn(async move {
                while acknowledged.load(Ordering::Relaxed) < events {
                    let body = body(&people.events(BATCH_EVENTS, now_ms()), now_ms());
                    let request = client.post(&url).bearer_auth("demo-write-key").body(body);
                    match request.send().await {
                        Ok(reply) if reply.status() == 200 => {
                            let reply: Value = reply.json().await.unwrap_or_default();
                            let accepted = reply["accepted"].as_u64().unwrap_or(0);
                            acknowledged.fetch_add(accepted, Ordering::Relaxed);
                        }
                        // Refused for now: the next one is as good.
                        _ => tokio::time::sleep(Duration::from_millis(100)).await,
                    }
                }
            })
        })
        .collect();
    for client in clients {
        client.await.expect("no panic");
    }
    acknowledged.load(Ordering::Relaxed)
}

fn spread(mut values: Vec<f64>) -> (f64, f64, f64) {
    values.sort_unstable_by(f64::total_cmp);
    (values[values.len() / 2], values[0], values[values.len() - 1])
}

async fn collect(gateway: &Gateway) {
    let mut rates = Vec::new();
    for round in 0..=ROUNDS {
        let before = gateway.cpu();
        let sent = send(&gateway.http, &format!("c{round}"), ROUND_EVENTS).await;
        let spent = (gateway.cpu() - before).as_secs_f64();
        // The first warms up.
        if round > 0 {
            rates.push(sent as f64 / spent);
        }
    }
    let (median, least, greatest) = spread(rates);
    println!(
        "collect into Kafka, JSON, {BATCH_EVENTS} events a batch: {median:.0} events/CPU-s \
         ({least:.0} to {greatest:.0}), {ROUNDS} rounds of {ROUND_EVENTS}"
    );
}

/// Records that the slowest lane has before it, and whether all is committed.
async fn lag(sender: &Sender, worker: &Gateway) -> (u64, bool) {
    let reply = sender.client().get(format!("{}/status", worker.admin)).send().await;
    let status: Value = reply.expect("a reply").json().await.expect("JSON");
    let lanes = status["fan_out"]["lanes"].as_array().cloned().unwrap_or_default();
    let mut by_lane = std::collections::BTreeMap::<String, u64>::new();
    for lane in &lanes {
        *by_lane.entry(lane["lane"].to_string()).or_default() +=
            lane["lag_records"].as_u64().unwrap_or(0);
    }
    let done = !lanes.is_empty() && lanes.iter().all(|lane| lane["committed"] == lane["end"]);
    (by_lane.values().copied().max().unwrap_or(0), done)
}

async fn fan_out(cluster: &Cluster, sender: &Sender, events: u64) {
    let (gateway, worker) = (&cluster.gateways[0], &cluster.workers[0]);
    while !lag(sender, worker).await.1 {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let (before, begun) = (worker.cpu(), Instant::now());
    let sent = send(&gateway.http, "f", events).await;
    let (sending, behind) = (begun.elapsed(), lag(sender, worker).await.0);
    while !lag(sender, worker).await.1 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let (spent, all) = ((worker.cpu() - before).as_secs_f64(), begun.elapsed());
    println!(
        "{sent} events at full speed in {:.0} s: then {behind} records of {BATCH_EVENTS} behind, \
         complete {:.0} s later",
        sending.as_secs_f64(),
        (all - sending).as_secs_f64()
    );
    println!(
        "fan-out into Elasticsearch and HBase: {:.0} events (a document and a row each) per \
         CPU-s of the worker; {:.0} events/s on this machine, engines included",
        sent as f64 / spent,
        sent as f64 / all.as_secs_f64()
    );
}

/// From the post of an event to the answer that counts it.
async fn post_to_answer(cluster: &Cluster, sender: &Sender) {
    let mut people = Population::new(9, "p", 100, 10);
    let mut took = Vec::new();
    for _ in 0..PROBES {
        let event = people.event(now_ms());
        let question = json!({
            "metrics": ["event_count"], "date_range": { "last": "2d" },
            "filters": [["is", "properties.eid", [&event.id]]],
        });
        let begun = Instant::now();
        let posted = sender.post(&cluster.gateways[0].http, &[event], now_ms()).await;
        posted.expect("taken");
        loop {
            let answer = ask(sender.client(), cluster.asked(), &question).await.expect("answers");
            if answer["results"][0]["metrics"][0] == 1 {
                break;
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "never counted: {answer}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        took.push(begun.elapsed());
    }
    took.sort_unstable();
    println!(
        "from post to the answer that counts it: p50 {} ms, p99 {} ms, {PROBES} probes",
        took[PROBES / 2].as_millis(),
        took[PROBES * 99 / 100].as_millis()
    );
}

#[tokio::main]
#[allow(clippy::disallowed_methods)] // a bench's own switch
async fn main() {
    // `cargo test` builds benches too and runs them with this.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let events = std::env::var("SLUICE_BENCH_EVENTS").ok();
    let events = events.and_then(|events| events.parse().ok()).unwrap_or(1_000_000);
    let mut cluster = Cluster::engines().await;
    cluster.without_proxies();
    let worker = cluster.process("fan-out", &[]);
    let gateway = cluster.process("collect", &[]);
    (cluster.workers, cluster.gateways) = (vec![worker], vec![gateway]);
    cluster.query = Some(cluster.process("query", &[]));
    let sender = Sender::new();
    post_to_answer(&cluster, &sender).await;
    // Fan out stands still while collect is measured: they share two cores.
    let worker = cluster.workers.pop().expect("started");
    assert!(tokio::task::block_in_place(|| worker.stop()), "a drain ends cleanly");
    collect(&cluster.gateways[0]).await;
    let worker = cluster.process("fan-out", &[]);
    cluster.workers.push(worker);
    fan_out(&cluster, &sender, events).await;
}
