//! What a worker pays for a partition that it has never owned: `D` rebuilt from
//! the log while its lanes wait. `SLUICE_BENCH_EVENTS` is the number of ids, a
//! million by default.

use std::sync::Arc;
use std::time::Duration;

use load_tests::measure::Stopwatch;
use load_tests::null::{NullLog, NullStore};
use load_tests::population::Population;
use load_tests::traffic;
use load_tests::traffic::BATCH_EVENTS;
use sluice_embedded::dedupe::{DedupeConfig, EmbeddedDedupe};
use sluice_embedded::log::{EmbeddedLog, LogConfig};
use sluice_fanout::{FanOut, FanOutConfig, FanOutDeps, LANES};
use sluice_seams::{EventLog, StaticAssignment};
use sluice_telemetry::{Clock, Registry, SystemClock};

const PARTITIONS: u32 = 4;
const USERS: u64 = 20_000;

async fn bench(events: usize) {
    let dir = tempfile::tempdir().expect("a folder");
    let now_ms = Arc::new(|| SystemClock.now_ms());
    let config = LogConfig::new(dir.path().join("log"), PARTITIONS, now_ms);
    let log: Arc<dyn EventLog> = Arc::new(EmbeddedLog::open(config).expect("new"));
    LANES.iter().for_each(|lane| log.declare_lane(lane).expect("a lane"));
    let mut population = Population::new(7, "0193a5b2-7c4d-7e8f-9a0b", USERS, 200);
    traffic::fill(Arc::clone(&log), &mut population, events / BATCH_EVENTS).await;
    for lane in LANES {
        for partition in 0..PARTITIONS {
            let end = log.bounds(partition).1;
            log.commit(lane, partition, end).await.expect("brought in by another");
        }
    }
    let dedupe = EmbeddedDedupe::open(DedupeConfig::new(dir.path().join("dedupe")));
    let deps = FanOutDeps {
        log: Arc::clone(&log),
        dead_letter_log: Arc::new(NullLog(1)),
        assignment: Arc::new(StaticAssignment::all(PARTITIONS)),
        dedupe: Arc::new(dedupe.expect("new")),
        documents: Arc::new(NullStore),
        rows: Arc::new(NullStore),
        clock: Arc::new(SystemClock),
        metrics: Registry::new(),
    };
    let watch = Stopwatch::start();
    let fan_out = FanOut::start(FanOutConfig::default(), deps).await.expect("starts");
    while fan_out.status().lanes.iter().any(|lane| lane.persisted < lane.end) {
        assert!(fan_out.status().fatal.is_none(), "{:?}", fan_out.status());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let spent = watch.spent();
    println!(
        "D of {events} ids rebuilt from the log: {:.1} s, {:.1} CPU-s, {:.0} ns of CPU an id",
        spent.wall.as_secs_f64(),
        spent.cpu.as_secs_f64(),
        spent.cpu.as_nanos() as f64 / events as f64
    );
    assert!(fan_out.shutdown(Duration::from_secs(60)).await, "stops in time");
    log.close().await.expect("closes");
}

#[allow(clippy::disallowed_methods)] // a bench's own switch
fn main() {
    let events = std::env::var("SLUICE_BENCH_EVENTS").ok();
    let events = events.and_then(|events| events.parse().ok()).unwrap_or(1_000_000);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(bench(events));
}
