//! Faults of the real engines and of the networks before them, under load.
//!
//! One cluster lives through all of them, one after the other: recovery without
//! a hand is that the next one finds it at work. A row of the table says what the
//! clients were told, what was lost or counted twice (nothing), how long the
//! stores took to be complete after the fault was gone, and the memory of the
//! largest process.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use load_tests::crowd::Crowd;
use load_tests::faults::Step;
use load_tests::gateway::Gateway;
use load_tests::proxy::Fault;
use load_tests::sender::Sender;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::lies::Lie;
use crate::oracle::judge;

const CLIENTS: u64 = 2;
const PAUSE: Duration = Duration::from_millis(150);
/// No process may need more, MiB, in a debug build.
const RESIDENT_MAX_MIB: u64 = 1024;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// One row.
struct Row {
    fault: &'static str,
    told: BTreeMap<String, u64>,
    events: usize,
    complete_after: Duration,
    resident_mib: u64,
}

/// The cluster, its clients and what was found.
struct Trial {
    cluster: Cluster,
    sender: Sender,
    rows: Vec<Row>,
    /// Largest resident memory seen during the present fault, MiB.
    resident_mib: u64,
}

// === impl Trial ===

impl Trial {
    /// Loads both gateways, lets `fault` happen, waits until all is complete, and
    /// judges.
    async fn during(&mut self, fault: &'static str, happen: impl AsyncFnOnce(&mut Self)) {
        eprintln!("--- {fault}");
        let crowd = format!("f{}", self.rows.len());
        let before = self.sender.book().told.clone();
        self.resident_mib = 0;
        let addresses: Vec<String> =
            self.cluster.gateways.iter().map(|it| it.http.clone()).collect();
        let crowds: Vec<Crowd> = addresses
            .iter()
            .zip('a'..)
            .map(|(http, part)| {
                let prefix = format!("{crowd}-{part}");
                Crowd::paced(&self.sender, http, &prefix, CLIENTS, PAUSE)
            })
            .collect();
        self.pass(seconds(2)).await;
        happen(self).await;
        self.pass(seconds(1)).await;
        for crowd in crowds {
            crowd.finish().await.expect("everything is delivered in the end");
        }
        let complete_after = self.cluster.settled(&self.sender).await;
        self.look();
        let verdict = judge(&self.sender, self.cluster.asked(), &crowd).await.expect("answers");
        assert!(verdict.holds(), "{fault}: {verdict:?}");
        let mut told = self.sender.book().told.clone();
        for (status, count) in before {
            *told.entry(status).or_default() -= count;
        }
        told.retain(|_, count| *count > 0);
        let (events, resident_mib) = (verdict.counted, self.resident_mib);
        assert!(resident_mib < RESIDENT_MAX_MIB, "{fault}: {resident_mib} MiB");
        let row = Row { fault, told, events, complete_after, resident_mib };
        eprintln!("{}", line(&row));
        self.rows.push(row);
    }

    fn look(&mut self) {
        self.resident_mib = self.resident_mib.max(self.cluster.resident_mib());
    }

