//! More distinct users: each has a first event, a timeline and a day of visit in
//! the stores, so that a gateway with all roles looks up and writes among as many
//! as there are. One gateway gets to know ever more of them.

use std::time::{Duration, Instant};

use super::context::{Bound, Context, LogOf, Placed, tell};
use super::table::Table;
use crate::drive::kind::Kind;
use crate::drive::shape::{Shape, Who};
use crate::drive::{Plan, Target};
use crate::gateway::settled;
use crate::report::context::target;

const USERS: [u64; 5] = [1_000, 10_000, 100_000, 1_000_000, 10_000_000];
const USERS_QUICK: [u64; 2] = [100, 1_000];
/// New users between two waits for the stores: those of about so many seconds,
/// within bounds that are whole batches.
const STEP_S: f64 = 5.0;
const STEP_LEAST: u64 = 10_000;
const STEP_MOST: u64 = 200_000;
const BATCH: u64 = 50;
/// Bytes of the event that makes a user known: what stores keep of a user does not
/// depend on it, how long it takes does.
const BARE_BYTES: usize = 200;
/// Events of a round.
const ROUND_EVENTS: u64 = 50_000;
const ROUND_EVENTS_QUICK: u64 = 1_000;
/// Longest for making users known; those that are known then are the last value.
const GROW_MAX: Duration = Duration::from_secs(450);
/// Longest for one run of the generator.
const RUN_MAX: Duration = Duration::from_secs(60);

/// A gateway with all roles, and the users it knows.
struct World {
    placed: Placed,
    target: Target,
    client: reqwest::Client,
    users: u64,
    /// Runs so far: each draws other users.
    runs: u64,
}

/// Measures it.
///
/// # Errors
/// What could not be started, or was not accepted or stored.
pub async fn measure(context: &Context) -> Result<Table, String> {
    let note = "all roles, embedded, on all cores, which the generator shares; JSON, 50 events a \
                batch, each of a user at random; until all are in the stores";
    let mut table = Table::new("users", "users in the stores", note);
    let cores = context.cores.all();
    let placed = context.gateway("serve", &LogOf::Embedded(4), &cores, "")?;
    let client = reqwest::Client::builder().no_proxy().build().map_err(|e| e.to_string())?;
    let mut world = World { target: target(&placed.gateway)?, placed, client, users: 0, runs: 0 };
    let bound = Bound::within(GROW_MAX);
    for users in if context.quick { &USERS_QUICK[..] } else { &USERS[..] } {
        world.grow(*users, bound).await?;
        let (mut per_s, mut per_cpu_s) = (Vec::new(), Vec::new());
        for round in 0..=context.rounds {
            let events = context.size(ROUND_EVENTS, ROUND_EVENTS_QUICK);
            let (wall, cpu) = world.send(events, Who::Any { of: world.users }, None).await?;
            // The first warms caches.
            if round == 0 {
                continue;
            }
            per_s.push(events as f64 / wall.as_secs_f64());
            // Too short to be seen took a tick of the clock.
            per_cpu_s.push(events as f64 / cpu.as_secs_f64().max(0.01));
            let (rounds, latest) = (context.rounds, per_s.last().copied().unwrap_or_default());
            let known = world.users;
            tell(
                "users",
                &format!("round {round} of {rounds}: {known} users: {latest:.0} events/s"),
            );
        }
        let value = world.users.to_string();
        table.add("all roles", &value, "events/s to the stores", &per_s);
        table.add("all roles", &value, "events/CPU-s to the stores", &per_cpu_s);
        let resident = world.placed.gateway.resident_bytes() as f64 / f64::from(1 << 20);
        table.add("all roles", &value, "resident, MiB", &[resident]);
        if world.users < *users {
            table.note.push_str(&format!("; {users} users were not known within {GROW_MAX:?}"));
            break;
        }
    }
    Ok(table)
}

/// How many users come next, where `new` took so long.
fn next_step(new: u64, took: Duration) -> u64 {
    let per_s = new as f64 / took.as_secs_f64().max(1e-3);
    ((per_s * STEP_S) as u64).clamp(STEP_LEAST, STEP_MOST) / BATCH * BATCH
}

// === impl World ===

impl World {
    /// One event each of as many new users as are missing, within the bound.
    async fn grow(&mut self, users: u64, bound: Bound) -> Result<(), String> {
        let mut step = STEP_LEAST;
        while self.users < users && !bound.over() {
            let new = (users - self.users).min(step);
            let (took, _) =
                self.send(new, Who::Fresh { from: self.users }, Some(BARE_BYTES)).await?;
            self.users += new;
            step = next_step(new, took);
            tell("users", &format!("{} of {users} users in the stores", self.users));
        }
        Ok(())
    }

    /// Sends events and waits until all are in the stores; time on the wall, and
    /// CPU time of the gateway.
    async fn send(
        &mut self,
        events: u64,
        who: Who,
        event_bytes: Option<usize>,
    ) -> Result<(Duration, Duration), String> {
        let mut plan = Plan::saturating(Kind::Json, 1);
        plan.batch = BATCH as usize;
        self.runs += 1;
        (plan.time, plan.seed) = (RUN_MAX, self.runs);
        plan.shape = Shape { who, event_bytes, ..Shape::USUAL };
        plan.batches_max = events.div_ceil(plan.batch as u64);
        let (begun, before) = (Instant::now(), self.placed.gateway.cpu());
        let outcome = plan.run(&self.target, |_, _| ()).await?;
        let (counts, wanted) = (outcome.counts, plan.batches_max * plan.batch as u64);
        if counts.accepted != wanted {
            let told = serde_json::to_string(&counts).unwrap_or_default();
            return Err(format!("{wanted} events sent, not all accepted: {told}"));
        }
        settled(&self.client, &self.placed.gateway.admin).await?;
        Ok((begun.elapsed(), self.placed.gateway.cpu() - before))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_whole_batches_and_neither_too_long_nor_too_short() {
        assert_eq!(next_step(10_000, Duration::from_secs(1)), 50_000);
        assert_eq!(next_step(10_000, Duration::from_secs(100)), STEP_LEAST);
        assert_eq!(next_step(10_000, Duration::from_millis(1)), STEP_MOST);
        assert_eq!(next_step(10_001, Duration::from_millis(999)) % BATCH, 0);
        let values = USERS.iter().chain(&USERS_QUICK).chain(&[ROUND_EVENTS, ROUND_EVENTS_QUICK]);
        assert!(values.into_iter().all(|events| events % BATCH == 0));
    }
}
