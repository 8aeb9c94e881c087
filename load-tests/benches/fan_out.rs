//! Fan out of a backlog in the embedded log into the embedded stores, until both
//! lanes have caught up, are stopped, and the stores are closed with their merges
//! done. The cost of a step is what the run costs more with it than with a part
//! that keeps nothing in its place.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use load_tests::measure::{Spent, Stopwatch, report, spread};
use load_tests::null::{MapIndex, NullLog, NullStore};
use load_tests::population::Population;
use load_tests::traffic::BATCH_EVENTS;
use load_tests::{measure, traffic};
use prost::Message;
use sluice_embedded::dedupe::{DedupeConfig, EmbeddedDedupe};
use sluice_embedded::documents::{DocumentsConfig, EmbeddedDocuments};
use sluice_embedded::log::{EmbeddedLog, LogConfig};
use sluice_embedded::rows::{EmbeddedRows, RowsConfig};
use sluice_fanout::{FanOut, FanOutConfig, FanOutDeps, LANES};
use sluice_proto::v1::BatchRecord;
use sluice_seams::{DedupeIndex, DocumentStore, EventLog, RowStore, StaticAssignment};
use sluice_telemetry::{Clock, Registry, SystemClock};

const EVENTS: usize = 200_000;
const ROUNDS: usize = 5;
const STEP_ROUNDS: usize = 3;
/// Partitions of the log of a gateway without a config file.
const PARTITIONS: u32 = 4;
const USERS: u64 = 20_000;

/// Which parts are real.
#[derive(Clone, Copy)]
struct Real {
    dedupe: bool,
    documents: bool,
    rows: bool,
}

fn now_ms() -> Arc<dyn Fn() -> i64 + Send + Sync> {
    Arc::new(|| SystemClock.now_ms())
}

fn dedupe(real: bool, dir: &Path) -> Arc<dyn DedupeIndex> {
    if real {
        return Arc::new(EmbeddedDedupe::open(DedupeConfig::new(dir.join("dedupe"))).expect("new"));
    }
    Arc::new(MapIndex)
}

fn documents(real: bool, dir: &Path) -> Arc<dyn DocumentStore> {
    if real {
        let config = DocumentsConfig::new(dir.join("documents"));
        return Arc::new(EmbeddedDocuments::open(config).expect("new"));
    }
    Arc::new(NullStore)
}

fn rows(real: bool, dir: &Path) -> Arc<dyn RowStore> {
    if real {
        let config = RowsConfig::new(dir.join("rows"), now_ms());
        return Arc::new(EmbeddedRows::open(config).expect("new"));
    }
    Arc::new(NullStore)
}

/// Takes the whole log into new stores.
async fn run(log: Arc<dyn EventLog>, real: Real) -> (Spent, Registry) {
    for lane in LANES {
        for partition in 0..PARTITIONS {
            log.rewind(lane, partition, 0).await.expect("a lane may go back");
        }
    }
    let dir = tempfile::tempdir().expect("a folder");
    let (documents, rows) = (documents(real.documents, dir.path()), rows(real.rows, dir.path()));
    let metrics = Registry::new();
    let deps = FanOutDeps {
        log: Arc::clone(&log),
        dead_letter_log: Arc::new(NullLog(1)),
        assignment: Arc::new(StaticAssignment::all(PARTITIONS)),
        dedupe: dedupe(real.dedupe, dir.path()),
        documents: Arc::clone(&documents),
        rows: Arc::clone(&rows),
        clock: Arc::new(SystemClock),
        metrics: metrics.clone(),
    };
    let watch = Stopwatch::start();
    let fan_out = FanOut::start(FanOutConfig::default(), deps).await.expect("starts");
    while fan_out.status().lanes.iter().any(|lane| lane.taken < lane.end) {
        assert!(fan_out.status().fatal.is_none(), "{:?}", fan_out.status());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(fan_out.shutdown(Duration::from_secs(60)).await, "stops in time");
    let held = [documents.status().await.entries, rows.status().await.entries];
    documents.close().await.expect("closes");
    rows.close().await.expect("closes");
    let spent = watch.spent();
    for held in held.into_iter().flatten() {
        assert_eq!(held as usize, EVENTS, "every event is filed once");
    }
    (spent, metrics)
}

/// Reads the whole log; decodes it too where asked.
async fn read(log: &dyn EventLog, decode: bool) -> Spent {
    let bytes_max = FanOutConfig::default().read_bytes_max;
    let (watch, mut events) = (Stopwatch::start(), 0);
    for partition in 0..PARTITIONS {
        let (mut at, end) = log.bounds(partition);
        while at < end {
            let records = log.read(partition, at, bytes_max).await.expect("readable");
            at = records.last().expect("one at least").offset + 1;
            for record in records {
                if decode {
                    let record = BatchRecord::decode(record.payload).expect("a record");
                    events += black_box(record).events.len();
                }
            }
        }
    }
    assert!(!decode || events == EVENTS);
    watch.spent()
}

async fn steps(log: &Arc<dyn EventLog>) {
    let (mut plain, mut decoded) = (Vec::new(), Vec::new());
    for _ in 0..STEP_ROUNDS {
        plain.push(read(&**log, false).await);
        decoded.push(read(&**log, true).await);
    }
    let none = Real { dedupe: false, documents: false, rows: false };
    let mut with = Vec::new();
    for real in [
        none,
        Real { dedupe: true, ..none },
        Real { documents: true, ..none },
        Real { rows: true, ..none },
    ] {
        let mut rounds = Vec::new();
        for _ in 0..STEP_ROUNDS {
            rounds.push(run(Arc::clone(log), real).await.0);
        }
        with.push(rounds);
    }
    let median = |rounds: &[Spent]| spread(rounds, EVENTS)[1];
    let (read, decode, empty) = (median(&plain), median(&decoded), median(&with[0]));
    for (step, cost) in [
        ("log read", read),
        ("decode", decode - read),
        ("derive, window, batches, map as D", empty - decode),
        ("D", median(&with[1]) - empty),
        ("documents", median(&with[2]) - empty),
        ("rows", median(&with[3]) - empty),
    ] {
        println!("  {step:<34} {cost:>8.0} ns/event");
    }
}

async fn bench() {
    let dir = tempfile::tempdir().expect("a folder");
    let config = LogConfig::new(dir.path().join("log"), PARTITIONS, now_ms());
    let log: Arc<dyn EventLog> = Arc::new(EmbeddedLog::open(config).expect("new"));
    LANES.iter().for_each(|lane| log.declare_lane(lane).expect("a lane"));
    let mut population = Population::new(7, "0193a5b2-7c4d-7e8f-9a0b", USERS, 200);
    traffic::fill(Arc::clone(&log), &mut population, EVENTS / BATCH_EVENTS).await;
    if measure::wanted("everything") {
        let (mut rounds, mut last) = (Vec::new(), Registry::new());
        let everything = Real { dedupe: true, documents: true, rows: true };
        for _ in 0..ROUNDS {
            let (spent, metrics) = run(Arc::clone(&log), everything).await;
            rounds.push(spent);
            last = metrics;
        }
        report("everything", &rounds, EVENTS);
        let last = last.encode().expect("text");
        let sums = ["_seconds_sum", "_seconds_count", "_events_sum", "_events_count"];
        for line in last.lines().filter(|line| sums.iter().any(|sum| line.contains(sum))) {
            println!("  last round, by the wall: {line}");
        }
    }
    if measure::wanted("steps") {
        steps(&log).await;
    }
    log.close().await.expect("closes");
}

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(bench());
}
