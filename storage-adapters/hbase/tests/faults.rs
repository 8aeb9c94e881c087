//! Servers killed, stopped and started under load: writes come again, nothing
//! that was acknowledged is lost, nothing is there that was not written.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sluice_hbase::{HbaseConfig, HbaseRows};
use sluice_memory::rows::MemoryRows;
use sluice_seams::{RowStore, RowWrite, StoreError};
use support::Services;
use support::sample::{Random, state};
use tokio::sync::Mutex;

/// One fault at a time: the tests share the servers.
static TURN: Mutex<()> = Mutex::const_new(());

/// No outage of these tests is longer.
const OUTAGE_MAX: Duration = Duration::from_secs(90);

const USERS: usize = 40;

fn services() -> &'static Services {
    static OWN: std::sync::OnceLock<Services> = std::sync::OnceLock::new();
    OWN.get_or_init(Services::own)
}

fn config(services: &Services) -> HbaseConfig {
    HbaseConfig {
        connect_timeout_ms: 500,
        read_timeout_ms: 8_000,
        write_timeout_ms: 2_000,
        ..support::config(&services.servers, support::prefix())
    }
}

fn users() -> Vec<String> {
    (0..USERS).map(|n| format!("u-{n}")).collect()
}

/// Writers that write without a pause, and come again when told to.
struct Load {
    store: Arc<HbaseRows>,
    ended: Arc<AtomicBool>,
    calls: Arc<AtomicU64>,
    retries: Arc<AtomicU64>,
    tasks: Vec<tokio::task::JoinHandle<Vec<RowWrite>>>,
}

// === impl Load ===

impl Load {
    fn start(store: HbaseRows, writers: u64) -> Self {
        let mut load = Self {
            store: Arc::new(store),
            ended: Arc::default(),
            calls: Arc::default(),
            retries: Arc::default(),
            tasks: Vec::new(),
        };
        load.tasks = (0..writers).map(|writer| tokio::spawn(load.run(writer))).collect();
        load
    }

    /// Writes until it is ended; all that was acknowledged.
    fn run(&self, writer: u64) -> impl Future<Output = Vec<RowWrite>> + Send + 'static {
        let store = Arc::clone(&self.store);
        let ended = Arc::clone(&self.ended);
        let (calls, retries) = (Arc::clone(&self.calls), Arc::clone(&self.retries));
        async move {
            let (mut random, users, mut taken) = (Random(writer), users(), Vec::new());
            let mut id = writer << 32;
            while !ended.load(Ordering::SeqCst) {
                let writes: Vec<_> = (0..60)
                    .map(|_| {
                        id += 1;
                        random.write(&users, id)
                    })
                    .collect();
                let began = Instant::now();
                loop {
                    match store.write(writes.clone()).await {
                        Ok(report) => {
                            assert!(report.refused.is_empty(), "{:?}", report.refused);
                            break;
                        }
                        Err(StoreError::Retry { after, detail }) => {
                            retries.fetch_add(1, Ordering::SeqCst);
                            assert!(began.elapsed() < OUTAGE_MAX, "no end of it: {detail}");
                            tokio::time::sleep(after).await;
                        }
                        Err(error) => panic!("an outage passes: {error}"),
                    }
                }
                calls.fetch_add(1, Ordering::SeqCst);
                taken.extend(writes);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            taken
        }
    }

