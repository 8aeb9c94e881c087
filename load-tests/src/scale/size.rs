//! Larger events: what is done for each byte, beside what is done for each event.

use super::context::{Context, LogOf};
use super::load::{self, Point};
use super::table::Table;
use crate::drive::Plan;
use crate::drive::shape::Shape;

/// Bytes of an event; 50 of the largest are within a body's bound.
const BYTES: [usize; 5] = [200, 450, 1_024, 4_096, 16_384];

/// Measures it.
///
/// # Errors
/// What could not be started, or was not accepted.
pub async fn measure(context: &Context) -> Result<Table, String> {
    let note = "collector on one core, JSON, 50 events a batch; larger ones by more properties of \
                up to 4 KiB of text";
    let mut table = Table::new("size", "bytes of an event in JSON", note);
    let mut points = Vec::new();
    for bytes in context.values(&BYTES) {
        for log in [LogOf::Null(4), LogOf::Embedded(4)] {
            let placed = context.collector(&log, context.cores.one(), "")?;
            let shape = Shape { event_bytes: Some(bytes), ..Shape::USUAL };
            let plan = Plan { shape, ..context.plan() };
            points.push(Point::new(log.name(), &bytes.to_string(), placed, plan)?);
        }
    }
    load::measure(context, &mut table, points).await?;
    Ok(table)
}
