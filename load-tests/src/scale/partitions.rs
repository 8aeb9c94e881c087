//! More partitions: smaller records and more of them, since a record holds events
//! of one partition.

use super::context::{Context, LogOf};
use super::load::{self, Point};
use super::table::Table;
use crate::drive::Plan;
use crate::drive::shape::{Shape, Who};

const PARTITIONS: [u32; 4] = [1, 4, 8, 16];
/// Devices: enough that every batch has events for every partition.
const DEVICES: u64 = 100_000;

/// Measures it.
///
/// # Errors
/// What could not be started, or was not accepted; why there are no brokers.
pub async fn measure(context: &Context) -> Result<Table, String> {
    let note = "collector on one core, JSON, 50 events a batch, each of another device";
    let mut table = Table::new("partitions", "partitions of the log", note);
    let brokers = context.brokers()?.map(str::to_owned);
    let mut points = Vec::new();
    for partitions in context.values(&PARTITIONS) {
        let kafka = brokers.clone().map(|brokers| LogOf::Kafka(partitions, brokers));
        let logs = [LogOf::Null(partitions), LogOf::Embedded(partitions)];
        for log in logs.into_iter().chain(kafka) {
            let placed = context.collector(&log, context.cores.one(), "")?;
            let shape = Shape { who: Who::Any { of: DEVICES }, ..Shape::USUAL };
            let plan = Plan { shape, ..context.plan() };
            points.push(Point::new(log.name(), &partitions.to_string(), placed, plan)?);
        }
    }
    load::measure(context, &mut table, points).await?;
    Ok(table)
}