    /// Waits until so many more calls have been acknowledged.
    async fn goes_on(&self, calls: u64) {
        let goal = self.calls.load(Ordering::SeqCst) + calls;
        let began = Instant::now();
        while self.calls.load(Ordering::SeqCst) < goal {
            assert!(began.elapsed() < OUTAGE_MAX, "writes do not come through again");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Ends the writers and compares everything with the plain store.
    async fn check(mut self) -> u64 {
        self.ended.store(true, Ordering::SeqCst);
        let reference = MemoryRows::new();
        for task in self.tasks.drain(..) {
            let taken = task.await.expect("a writer ends well");
            reference.write(taken).await.expect("write succeeds");
        }
        let expected = state(&reference, &users(), 1_000).await;
        assert!(expected.iter().any(|(_, rows, _)| rows.len() > 2), "something was written");
        let found = state(&*self.store, &users(), 100).await;
        for (found, expected) in found.into_iter().zip(expected) {
            assert_eq!(found.1.len(), expected.1.len(), "rows of {}", found.0);
            assert!(found == expected, "user {}: {found:?}, not {expected:?}", found.0);
        }
        assert_eq!(self.store.status().await.refusing, None);
        self.retries.load(Ordering::SeqCst)
    }
}

/// A blocking command in the middle of a test.
async fn tell(command: &'static str, name: &'static str) {
    let told = tokio::task::spawn_blocking(move || services().tell(command, name));
    told.await.expect("the command succeeds");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "real engine: started by storage-adapters/services/services; run with -- --ignored"]
async fn one_of_two_thrift_servers_goes_and_comes() {
    let _turn = TURN.lock().await;
    let load = Load::start(support::open(&config(services())), 3);
    load.goes_on(20).await;
    tell("kill", "thrift2").await;
    load.goes_on(40).await;
    let dead = load.store.figures().servers.iter().filter(|server| !server.alive).count();
    assert_eq!(dead, 1, "{:?}", load.store.figures().servers);
    tell("start", "thrift2").await;
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        if load.store.figures().servers.iter().all(|server| server.alive) {
            break;
        }
    }
    load.goes_on(40).await;
    let figures = load.store.figures();
    assert!(figures.servers.iter().all(|server| server.alive), "{:?}", figures.servers);
    assert!(figures.servers[1].revivals >= 1, "{:?}", figures.servers);
    let retries = load.check().await;
    eprintln!("told to come again {retries} times; {:?}", figures.servers);
}

/// Paused, it takes calls and answers them late, after they were given up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "real engine: started by storage-adapters/services/services; run with -- --ignored"]
async fn a_thrift_server_that_answers_late() {
    let _turn = TURN.lock().await;
    let config = HbaseConfig { read_timeout_ms: 700, retries: 0, ..config(services()) };
    let load = Load::start(support::open(&config), 3);
    load.goes_on(20).await;
    for _ in 0..4 {
        tell("pause", "thrift2").await;
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        tell("resume", "thrift2").await;
        load.goes_on(20).await;
    }
    let late: u64 = load.store.figures().calls.iter().map(|call| call.timed_out).sum();
    assert!(late > 0, "nothing was late: {:?}", load.store.figures());
    let retries = load.check().await;
    assert!(retries > 0, "late calls are told to the caller");
    eprintln!("late {late}, told to come again {retries} times");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "real engine: started by storage-adapters/services/services; run with -- --ignored"]
async fn all_thrift_servers_gone_and_back() {
    let _turn = TURN.lock().await;
    let load = Load::start(support::open(&config(services())), 3);
    load.goes_on(20).await;
    tell("kill", "thrift").await;
    tell("kill", "thrift2").await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let refusing = load.store.status().await.refusing.expect("no server is there");
    assert!(refusing.contains("none of 2 Thrift servers answers"), "{refusing}");
    tell("start", "thrift").await;
    tell("start", "thrift2").await;
    load.goes_on(40).await;
    assert!(load.check().await > 0, "callers were told to come again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "real engine: started by storage-adapters/services/services; run with -- --ignored"]
async fn the_region_server_killed_and_started() {
    let _turn = TURN.lock().await;
    let load = Load::start(support::open(&config(services())), 3);
    for turn in 0..2 {
        load.goes_on(40).await;
        tell("kill", "regionserver").await;
        let began = Instant::now();
        tell("start", "regionserver").await;
        load.goes_on(10).await;
        eprintln!("turn {turn}: writes again {:?} after the kill", began.elapsed());
    }
    let retries = load.check().await;
    eprintln!("told to come again {retries} times");
}
