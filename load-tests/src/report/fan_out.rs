//! Fan out without its stores: what it costs itself to bring an event of the log
//! to two stores that keep nothing.

use std::sync::Arc;
use std::time::Duration;

use sluice_embedded::log::EmbeddedLog;
use sluice_fanout::{FanOut, FanOutConfig, FanOutDeps, LANES};
use sluice_seams::{EventLog, StaticAssignment};
use sluice_telemetry::{Registry, SystemClock};

use super::context::Context;
use super::figure::{Better, Figure};
use crate::limits::small_log;
use crate::measure::Stopwatch;
use crate::null::{MapIndex, NullLog, NullStore};
use crate::population::Population;
use crate::traffic::{self, BATCH_EVENTS};

const EVENTS: usize = 200_000;
const EVENTS_QUICK: usize = 10_000;
/// Documents and rows: each gets one write of each event.
const STORES: f64 = 2.0;
/// What a document may cost in each, nanoseconds.
const LIMIT_NS: f64 = 1_000.0;

/// Measures it.
///
/// # Errors
/// What the log or fan out said.
pub async fn measure(context: &Context) -> Result<Vec<Figure>, String> {
    let log = small_log(&context.folder("fan-out")?)?;
    let failed = |error: sluice_seams::StoreError| error.to_string();
    for lane in LANES {
        log.declare_lane(lane).map_err(failed)?;
    }
    let events = context.size(EVENTS, EVENTS_QUICK);
    let mut population = Population::new(7, "0193a5b2-7c4d-7e8f-9a0b", 20_000, 200);
    let shared: Arc<dyn EventLog> = Arc::new(log.clone());
    traffic::fill(shared, &mut population, events / BATCH_EVENTS).await;
    let mut rounds = Vec::new();
    for round in 0..=context.rounds() {
        let spent = run(&log).await?;
        // The first warms caches and pages.
        if round > 0 {
            rounds.push(spent.as_nanos() as f64 / events as f64 / STORES);
        }
    }
    log.close().await.map_err(failed)?;
    let name = "fan out, a document for a null store";
    Ok(vec![Figure::new(name, "ns of CPU", Better::Smaller, &rounds, (LIMIT_NS, 1.0))])
}

/// Takes the whole log from the start; CPU time of this process.
async fn run(log: &EmbeddedLog) -> Result<Duration, String> {
    for lane in LANES {
        for partition in 0..log.partitions() {
            log.rewind(lane, partition, 0).await.map_err(|error| error.to_string())?;
        }
    }
    let deps = FanOutDeps {
        log: Arc::new(log.clone()),
        dead_letter_log: Arc::new(NullLog(1)),
        assignment: Arc::new(StaticAssignment::all(log.partitions())),
        dedupe: Arc::new(MapIndex),
        documents: Arc::new(NullStore),
        rows: Arc::new(NullStore),
        clock: Arc::new(SystemClock),
        metrics: Registry::new(),
    };
    let watch = Stopwatch::start();
    let fan_out = FanOut::start(FanOutConfig::default(), deps).await;
    let fan_out = fan_out.map_err(|error| error.to_string())?;
    while fan_out.status().lanes.iter().any(|lane| lane.taken < lane.end) {
        if let Some(why) = fan_out.status().fatal {
            return Err(format!("fan out failed: {why}"));
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    match fan_out.shutdown(Duration::from_secs(60)).await {
        true => Ok(watch.spent().cpu),
        false => Err("fan out did not stop in time".to_owned()),
    }
}
