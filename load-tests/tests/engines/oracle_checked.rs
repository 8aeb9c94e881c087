//! The oracle sees a gateway that breaks a rule: a checker that cannot fail
//! checks nothing.

use std::time::Duration;

use load_tests::crowd::{Crowd, now_ms};
use load_tests::population::Population;
use load_tests::proxy::Fault;
use load_tests::sender::Sender;

use crate::cluster::Cluster;
use crate::lies::Lie;
use crate::oracle::judge;

async fn load(cluster: &Cluster, sender: &Sender, crowd: &str) -> Crowd {
    let http = &cluster.gateways[0].http;
    let crowd = Crowd::paced(sender, http, crowd, 4, Duration::from_millis(20));
    tokio::time::sleep(Duration::from_secs(3)).await;
    crowd
}

fn broken(rule: &str) -> [(&'static str, String); 1] {
    [("SLUICE_FAULT", format!("break:{rule}"))]
}

/// Acknowledged before the broker has it, then killed.
async fn acknowledges_early(cluster: &mut Cluster, sender: &Sender) {
    let gateway = cluster.process("collect", &broken("ack_early"));
    let events = Population::new(3, "early", 50, 5).events(100, now_ms());
    sender.post(&gateway.http, &events[..50], now_ms()).await.expect("taken");
    tokio::time::sleep(Duration::from_secs(1)).await;
    // Nothing reaches the broker any more, not even its socket.
    cluster.proxies.kafka.set(Fault::Silent);
    sender.post(&gateway.http, &events[50..], now_ms()).await.expect("taken, as it says");
    gateway.kill();
    // What was on its way goes down with the connections.
    cluster.proxies.kafka.set(Fault::Reset);
    tokio::time::sleep(Duration::from_millis(500)).await;
    cluster.proxies.kafka.set(Fault::None);
    cluster.settled(sender).await;
    let verdict = judge(sender, cluster.asked(), "early").await.expect("answers");
    assert_eq!((verdict.counted, verdict.lost.len()), (50, 50), "{verdict:?}");
    println!("acknowledge early: {} acknowledged and lost, seen", verdict.lost.len());
}

/// The log's end is committed; the worker dies with records that never left it.
async fn commits_the_maximum(cluster: &mut Cluster, sender: &Sender) {
    let healthy = cluster.workers.remove(0);
    assert!(tokio::task::block_in_place(|| healthy.stop()), "a drain ends cleanly");
    let worker = cluster.process("fan-out", &broken("commit_maximum"));
    // Late replies: each lane has a batch under way, and records wait behind it.
    cluster.proxies.elasticsearch.set(Fault::LateReplies(Duration::from_secs(1)));
    let crowd = load(cluster, sender, "maximum").await;
    // The batches under way are still answered, and their lanes commit; what waited
    // behind them does not get out any more.
    cluster.proxies.elasticsearch.set(Fault::HeldRequests);
    tokio::time::sleep(Duration::from_secs(2)).await;
    worker.kill();
    cluster.proxies.elasticsearch.set(Fault::Reset);
    tokio::time::sleep(Duration::from_millis(500)).await;
    cluster.proxies.elasticsearch.set(Fault::None);
    crowd.finish().await.expect("delivered");
    let healthy = cluster.process("fan-out", &[]);
    cluster.workers.push(healthy);
    cluster.settled(sender).await;
    let verdict = judge(sender, cluster.asked(), "maximum").await.expect("answers");
    assert!(!verdict.lost.is_empty() || !verdict.timeline.is_empty(), "{verdict:?}");
    println!("commit the maximum: {} acknowledged and lost, seen", verdict.lost.len());
}

/// Items that the engine is too busy for are taken for done.
async fn skips_a_full_engine(cluster: &mut Cluster, sender: &Sender) {
    let healthy = cluster.workers.remove(0);
    assert!(tokio::task::block_in_place(|| healthy.stop()), "a drain ends cleanly");
    let worker = cluster.process("fan-out", &broken("skip_retry"));
    cluster.workers.push(worker);
    let crowd = load(cluster, sender, "skipped").await;
    cluster.proxies.liar.set(Lie::Choked);
    tokio::time::sleep(Duration::from_secs(8)).await;
    cluster.proxies.liar.set(Lie::None);
    crowd.finish().await.expect("delivered");
    cluster.settled(sender).await;
    let verdict = judge(sender, cluster.asked(), "skipped").await.expect("answers");
    assert!(!verdict.lost.is_empty() && verdict.timeline.is_empty(), "{verdict:?}");
    println!("skip a 429 item: {} acknowledged and lost, seen", verdict.lost.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "real engine: started by storage-adapters/services/services; run with -- --ignored"]
async fn the_oracle_sees_every_broken_rule() {
    let mut cluster = Cluster::start().await;
    let sender = Sender::new();
    acknowledges_early(&mut cluster, &sender).await;
    commits_the_maximum(&mut cluster, &sender).await;
    skips_a_full_engine(&mut cluster, &sender).await;
}
