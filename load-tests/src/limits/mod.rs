//! The floor of each step on this machine: what a gateway cannot go below.

pub mod bodies;
pub mod produce;
pub mod steps;

use std::sync::Arc;

use bytes::Bytes;
use clap::Args;
use futures::{StreamExt, TryStreamExt, stream};
use sluice_embedded::log::{EmbeddedLog, LogConfig};
use sluice_seams::EventLog;

use crate::children::Sink;
use crate::drive::kind::Kind;
use crate::drive::{Plan, Target};
use crate::measure::{Spent, Stopwatch};
use crate::report::figure::{Figure, table};
use bodies::{BATCH_EVENTS, Bodies};
use produce::Produce;

/// Rounds of each step.
const ROUNDS: usize = 5;
/// Records of a group that is made durable at once.
pub const GROUP_RECORDS: usize = 64;

/// Measures the floor of each step.
#[derive(Debug, Args)]
pub struct LimitsArgs {
    /// Brokers for the steps of librdkafka; without them those are left out
    #[arg(long, value_name = "HOST:PORT")]
    kafka: Option<String>,
    /// Only steps whose name holds this
    #[arg(long, value_name = "NAME", default_value = "")]
    only: String,
    /// Batches of a round
    #[arg(long, default_value_t = 4_000, value_parser = clap::value_parser!(u32).range(1..))]
    batches: u32,
}

/// Events per CPU-second of a round.
pub fn per_cpu_s(spent: Spent, events: usize) -> f64 {
    // A round that is too short to be seen took a tick of the clock.
    events as f64 / spent.cpu.as_secs_f64().max(1e-6)
}

/// Drives a server to saturation; events accepted, and CPU time by `cpu`, per
/// CPU-second.
///
/// # Errors
/// Where not every event was accepted.
pub async fn saturate(
    plan: &Plan,
    target: &Target,
    cpu: impl Fn() -> std::time::Duration,
) -> Result<(f64, f64), String> {
    let before = cpu();
    let outcome = plan.run(target, |_, _| ()).await?;
    let spent = (cpu() - before).as_secs_f64();
    let wanted = plan.batches_max * plan.batch as u64;
    if outcome.counts.accepted != wanted {
        let told = serde_json::to_string(&outcome.counts).unwrap_or_default();
        return Err(format!("{wanted} events sent to {target}, not all accepted: {told}"));
    }
    if spent == 0.0 {
        return Err(format!("{target} spent no CPU time that can be seen: too short a round"));
    }
    Ok((wanted as f64 / spent, wanted as f64 / outcome.took_s))
}

// === impl LimitsArgs ===

impl LimitsArgs {
    /// Measures, prints a table; servers run on `other`.
    ///
    /// # Errors
    /// What could not be measured.
    pub async fn run(self, other: Option<usize>) -> Result<(), String> {
        let (bodies, batches) = (Bodies::make(), self.batches as usize);
        let events = batches * BATCH_EVENTS;
        let mut figures = Vec::new();
        let mut add = |name: &str, round: &mut dyn FnMut() -> Result<f64, String>| {
            if name.contains(&self.only) {
                let rounds: Result<Vec<f64>, String> = (0..ROUNDS).map(|_| round()).collect();
                figures.push(Figure::plain(name, "events/CPU-s", &rounds?));
            }
            Ok::<(), String>(())
        };
        add("inflate", &mut || Ok(per_cpu_s(steps::inflate(&bodies.gzip, batches), events)))?;
        add("JSON scan", &mut || Ok(per_cpu_s(steps::json_scan(&bodies.json, batches), events)))?;
        add("protobuf walk", &mut || {
            Ok(per_cpu_s(steps::protobuf_walk(&bodies.protobuf, batches), events))
        })?;
        add("remembered ids", &mut || Ok(per_cpu_s(steps::remember(batches), events)))?;
        let dir = tempfile::tempdir().map_err(|error| error.to_string())?;
        let groups = batches.div_ceil(GROUP_RECORDS);
        let group = &bodies.packed[..GROUP_RECORDS];
        let committed = groups * GROUP_RECORDS * BATCH_EVENTS;
        add("group commit", &mut || {
            let spent = steps::group_commit(dir.path(), group, groups);
            Ok(per_cpu_s(spent.map_err(|error| error.to_string())?, committed))
        })?;
        if let Some(brokers) = &self.kafka {
            let produce = Produce::open(brokers, 5).await?;
            add("librdkafka, an event a record", &mut || {
                Ok(per_cpu_s(produce.saturate(&bodies.single, events)?, events))
            })?;
            add("librdkafka, 50 events a record", &mut || {
                Ok(per_cpu_s(produce.saturate(&bodies.packed, batches)?, events))
            })?;
        }
        for kind in [Kind::Json, Kind::JsonGzip, Kind::Protobuf, Kind::GrpcStream] {
            let name = format!("hyper reads and answers, {}", kind.name());
            if name.contains(&self.only) {
                let sink = Sink::start(other)?;
                let (plan, mut rounds) = (Plan::saturating(kind, batches as u64), Vec::new());
                for _ in 0..ROUNDS {
                    rounds.push(saturate(&plan, &sink.target, || sink.cpu()).await?.0);
                }
                figures.push(Figure::plain(&name, "events/CPU-s", &rounds));
            }
        }
        print!("{}", table(&figures));
        Ok(())
    }
}

/// Appends groups of records to the embedded log, with two groups of them under way as
/// so many connections would have: while one is made durable, the next gathers.
///
/// # Errors
/// What the log said.
pub async fn embedded_log(
    log: &EmbeddedLog,
    records: &[Bytes],
    groups: usize,
) -> Result<Spent, String> {
    let partitions = log.partitions();
    let watch = Stopwatch::start();
    let appends = (0..groups * records.len()).map(|n| n % records.len());
    let appends = appends.map(|n| log.append(n as u32 % partitions, records[n].clone()));
    stream::iter(appends)
        .buffer_unordered(2 * records.len())
        .try_for_each(|_| std::future::ready(Ok(())))
        .await
        .map_err(|error| error.to_string())?;
    Ok(watch.spent())
}

/// A new embedded log that keeps little.
///
/// # Errors
/// What the disk said.
pub fn small_log(dir: &std::path::Path) -> Result<EmbeddedLog, String> {
    let mut config = LogConfig::new(dir.join("log"), 4, Arc::new(crate::crowd::now_ms));
    config.retention_bytes = Some(512 << 20);
    config.disk_reserve_bytes = Some(0);
    EmbeddedLog::open(config).map_err(|error| error.to_string())
}
