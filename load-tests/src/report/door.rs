//! Everything but the log, against a bare server that reads the same bodies and
//! answers: both as processes, both driven to saturation in turn.

use super::context::{Context, target};
use super::figure::{Better, Figure, median};
use crate::children::{LogKind, Sink};
use crate::drive::Plan;
use crate::drive::kind::Kind;
use crate::limits::saturate;

/// Batches of a round.
const BATCHES: u64 = 20_000;
const BATCHES_QUICK: u64 = 4_000;

/// Measures it.
///
/// # Errors
/// What could not be started, or was not accepted.
pub async fn measure(context: &Context) -> Result<Vec<Figure>, String> {
    let gateway = context.gateway("collect", LogKind::Null, &context.folder("door")?)?;
    let sink = Sink::start(context.other)?;
    let plan = Plan::saturating(Kind::Json, context.size(BATCHES, BATCHES_QUICK));
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for round in 0..=context.rounds() {
        let (value, _) = saturate(&plan, &target(&gateway)?, || gateway.cpu()).await?;
        let (limit, _) = saturate(&plan, &sink.target, || sink.cpu()).await?;
        // The first warms caches and pages.
        if round > 0 {
            ours.push(value);
            bare.push(limit);
        }
    }
    let name = "JSON, everything but the log";
    let limit = (median(&bare), 0.45);
    Ok(vec![Figure::new(name, "events/CPU-s", Better::Larger, &ours, limit)])
}
