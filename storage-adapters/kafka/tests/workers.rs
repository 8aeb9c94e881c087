//! Partitions among workers, on a real broker.

mod support;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use sluice_kafka::{KafkaAssignment, KafkaConfig};
use sluice_seams::{Assignment, AssignmentChange};
use tokio_util::task::AbortOnDropHandle;

use support::{Broker, open};

/// A worker that does as it is told and keeps book.
struct Worker {
    assignment: Arc<KafkaAssignment>,
    owned: Arc<Mutex<BTreeSet<u32>>>,
    lost: Arc<Mutex<Vec<u32>>>,
    _follows: AbortOnDropHandle<()>,
}

impl Worker {
    fn join(config: &KafkaConfig) -> Self {
        let assignment = Arc::new(KafkaAssignment::join(config).expect("joins"));
        let (owned, lost) =
            (Arc::<Mutex<BTreeSet<u32>>>::default(), Arc::<Mutex<Vec<u32>>>::default());
        let follows = tokio::spawn({
            let (assignment, owned, lost) = (assignment.clone(), owned.clone(), lost.clone());
            async move {
                loop {
                    match assignment.next().await.expect("a change") {
                        AssignmentChange::Assigned(ids) => owned.lock().extend(ids),
                        AssignmentChange::Revoked(ids) => {
                            // Finishing takes a while.
                            tokio::time::sleep(Duration::from_millis(200)).await;
                            owned.lock().retain(|id| !ids.contains(id));
                            assignment.released(&ids);
                        }
                        AssignmentChange::Lost(ids) => {
                            owned.lock().retain(|id| !ids.contains(id));
                            lost.lock().extend(ids);
                        }
                    }
                }
            }
        });
        Self { assignment, owned, lost, _follows: AbortOnDropHandle::new(follows) }
    }
}

/// Waits until the workers own each partition once; never may two own one.
async fn shared(workers: &[&Worker], partitions: u32, each_at_least: usize) {
    let begun = Instant::now();
    loop {
        let owned: Vec<BTreeSet<u32>> = workers.iter().map(|it| it.owned.lock().clone()).collect();
        let all: Vec<u32> = owned.iter().flatten().copied().collect();
        let distinct: BTreeSet<u32> = all.iter().copied().collect();
        assert_eq!(all.len(), distinct.len(), "a partition with two owners: {owned:?}");
        let fair = owned.iter().all(|owned| owned.len() >= each_at_least);
        if distinct.len() == partitions as usize && fair {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(40), "{owned:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "real engine: started by storage-adapters/services/services; run with -- --ignored"]
async fn one_worker_then_three_then_one() {
    let broker = Broker::shared();
    let config = KafkaConfig { partitions: 6, ..broker.config() };
    let _log = open(&config).await;
    let one = Worker::join(&config);
    shared(&[&one], 6, 6).await;
    let (two, three) = (Worker::join(&config), Worker::join(&config));
    shared(&[&one, &two, &three], 6, 2).await;
    let begun = Instant::now();
    two.assignment.close().await.expect("leaves");
    two.owned.lock().clear();
    three.assignment.close().await.expect("leaves");
    three.owned.lock().clear();
    shared(&[&one], 6, 6).await;
    assert!(begun.elapsed() < Duration::from_secs(20), "handed over in {:?}", begun.elapsed());
    assert_eq!(*one.lost.lock(), Vec::<u32>::new());
}

/// A worker that does not let go holds the others up for a bounded time only.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "real engine: started by storage-adapters/services/services; run with -- --ignored"]
async fn a_worker_that_never_finishes_is_not_waited_for_for_ever() {
    let broker = Broker::shared();
    let config = KafkaConfig { revoke_timeout_ms: 1_000, ..broker.config() };
    let _log = open(&config).await;
    let stuck = KafkaAssignment::join(&config).expect("joins");
    assert!(matches!(stuck.next().await, Ok(AssignmentChange::Assigned(ids)) if ids.len() == 2));
    let other = Worker::join(&config);
    let begun = Instant::now();
    while other.owned.lock().is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(40), "nothing was taken over");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(matches!(stuck.next().await, Ok(AssignmentChange::Revoked(ids)) if ids.len() == 1));
}

/// Ends the process, even a stopped one.
struct OtherProcess(Child);

impl OtherProcess {
    /// `examples/member.rs`: it prints what it is told.
    fn join(config: &KafkaConfig) -> (Self, mpsc::Receiver<String>) {
        let this = std::env::current_exe().expect("a path");
        let example = this.with_file_name("../examples/member");
        let timeout_ms = config.session_timeout_ms.to_string();
        let mut child = Command::new(&example)
            .args([&config.brokers, &config.topic, &config.group, &timeout_ms])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| {
                let built = "`cargo test -p sluice-kafka` builds it";
                panic!("{}: {error}; {built}", example.display())
            });
        let (told, hears) = mpsc::channel();
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if told.send(line).is_err() {
                    return;
                }
            }
        });
        (Self(child), hears)
    }

    fn signal(&self, name: &str) {
        let status = Command::new("kill").args(["-s", name, &self.0.id().to_string()]).status();
        assert!(status.expect("kill runs").success());
    }
}

impl Drop for OtherProcess {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A worker that hangs past its session time-out has lost what it had, and hears
/// so when it wakes up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "real engine: started by storage-adapters/services/services; run with -- --ignored"]
async fn a_worker_that_is_stopped_loses_its_partitions_and_is_told() {
    let broker = Broker::shared();
    let config = broker.config();
    let _log = open(&config).await;
    let (stopped, hears) = OtherProcess::join(&config);
    let hear = |what: &str| {
        let line = tokio::task::block_in_place(|| hears.recv_timeout(Duration::from_secs(40)));
        let line = line.unwrap_or_else(|_| panic!("nothing heard, wanted is {what}"));
        assert!(line.starts_with(what), "{line}, wanted is {what}");
    };
    hear("Assigned([0, 1])");
    stopped.signal("STOP");
    let other = Worker::join(&config);
    let begun = Instant::now();
    shared(&[&other], 2, 2).await;
    println!("taken over after {:?}", begun.elapsed());
    assert!(begun.elapsed() < Duration::from_secs(30), "took {:?}", begun.elapsed());
    stopped.signal("CONT");
    hear("Lost([0, 1])");
    // It is a member like any other again.
    hear("Assigned([");
    assert_eq!(other.owned.lock().len(), 1);
}
