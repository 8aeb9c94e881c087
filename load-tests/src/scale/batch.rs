//! Larger batches: what a request costs is shared by more events.

use sluice_event::limits::BATCH_EVENTS_MAX;

use super::context::{Context, LogOf};
use super::load::{self, Point};
use super::table::Table;
use crate::drive::Plan;

/// To the contract's largest: a batch of 1,000 is refused.
const SIZES: [usize; 5] = [1, 10, 50, 200, BATCH_EVENTS_MAX];
/// Enough that a log which waits for the disk has a group to write.
const CONNECTIONS: usize = 64;

/// Measures it.
///
/// # Errors
/// What could not be started, or was not accepted.
pub async fn measure(context: &Context) -> Result<Table, String> {
    let note = format!(
        "collector on one core, JSON, {CONNECTIONS} connections; the contract allows \
         {BATCH_EVENTS_MAX} events a batch"
    );
    let mut table = Table::new("batch", "events of a batch", note);
    let mut points = Vec::new();
    for batch in context.values(&SIZES) {
        for log in [LogOf::Null(4), LogOf::Embedded(4)] {
            let placed = context.collector(&log, context.cores.one(), "")?;
            let connections = CONNECTIONS;
            let plan = Plan { batch, connections, ..context.plan() };
            points.push(Point::new(log.name(), &batch.to_string(), placed, plan)?);
        }
    }
    load::measure(context, &mut table, points).await?;
    Ok(table)
}
