//! Roles as processes of their own, several of each.

use std::time::Duration;

use load_tests::crowd::{Crowd, now_ms};
use load_tests::gateway::Start;
use load_tests::population::Population;
use load_tests::sender::Sender;

use crate::cluster::Cluster;
use crate::oracle::judge;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "real engine: started by storage-adapters/services/services; run with -- --ignored"]
async fn a_retry_that_lands_on_the_other_gateway_counts_once() {
    let cluster = Cluster::start().await;
    let sender = Sender::new();
    let events = Population::new(11, "twice", 50, 5).events(200, now_ms());
    for gateway in cluster.gateways.iter().chain(&cluster.gateways) {
        for batch in events.chunks(40) {
            sender.post(&gateway.http, batch, now_ms()).await.expect("taken");
        }
    }
    cluster.settled(&sender).await;
    let verdict = judge(&sender, cluster.asked(), "twice").await.expect("answers");
    assert!(verdict.holds() && verdict.counted == 200, "{verdict:?}");
    // The ledger of a process that never saw the event.
    let url = format!("{}/v1/apps/demo/events/{}", cluster.asked(), events[0].id);
    let entry = sender.client().get(url).bearer_auth("demo-read-token").send().await;
    let entry: serde_json::Value = entry.expect("a reply").json().await.expect("JSON");
    assert_eq!(entry["stores"], serde_json::json!({ "documents": true, "rows": true }), "{entry}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "real engine: started by storage-adapters/services/services; run with -- --ignored"]
async fn a_gateway_and_a_worker_that_leave_lose_nothing() {
    let mut cluster = Cluster::start().await;
    let sender = Sender::new();
    let worker = cluster.process("fan-out", &[]);
    cluster.workers.push(worker);
    let crowd =
        Crowd::paced(&sender, &cluster.gateways[0].http, "leave", 3, Duration::from_millis(100));
    tokio::time::sleep(Duration::from_secs(3)).await;
    crowd.turn_to(&cluster.gateways[1].http);
    let leaving = cluster.gateways.remove(0);
    assert!(tokio::task::block_in_place(|| leaving.stop()), "a drain ends cleanly");
    let leaving = cluster.workers.remove(0);
    assert!(tokio::task::block_in_place(|| leaving.stop()), "a drain ends cleanly");
    tokio::time::sleep(Duration::from_secs(2)).await;
    crowd.finish().await.expect("delivered");
    cluster.settled(&sender).await;
    let verdict = judge(&sender, cluster.asked(), "leave").await.expect("answers");
    assert!(verdict.holds() && verdict.counted > 500, "{verdict:?}");
}

/// `query` alone cannot see stores in another process's directory.
#[test]
fn a_combination_that_cannot_work_is_refused_with_the_reason() {
    let dir = tempfile::tempdir().expect("temp dir");
    let bin = std::path::Path::new(env!("CARGO_BIN_EXE_sluice-faulty"));
    for role in ["query", "fan-out"] {
        let start = Start::new(bin, dir.path()).role(role).env("SLUICE_LOG__ENGINE", "kafka");
        let error = start.run().err().expect("refused");
        assert!(error.contains("rows.engine") && error.contains("sluice serve"), "{error}");
    }
}
