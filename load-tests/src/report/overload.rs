//! Three times what a gateway can take, for a minute: what it still takes, what
//! it tells the others, its memory, and whether anything acknowledged is lost.

use std::time::Duration;

use super::context::{Context, target};
use super::figure::{Better, Figure};
use crate::check::against_log;
use crate::check::readback::Place;
use crate::drive::kind::Kind;
use crate::drive::tally::{Counts, Second};
use crate::drive::{Outcome, Plan};

/// Times the peak.
const OVER: f64 = 3.0;
const PEAK: Duration = Duration::from_secs(10);
const PEAK_ROUNDS: usize = 3;
const OVERLOAD: Duration = Duration::from_secs(60);
/// At the peak as many as the gateway takes at a time; under overload more.
const CONNECTIONS: [usize; 2] = [REQUESTS_MAX, 1_000];
/// What the gateway takes at a time. The usual bound is for many more clients than one
/// core can play; this one holds a fifth of a second of work.
const REQUESTS_MAX: usize = 256;
/// What a gateway may hold under overload, MiB: its bounds added up.
const MEMORY_MAX_MIB: f64 = 1_536.0;
const MIB: f64 = (1u64 << 20) as f64;

/// Measures it.
///
/// # Errors
/// What could not be started or read back.
pub async fn measure(context: &Context) -> Result<Vec<Figure>, String> {
    let data_dir = context.folder("overload")?;
    let bound = format!("[limits]\nin_flight_requests_max = {REQUESTS_MAX}\n");
    let gateway = context.configured("serve", &data_dir, &bound)?;
    let target = target(&gateway)?;
    let mut plan = Plan::saturating(Kind::Json, u64::MAX);
    (plan.time, plan.connections) = (context.size(PEAK, PEAK / 5), CONNECTIONS[0]);
    let mut ledgers = Vec::new();
    let mut peak = 0.0_f64;
    // The best of some: the first warms up, and too low a peak would make no overload.
    for round in 0..PEAK_ROUNDS {
        ledgers.push(context.folder(&format!("peak-{round}"))?);
        plan.ledger = ledgers.last().cloned();
        peak = peak.max(goodput(&plan.run(&target, |_, _| ()).await?));
    }
    if peak == 0.0 {
        return Err("nothing was accepted at the peak".to_owned());
    }
    ledgers.push(context.folder("over")?);
    (plan.time, plan.connections) = (context.size(OVERLOAD, OVERLOAD / 20), CONNECTIONS[1]);
    (plan.rate, plan.ledger) = (Some(peak * OVER), ledgers.last().cloned());
    let mut most = gateway.resident_bytes();
    let look = |_: &Counts, _: Option<&Second>| most = most.max(gateway.resident_bytes());
    let outcome = plan.run(&target, look).await?;
    let stopped = tokio::task::block_in_place(|| gateway.stop());
    let verdicts = against_log(&ledgers, &Place::Embedded(data_dir)).await?;
    let words = verdicts.last().map(|verdict| verdict.words()).unwrap_or_default();
    let lost = verdicts.iter().find(|verdict| !verdict.clean());
    let memory = most as f64 / MIB;
    let mut figures = figures(&outcome, peak, memory);
    let whole = f64::from(u8::from(lost.is_none() && stopped));
    let name = "3 × overload, acknowledged and there once";
    figures.push(Figure::new(name, "1 = all", Better::Larger, &[whole], (1.0, 1.0)).note(words));
    if outcome.counts.refused.values().sum::<u64>() == 0 {
        let why = "nothing was refused: the peak was not the peak, or the generator fell behind";
        figures = figures.into_iter().map(|figure| figure.void(why)).collect();
    }
    if let Some(verdict) = lost {
        let why = verdict.words();
        figures = figures.into_iter().map(|figure| figure.void(&why)).collect();
    }
    Ok(figures)
}

/// Events newly durable, each second of the time in which batches were due.
fn goodput(outcome: &Outcome) -> f64 {
    let until = outcome.plan.time.as_secs() as usize;
    let seconds = outcome.seconds.iter().filter(|second| second.at_s < until);
    let accepted: u64 = seconds.map(|second| second.accepted).sum();
    accepted as f64 / until.max(1) as f64
}

fn figures(outcome: &Outcome, peak: f64, memory: f64) -> Vec<Figure> {
    let counts = &outcome.counts;
    let refused: u64 = counts.refused.values().sum();
    let unanswered = refused + counts.lost;
    let understood = counts.refused_with_wait as f64 / unanswered.max(1) as f64;
    let by_code: Vec<String> =
        counts.refused.iter().map(|(code, batches)| format!("{batches} with {code}")).collect();
    let waits = format!(
        "batches refused: {refused} [{}], lost: {}; p50 {:.0} ms, p99 {:.0} ms from when due",
        by_code.join(", "),
        counts.lost,
        outcome.latency.p50_ms,
        outcome.latency.p99_ms
    );
    let good = goodput(outcome);
    vec![
        Figure::new("3 × overload, goodput", "events/s", Better::Larger, &[good], (peak, 0.95))
            .note("against the peak of the same gateway, embedded, all roles on one core"),
        Figure::new(
            "3 × overload, memory",
            "MiB",
            Better::Smaller,
            &[memory],
            (MEMORY_MAX_MIB, 1.0),
        ),
        Figure::new(
            "3 × overload, refused as understood",
            "of refused",
            Better::Larger,
            &[understood],
            (1.0, 1.0),
        )
        .note(waits),
    ]
}
