//! Memory of remembered ids: gateways that may hold a million, five, twenty, and
//! have taken so many.

use std::time::Duration;

use super::context::{Bound, Context, LogOf, Placed, tell};
use super::table::Table;
use crate::drive::Plan;
use crate::drive::kind::Kind;
use crate::report::context::target;

const MILLIONS: [f64; 3] = [1.0, 5.0, 20.0];
const MILLIONS_QUICK: [f64; 2] = [0.05, 0.1];
/// Bytes that a gateway may use for each id that it is to hold.
const BYTES_AN_ID: f64 = 24.0;
/// Ids sent for each that is to be held: nearly every place is taken then.
const FILL: f64 = 1.3;
/// Longest for one gateway; what was remembered by then is what is measured.
const FILL_MAX: Duration = Duration::from_secs(45);
/// Ids that the gateway is given which others are held against: the least that
/// it may be told to hold.
const BYTES_LEAST: usize = 1 << 20;
const EVENTS_LEAST: f64 = 200_000.0;
const MIB: f64 = (1u64 << 20) as f64;

/// What one gateway says.
struct Seen {
    keys: f64,
    bytes: f64,
    resident_bytes: f64,
}

/// Measures it.
///
/// # Errors
/// What could not be started, or was not accepted; a metric that is missing.
pub async fn measure(context: &Context) -> Result<Table, String> {
    let note = "collector over a log that keeps nothing, after as many new ids as it may hold and \
                a third more; resident: beyond that of one that may hold 45,000";
    let mut table = Table::new("remembered", "remembered ids, millions", note);
    let all = if context.quick { &MILLIONS_QUICK[..] } else { &MILLIONS[..] };
    let mut rounds: Vec<Vec<Seen>> = all.iter().map(|_| Vec::new()).collect();
    for round in 1..=context.rounds {
        let least = fill(context, BYTES_LEAST, context.size(EVENTS_LEAST, 20_000.0)).await?;
        for (millions, seen) in all.iter().zip(&mut rounds) {
            let bytes_max = (millions * 1e6 * BYTES_AN_ID) as usize;
            let mut now = fill(context, bytes_max, millions * 1e6 * FILL).await?;
            now.resident_bytes -= least.resident_bytes;
            tell(
                table.axis,
                &format!(
                    "round {round} of {}: {:.2} million ids, {:.0} MiB resident for them",
                    context.rounds,
                    now.keys / 1e6,
                    now.resident_bytes / MIB
                ),
            );
            seen.push(now);
        }
    }
    for (millions, seen) in all.iter().zip(&rounds) {
        let value = millions.to_string();
        let mut add = |figure, of: fn(&Seen) -> f64| {
            table.add("collector", &value, figure, &seen.iter().map(of).collect::<Vec<_>>());
        };
        add("ids held, millions", |seen| seen.keys / 1e6);
        add("allocated, bytes/id", |seen| seen.bytes / seen.keys);
        add("allocated, MiB/million", |seen| seen.bytes / seen.keys * 1e6 / MIB);
        add("resident, MiB", |seen| seen.resident_bytes / MIB);
        add("resident, MiB/million", |seen| seen.resident_bytes / seen.keys * 1e6 / MIB);
    }
    Ok(table)
}

/// Sends new ids to a gateway of its own; what it holds then.
async fn fill(context: &Context, bytes_max: usize, ids: f64) -> Result<Seen, String> {
    let config = format!("[remember]\nbytes_max = {bytes_max}\n");
    let placed = context.collector(&LogOf::Null(4), context.cores.one(), &config)?;
    let mut plan = Plan::saturating(Kind::Json, 1);
    plan.batches_max = (ids / plan.batch as f64).ceil() as u64;
    plan.time = Bound::within(FILL_MAX).left();
    let outcome = plan.run(&target(&placed.gateway)?, |_, _| ()).await?;
    let (counts, batch) = (outcome.counts, plan.batch as u64);
    if counts.accepted != counts.batches * batch {
        let told = serde_json::to_string(&counts).unwrap_or_default();
        return Err(format!("not all ids were accepted: {told}"));
    }
    seen(&placed).await
}

async fn seen(placed: &Placed) -> Result<Seen, String> {
    let url = format!("{}/metrics", placed.gateway.admin);
    let client = reqwest::Client::builder().no_proxy().build().map_err(|e| e.to_string())?;
    let reply = client.get(&url).send().await.map_err(|error| format!("{url}: {error}"))?;
    let text = reply.text().await.map_err(|error| format!("{url}: {error}"))?;
    Ok(Seen {
        keys: value(&text, "sluice_remember_keys")?,
        bytes: value(&text, "sluice_remember_bytes")?,
        resident_bytes: placed.gateway.resident_bytes() as f64,
    })
}

/// The value of a metric without labels.
fn value(text: &str, name: &str) -> Result<f64, String> {
    let found = text.lines().find_map(|line| {
        let (of, value) = line.split_once(' ')?;
        (of == name).then(|| value.trim().parse().ok())?
    });
    found.ok_or_else(|| format!("the metric {name} is not there"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_found_by_its_whole_name() {
        let text = "# HELP sluice_remember_bytes x\nsluice_remember_bytes_max 1\n\
                    sluice_remember_bytes 24000\nsluice_remember_keys 1000\n";
        assert_eq!(value(text, "sluice_remember_bytes"), Ok(24_000.0));
        assert_eq!(value(text, "sluice_remember_keys"), Ok(1_000.0));
        assert!(value(text, "sluice_remember").is_err());
    }
}
