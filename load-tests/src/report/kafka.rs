//! From the socket to durable in Kafka, against the sum of the least that each
//! step costs in the same run.

use std::path::PathBuf;

use super::context::{Context, KafkaGateway, target};
use super::figure::{Better, Figure, median};
use crate::check::against_log;
use crate::check::readback::Place;
use crate::children::Sink;
use crate::drive::Plan;
use crate::drive::kind::Kind;
use crate::limits::bodies::BATCH_EVENTS;
use crate::limits::produce::Produce;
use crate::limits::{per_cpu_s, saturate, steps};

/// Batches of a round.
const BATCHES: u64 = 10_000;
const BATCHES_QUICK: u64 = 4_000;
const KINDS: [Kind; 4] = [Kind::Json, Kind::JsonGzip, Kind::Protobuf, Kind::GrpcStream];
/// What JSON over HTTP is to reach on the machine of reference, events a
/// CPU-second.
const REFERENCE: f64 = 900_000.0;
/// How much faster a stream of protobuf is to be than posts of JSON.
const STREAM_GAIN: f64 = 1.15;
/// Long enough for full requests: what they cost is the limit.
const LINGER_MS: u32 = 5;

/// Rounds of one kind.
struct Measured {
    kind: Kind,
    /// Events per CPU-second of the gateway.
    ours: Vec<f64>,
    /// Nanoseconds an event of all steps together.
    floor: Vec<f64>,
}

/// Measures it.
///
/// # Errors
/// Why there are no brokers; what could not be measured.
pub async fn measure(context: &Context) -> Result<Vec<Figure>, String> {
    let KafkaGateway { gateway, brokers, topic } = context.kafka_gateway()?;
    let sink = Sink::start(context.other)?;
    let produce = Produce::open(&brokers, LINGER_MS).await?;
    let folder = context.folder("ledgers")?;
    let mut ledgers = Vec::new();
    let mut all = KINDS.map(|kind| Measured { kind, ours: Vec::new(), floor: Vec::new() });
    for round in 0..=context.rounds() {
        for measured in &mut all {
            let kind = measured.kind;
            let mut plan = Plan::saturating(kind, context.size(BATCHES, BATCHES_QUICK));
            let (bare, _) = saturate(&plan, &sink.target, || sink.cpu()).await?;
            let ledger = folder.join(format!("{}-{round}", kind.name()));
            ledgers.push(ledger.clone());
            plan.ledger = Some(ledger);
            let (value, _) = saturate(&plan, &target(&gateway)?, || gateway.cpu()).await?;
            let floor = 1e9 / bare + steps_ns(context, kind, &produce)?;
            // The first warms caches and pages.
            if round > 0 {
                measured.ours.push(value);
                measured.floor.push(floor);
            }
        }
    }
    let place = Place::Kafka { brokers, topic };
    let verdict = clean(&ledgers, &place).await;
    // Half a gigabyte that nobody needs any more.
    std::fs::remove_dir_all(&folder).map_err(|error| error.to_string())?;
    let figures = figures(&all);
    Ok(match verdict {
        Ok(words) => figures.into_iter().map(|figure| figure.note(words.clone())).collect(),
        Err(why) => figures.into_iter().map(|figure| figure.void(&why)).collect(),
    })
}

/// What the steps after the socket cost at the least, nanoseconds an event.
fn steps_ns(context: &Context, kind: Kind, produce: &Produce) -> Result<f64, String> {
    let bodies = &context.bodies;
    let batches = context.size(4_000, 200);
    let events = batches * BATCH_EVENTS;
    let mut spent = vec![
        steps::remember(batches),
        tokio::task::block_in_place(|| produce.saturate(&bodies.packed, batches))?,
    ];
    match kind {
        Kind::Json => spent.push(steps::json_scan(&bodies.json, batches)),
        Kind::JsonGzip => {
            spent.push(steps::inflate(&bodies.gzip, batches));
            spent.push(steps::json_scan(&bodies.json, batches));
        }
        _ => spent.push(steps::protobuf_walk(&bodies.protobuf, batches)),
    }
    Ok(spent.into_iter().map(|spent| 1e9 / per_cpu_s(spent, events)).sum())
}

/// Reads the log back; `Err` says why the figures are void.
async fn clean(ledgers: &[PathBuf], place: &Place) -> Result<String, String> {
    let verdicts = against_log(ledgers, place).await?;
    if let Some(verdict) = verdicts.iter().find(|verdict| !verdict.clean()) {
        return Err(verdict.words());
    }
    let events: u64 = verdicts.iter().map(|verdict| verdict.acknowledged).sum();
    Ok(format!("{events} acknowledged events read back from the log, each exactly once"))
}

fn figures(all: &[Measured]) -> Vec<Figure> {
    let unit = "events/CPU-s";
    let mut figures: Vec<Figure> = all
        .iter()
        .map(|Measured { kind, ours, floor }| {
            let name = format!("{} → durable in Kafka", kind.name());
            let limit = 1e9 / median(floor);
            Figure::new(&name, unit, Better::Larger, ours, (limit, 0.65))
        })
        .collect();
    let of = |kind| all.iter().find(|it| it.kind == kind).map_or(&[][..], |it| &it.ours);
    let json = median(of(Kind::Json));
    let name = "json → durable in Kafka, absolute";
    figures.push(Figure::new(name, unit, Better::Larger, of(Kind::Json), (REFERENCE, 1.0)));
    let (name, stream) = ("grpc-stream against json", of(Kind::GrpcStream));
    figures.push(Figure::new(name, unit, Better::Larger, stream, (json, STREAM_GAIN)));
    figures
}