    /// Lets time pass, with an eye on memory.
    async fn pass(&mut self, time: Duration) {
        let begun = Instant::now();
        while begun.elapsed() < time {
            self.look();
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Brings a worker up in the place of one that is gone.
    async fn worker(&mut self, env: &[(&str, String)]) {
        let worker = self.cluster.process("fan-out", env);
        self.cluster.workers.push(worker);
    }
}

fn line(row: &Row) -> String {
    let told: Vec<String> = row.told.iter().map(|(what, n)| format!("{what}: {n}")).collect();
    format!(
        "| {} | {} | {} | 0 | 0 | {:.1} s | {} MiB |",
        row.fault,
        told.join(", "),
        row.events,
        row.complete_after.as_secs_f64(),
        row.resident_mib
    )
}

fn table(rows: &[Row]) {
    println!("| fault | replies | events | lost | twice | complete after | memory |");
    println!("|---|---|---|---|---|---|---|");
    rows.iter().for_each(|row| println!("{}", line(row)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "real engine: started by storage-adapters/services/services; run with -- --ignored"]
async fn no_fault_loses_or_doubles_what_was_acknowledged() {
    let cluster = Cluster::start().await;
    let mut trial = Trial { cluster, sender: Sender::new(), rows: Vec::new(), resident_mib: 0 };
    trial.during("none", async |trial| trial.pass(seconds(3)).await).await;
    broker(&mut trial).await;
    documents(&mut trial).await;
    rows(&mut trial).await;
    workers(&mut trial).await;
    gateways(&mut trial).await;
    table(&trial.rows);
}

async fn broker(trial: &mut Trial) {
    trial
        .during("broker killed, away for 60 s", async |trial| {
            trial.cluster.services("kill", "kafka");
            trial.pass(seconds(60)).await;
            trial.cluster.services("start", "kafka");
        })
        .await;
    trial
        .during("broker hangs for 12 s, past the message time-out", async |trial| {
            trial.cluster.services("pause", "kafka");
            trial.pass(seconds(12)).await;
            trial.cluster.services("resume", "kafka");
        })
        .await;
    trial
        .during("round trip of 7 s, past the message time-out", async |trial| {
            trial.cluster.proxies.kafka.set(Fault::LateReplies(seconds(7)));
            trial.pass(seconds(12)).await;
            trial.cluster.proxies.kafka.set(Fault::None);
        })
        .await;
    trial
        .during("broker's replies cut after delivery", async |trial| {
            for _ in 0..5 {
                trial.cluster.proxies.kafka.set(Fault::CutReplies);
                trial.pass(Duration::from_millis(400)).await;
                trial.cluster.proxies.kafka.set(Fault::None);
                trial.pass(seconds(1)).await;
            }
            assert!(trial.cluster.proxies.kafka.replies_cut() > 0, "no reply was cut");
        })
        .await;
    trial
        .during("connections to the broker half open for 10 s", async |trial| {
            trial.cluster.proxies.kafka.set(Fault::Silent);
            trial.pass(seconds(10)).await;
            trial.cluster.proxies.kafka.set(Fault::None);
        })
        .await;
}

async fn documents(trial: &mut Trial) {
    trial
        .during("Elasticsearch killed amid bulk requests", async |trial| {
            trial.cluster.services("kill", "elasticsearch");
            trial.pass(seconds(3)).await;
            trial.cluster.services("start", "elasticsearch");
        })
        .await;
    trial
        .during("Elasticsearch hangs for 15 s", async |trial| {
            trial.cluster.services("pause", "elasticsearch");
            trial.pass(seconds(15)).await;
            trial.cluster.services("resume", "elasticsearch");
        })
        .await;
    trial
        .during("Elasticsearch's replies cut", async |trial| {
            for _ in 0..5 {
                trial.cluster.proxies.elasticsearch.set(Fault::CutReplies);
                trial.pass(Duration::from_millis(700)).await;
                trial.cluster.proxies.elasticsearch.set(Fault::None);
                trial.pass(seconds(1)).await;
            }
        })
        .await;
    trial
        .during("items refused with 429 for 6 s", async |trial| {
            trial.cluster.proxies.liar.set(Lie::Full);
            trial.pass(seconds(6)).await;
            trial.cluster.proxies.liar.set(Lie::None);
            assert!(trial.cluster.proxies.liar.told() > 0, "no item was refused");
        })
        .await;
    trial
        .during("items refused with 400, dead letters replayed", async |trial| {
            let told = trial.cluster.proxies.liar.told();
            trial.cluster.proxies.liar.set(Lie::Malformed);
            trial.pass(seconds(6)).await;
            trial.cluster.proxies.liar.set(Lie::None);
            let told = trial.cluster.proxies.liar.told() - told;
            assert!(told > 0, "no item was refused");
            let letters = replay_dead_letters(trial).await;
            assert_eq!(letters, told, "a dead letter for each refused item");
        })
        .await;
    trial
        .during("indices set read-only for 6 s", async |trial| {
            read_only(trial, true).await;
            trial.pass(seconds(6)).await;
            read_only(trial, false).await;
        })
        .await;
}

/// Waits until the last refused events were put aside, then hands all in again;
/// how many.
async fn replay_dead_letters(trial: &mut Trial) -> u64 {
    trial.pass(seconds(4)).await;
    let admin = trial.cluster.workers[0].admin.clone();
    let client = trial.sender.client();
    let replay = client.post(format!("{admin}/dead-letters/replay")).json(&json!({ "all": true }));
    let reply = replay.send().await.expect("a reply").json::<Value>().await.expect("JSON");
    assert_eq!(reply["refused"], 0, "{reply}");
    reply["replayed"].as_u64().expect("a number")
}

async fn read_only(trial: &Trial, on: bool) {
    let elasticsearch = trial.cluster.proxies.elasticsearch.address;
    let url = format!("http://{elasticsearch}/{}-events-*/_settings", trial.cluster.prefix);
    let body = json!({ "index.blocks.write": on });
    let reply = trial.sender.client().put(url).json(&body).send().await.expect("a reply");
    assert!(reply.status().is_success(), "{reply:?}");
}

async fn rows(trial: &mut Trial) {
    trial
        .during("Thrift server killed, away for 6 s", async |trial| {
            trial.cluster.services("kill", "thrift");
            trial.pass(seconds(6)).await;
            trial.cluster.services("start", "thrift");
        })
        .await;
    trial
        .during("Thrift connections reset again and again", async |trial| {
            for _ in 0..5 {
                trial.cluster.proxies.thrift.set(Fault::Reset);
                trial.pass(Duration::from_millis(600)).await;
                trial.cluster.proxies.thrift.set(Fault::None);
                trial.pass(seconds(1)).await;
            }
        })
        .await;
    trial
        .during("Thrift answers after 6 s, past the time-out", async |trial| {
            trial.cluster.proxies.thrift.set(Fault::LateReplies(seconds(6)));
            trial.pass(seconds(10)).await;
            trial.cluster.proxies.thrift.set(Fault::None);
        })
        .await;
    trial
        .during("Thrift's replies cut after the write", async |trial| {
            for _ in 0..5 {
                trial.cluster.proxies.thrift.set(Fault::CutReplies);
                trial.pass(Duration::from_millis(700)).await;
                trial.cluster.proxies.thrift.set(Fault::None);
                trial.pass(seconds(1)).await;
            }
            assert!(trial.cluster.proxies.thrift.replies_cut() > 0, "no reply was cut");
        })
        .await;
    trial
        .during("RegionServer killed, away for 5 s", async |trial| {
            trial.cluster.services("kill", "regionserver");
            trial.pass(seconds(5)).await;
            trial.cluster.services("start", "regionserver");
        })
        .await;
}

async fn workers(trial: &mut Trial) {
    for (step, fault) in [
        (Step::BeforePersist, "worker killed before it persists"),
        (Step::AfterStoreWrite, "worker killed after a store write"),
        (Step::BeforeCommit, "worker killed before a commit"),
    ] {
        trial
            .during(fault, async |trial| {
                // The one at work makes way for one that will die.
                let healthy = trial.cluster.workers.remove(0);
                trial.worker(&[("SLUICE_FAULT", format!("{}:12", step.name()))]).await;
                assert!(tokio::task::block_in_place(|| healthy.stop()), "a drain ends cleanly");
                let mut doomed = trial.cluster.workers.remove(0);
                let died = tokio::task::block_in_place(|| doomed.wait(seconds(60)));
                assert!(died.is_some(), "{} was not reached", step.name());
                trial.worker(&[]).await;
            })
            .await;
    }
    trial
        .during("1 → 3 → 1 workers", async |trial| {
            trial.worker(&[]).await;
            trial.worker(&[]).await;
            trial.pass(seconds(6)).await;
            for _ in 0..2 {
                let leaving = trial.cluster.workers.remove(0);
                assert!(tokio::task::block_in_place(|| leaving.stop()), "a drain ends cleanly");
            }
        })
        .await;
    trial
        .during("worker stopped past its session, another takes over", async |trial| {
            trial.worker(&[]).await;
            trial.pass(seconds(4)).await;
            trial.cluster.workers[0].signal(Signal::STOP);
            trial.pass(seconds(12)).await;
            trial.cluster.workers[0].signal(Signal::CONT);
            trial.pass(seconds(6)).await;
            let leaving = trial.cluster.workers.remove(0);
            assert!(tokio::task::block_in_place(|| leaving.stop()), "a drain ends cleanly");
        })
        .await;
}

async fn gateways(trial: &mut Trial) {
    for (step, fault) in [
        (Step::BeforeAppend, "gateway killed before an append"),
        (Step::AfterAppend, "gateway killed after an append, before the reply"),
    ] {
        let doomed =
            trial.cluster.process("collect", &[("SLUICE_FAULT", format!("{}:20", step.name()))]);
        let healthy: Vec<Gateway> = std::mem::take(&mut trial.cluster.gateways);
        let address = healthy[0].http.clone();
        trial.cluster.gateways.push(doomed);
        trial.killed(fault, &address).await;
        trial.cluster.gateways = healthy;
    }
}

impl Trial {
    /// Clients of a gateway that dies go to another.
    async fn killed(&mut self, fault: &'static str, other: &str) {
        eprintln!("--- {fault}");
        let crowd = format!("f{}", self.rows.len());
        let before = self.sender.book().told.clone();
        let http = self.cluster.gateways[0].http.clone();
        let clients = Crowd::paced(&self.sender, &http, &format!("{crowd}-a"), CLIENTS, PAUSE);
        let doomed = &mut self.cluster.gateways[0];
        let died = tokio::task::block_in_place(|| doomed.wait(seconds(60)));
        assert!(died.is_some(), "{fault}: did not die");
        clients.turn_to(other);
        self.pass(seconds(2)).await;
        clients.finish().await.expect("delivered");
        let complete_after = self.cluster.settled(&self.sender).await;
        let verdict = judge(&self.sender, self.cluster.asked(), &crowd).await.expect("answers");
        assert!(verdict.holds(), "{fault}: {verdict:?}");
        let mut told = self.sender.book().told.clone();
        for (status, count) in before {
            *told.entry(status).or_default() -= count;
        }
        told.retain(|_, count| *count > 0);
        let resident_mib = self.cluster.resident_mib();
        self.rows.push(Row { fault, told, events: verdict.counted, complete_after, resident_mib });
    }
}
