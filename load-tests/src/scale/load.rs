//! Collectors under as much load as they take, each at one value of an axis.
//! Rounds go around all of them, so that what changes on the machine meanwhile
//! changes all alike.

use std::time::Duration;

use super::context::{Context, Placed, tell};
use super::table::Table;
use crate::drive::{Plan, Target};
use crate::report::context::target;

/// How long a round is.
const ROUND: Duration = Duration::from_secs(1);
const ROUND_QUICK: Duration = Duration::from_millis(100);
/// What CPU time of a process is counted in.
const TICK: Duration = Duration::from_millis(10);

/// A gateway at one value of the axis, and its load.
pub struct Point {
    series: &'static str,
    value: String,
    placed: Placed,
    target: Target,
    plan: Plan,
    /// Events a second by the wall, of each round.
    per_s: Vec<f64>,
    /// Events per CPU-second of the gateway, of each round.
    per_cpu_s: Vec<f64>,
}

// === impl Point ===

impl Point {
    /// Not yet under load; how long rounds are is not the plan's to say.
    ///
    /// # Errors
    /// Where the gateway's address is none.
    pub fn new(
        series: &'static str,
        value: &str,
        placed: Placed,
        plan: Plan,
    ) -> Result<Self, String> {
        let (target, value) = (target(&placed.gateway)?, value.to_owned());
        let (per_s, per_cpu_s) = (Vec::new(), Vec::new());
        Ok(Self { series, value, placed, target, plan, per_s, per_cpu_s })
    }

    /// The same with another write key.
    #[must_use]
    pub fn key(mut self, key: &str) -> Self {
        self.target.key = key.to_owned();
        self
    }

    async fn round(&self) -> Result<(f64, f64), String> {
        let before = self.placed.gateway.cpu();
        let outcome = self.plan.run(&self.target, |_, _| ()).await?;
        // A round that is too short to be seen took a tick of the clock.
        let cpu_s = (self.placed.gateway.cpu() - before).max(TICK).as_secs_f64();
        let counts = &outcome.counts;
        let sent = counts.batches * self.plan.batch as u64;
        if sent == 0 || counts.accepted != sent {
            let told = serde_json::to_string(counts).unwrap_or_default();
            let what = format!("{}, {}", self.series, self.value);
            return Err(format!("{what}: {sent} events sent, not all accepted: {told}"));
        }
        Ok((sent as f64 / outcome.took_s, sent as f64 / cpu_s))
    }
}

/// Puts all of them under load in turn, as often as there are rounds, after one
/// that warms caches and pages; two rows for each.
///
/// # Errors
/// Where not everything that was sent was accepted.
pub async fn measure(
    context: &Context,
    table: &mut Table,
    mut points: Vec<Point>,
) -> Result<(), String> {
    let rounds = context.rounds;
    for round in 0..=rounds {
        for point in &mut points {
            point.plan.time = context.size(ROUND, ROUND_QUICK);
            let (per_s, per_cpu_s) = point.round().await?;
            if round == 0 {
                continue;
            }
            let (series, value) = (point.series, &point.value);
            tell(
                table.axis,
                &format!(
                    "round {round} of {rounds}: {series}, {value}: {per_s:.0} events/s, \
                     {per_cpu_s:.0} events/CPU-s"
                ),
            );
            point.per_s.push(per_s);
            point.per_cpu_s.push(per_cpu_s);
        }
    }
    for point in points {
        table.add(point.series, &point.value, "events/s", &point.per_s);
        table.add(point.series, &point.value, "events/CPU-s", &point.per_cpu_s);
    }
    Ok(())
}
