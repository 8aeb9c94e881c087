//! How long an acknowledgement takes at a fifth of saturation, against a bare
//! produce at the same rate of records.

use std::time::Duration;

use super::context::{Context, KafkaGateway, target};
use super::figure::{Better, Figure, median};
use crate::drive::kind::Kind;
use crate::drive::schedule::Schedule;
use crate::drive::tally::Latency;
use crate::drive::{Plan, Target};
use crate::limits::bodies::BATCH_EVENTS;
use crate::limits::produce::Produce;
use crate::limits::saturate;

/// Batches of the run that finds saturation.
const BATCHES: u64 = 20_000;
const BATCHES_QUICK: u64 = 600;
/// Of the rate at saturation.
const SHARE: f64 = 0.2;
const CONNECTIONS: usize = 64;

/// Measures it.
///
/// # Errors
/// Why there are no brokers; what could not be measured.
pub async fn measure(context: &Context) -> Result<Vec<Figure>, String> {
    let KafkaGateway { gateway, brokers, .. } = context.kafka_gateway()?;
    let target = target(&gateway)?;
    let plan = Plan::saturating(Kind::Json, context.size(BATCHES, BATCHES_QUICK));
    let (_, most) = saturate(&plan, &target, || gateway.cpu()).await?;
    let rate = most * SHARE;
    // No linger: the least that librdkafka makes a record wait.
    let produce = Produce::open(&brokers, 0).await?;
    let time = Duration::from_secs(context.size(5, 1));
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for round in 0..=context.rounds() {
        let value = acknowledge(&target, rate, time).await?;
        let limit = produced(context, &produce, rate / BATCH_EVENTS as f64, time).await?;
        // The first opens connections.
        if round > 0 {
            ours.push(value);
            bare.push(limit);
        }
    }
    let note = format!("at {rate:.0} events/s, a fifth of {most:.0}");
    let figure = |name: &str, pick: fn(&Latency) -> f64, goal: f64| {
        let of = |rounds: &[Latency]| rounds.iter().map(pick).collect::<Vec<f64>>();
        let limit = (median(&of(&bare)), goal);
        Figure::new(name, "ms", Better::Smaller, &of(&ours), limit).note(note.clone())
    };
    Ok(vec![
        figure("acknowledgement, p50", |latency| latency.p50_ms, 1.0 / 2.0),
        figure("acknowledgement, p99", |latency| latency.p99_ms, 1.0 / 4.0),
    ])
}

async fn acknowledge(target: &Target, rate: f64, time: Duration) -> Result<Latency, String> {
    let mut plan = Plan::saturating(Kind::Json, u64::MAX);
    (plan.rate, plan.time, plan.connections) = (Some(rate), time, CONNECTIONS);
    let outcome = plan.run(target, |_, _| ()).await?;
    match outcome.counts.accepted == outcome.counts.batches * BATCH_EVENTS as u64 {
        true => Ok(outcome.latency),
        false => Err("not everything was accepted at a fifth of saturation".to_owned()),
    }
}

async fn produced(
    context: &Context,
    produce: &Produce,
    records_per_s: f64,
    time: Duration,
) -> Result<Latency, String> {
    let interval = Duration::from_secs_f64(1.0 / records_per_s);
    let schedule = Schedule::begin(Some(interval), time, u64::MAX);
    let records = &context.bodies.packed;
    while let Some((number, due)) = schedule.take().await {
        let number = number as usize;
        produce.send(number, &records[number % records.len()], due)?;
    }
    tokio::task::block_in_place(|| produce.flush())?;
    Ok(Latency::of(&produce.latency()))
}
