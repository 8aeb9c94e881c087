//! `load-tests drive`: one run, watched and reported.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::forge::Mix;
use super::kind::Kind;
use super::plot;
use super::shape::Shape;
use super::tally::{Counts, Second};
use super::{Outcome, Plan, Target};

/// Load on a running gateway.
#[derive(Debug, Args)]
pub struct DriveArgs {
    /// The gateway: http://HOST:PORT
    #[arg(long, default_value = "http://127.0.0.1:7080", value_name = "URL")]
    target: Target,
    /// Write key
    #[arg(long, default_value = "demo-write-key", env = "SLUICE_KEY", hide_env_values = true)]
    key: String,
    /// The Sensors project, which stands in place of a key there
    #[arg(long, default_value = "default", value_name = "NAME", value_parser = project)]
    sensors_project: String,
    /// The app in DataRangers bodies, which stands in place of a key there
    #[arg(long, default_value_t = 10_001, value_name = "NUMBER")]
    datarangers_app_id: u64,
    /// In which form events are handed in
    #[arg(long, value_enum, default_value = "json")]
    kind: Kind,
    /// Events a second, whatever the gateway does; `max`: as fast as answers come
    #[arg(long, default_value = "10000", value_parser = rate)]
    rate: Rate,
    /// How long: 500ms, 30s, 10m, 1h
    #[arg(long = "for", default_value = "30s", value_parser = time, value_name = "TIME")]
    time: Duration,
    /// Connections; over HTTP each has one request under way
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    connections: u32,
    /// Events of a batch
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    batch: u16,
    /// The same seed gives the same users, pages and faults
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// Only new, valid events on time: no resends, bad events or wrong clocks
    #[arg(long)]
    clean: bool,
    /// Write intents and answers there, for `check`
    #[arg(long, value_name = "DIR")]
    ledger: Option<PathBuf>,
    /// Write the report there as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Draw latency over time there
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

/// Events a second; none: as fast as answers come.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Rate(Option<f64>);

fn rate(text: &str) -> Result<Rate, String> {
    if text == "max" {
        return Ok(Rate(None));
    }
    let rate = text.replace('_', "").parse().ok().filter(|rate| (1.0..=1e8).contains(rate));
    rate.map(|rate| Rate(Some(rate))).ok_or_else(|| "allowed is 1 to 100_000_000, or `max`".into())
}

fn project(text: &str) -> Result<String, String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let fits = !text.is_empty() && text.bytes().all(plain);
    let allowed = "allowed are letters, digits, - _ and .: it stands in a URL";
    if fits { Ok(text.to_owned()) } else { Err(allowed.to_owned()) }
}

/// Reads `500ms`, `30s`, `10m` or `1h`; a day at most.
///
/// # Errors
/// What is allowed.
pub fn time(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|sign: char| sign.is_ascii_alphabetic());
    let unit_ms = match &text[digits.len()..] {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err("allowed is a number with ms, s, m or h".into()),
    };
    let ms = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(unit_ms));
    let ms = ms.filter(|ms| (1..=86_400_000).contains(ms));
    ms.map(Duration::from_millis).ok_or_else(|| "allowed is 1ms to 24h".into())
}

// === impl DriveArgs ===

impl DriveArgs {
    /// Runs it; prints and writes what came of it.
    ///
    /// # Errors
    /// Where nothing was answered, or a file cannot be written.
    pub async fn run(self) -> Result<(), String> {
        let plan = Plan {
            kind: self.kind,
            rate: self.rate.0,
            time: self.time,
            batches_max: u64::MAX,
            connections: self.connections as usize,
            batch: self.batch.into(),
            mix: if self.clean { Mix::CLEAN } else { Mix::REAL },
            seed: self.seed,
            shape: Shape::USUAL,
            ledger: self.ledger,
        };
        let target = Target {
            key: self.key,
            sensors_project: self.sensors_project,
            datarangers_app_id: self.datarangers_app_id,
            ..self.target
        };
        let live = std::io::stderr().is_terminal();
        let batch = u64::from(self.batch);
        let mut before = Counts::default();
        let outcome = plan.run(&target, |counts, second| {
            tell(live, batch, counts, &before, second);
            before = counts.clone();
        });
        let outcome = outcome.await?;
        if live {
            eprintln!();
        }
        print!("{}", readable(&outcome));
        let write = |path: &PathBuf, text: String| {
            std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
        };
        if let Some(path) = &self.json {
            let text = serde_json::to_string_pretty(&outcome).map_err(|error| error.to_string())?;
            write(path, text)?;
        }
        if let Some(path) = &self.svg {
            let title = format!("{} at {target}: latency by second", outcome.plan.kind.name());
            write(path, plot::svg(&title, &outcome.seconds))?;
        }
        if outcome.counts.batches == outcome.counts.lost {
            let why = outcome.counts.lost_why.unwrap_or_else(|| "nothing was sent".to_owned());
            return Err(format!("{target} answered nothing: {why}"));
        }
        Ok(())
    }
}

/// One line a second: over itself on a terminal, below the last one elsewhere.
fn tell(live: bool, batch: u64, now: &Counts, before: &Counts, second: Option<&Second>) {
    let refused = |counts: &Counts| counts.refused.values().sum::<u64>() + counts.lost;
    let latency = second.map(|second| second.latency).unwrap_or_default();
    let line = format!(
        "{:>4} s  {:>9} events/s answered  {:>9} accepted/s  p50 {:.1} ms  p99 {:.1} ms  \
         refused or lost {}/s",
        second.map_or(0, |second| second.at_s + 1),
        (now.batches - before.batches) * batch,
        now.accepted + now.untold - before.accepted - before.untold,
        latency.p50_ms,
        latency.p99_ms,
        (refused(now) - refused(before)) * batch,
    );
    let mut out = std::io::stderr().lock();
    // Nobody may be reading.
    let _ = if live { write!(out, "\r{line:<110}") } else { writeln!(out, "{line}") };
    let _ = out.flush();
}

/// The report for people.
pub fn readable(outcome: &Outcome) -> String {
    let Outcome { plan, counts, latency, took_s, .. } = outcome;
    let offered = match plan.rate {
        Some(rate) => format!("{rate:.0} events/s offered"),
        None => "as fast as answers came".to_owned(),
    };
    let refused: Vec<String> =
        counts.refused.iter().map(|(code, batches)| format!("{batches} with {code}")).collect();
    let refused = if refused.is_empty() { "none".to_owned() } else { refused.join(", ") };
    let untold = match counts.untold {
        0 => String::new(),
        untold => {
            format!(", {untold} done ({:.0}/s) without a word of how", untold as f64 / took_s)
        }
    };
    let mut text = format!(
        "{} over {} connections, {} events a batch, {offered}, {took_s:.1} s\n\
         events    {} accepted ({:.0}/s), {} duplicates, {} rejected, {} wanted again{untold}\n\
         batches   {} answered; refused: {refused} ({} said when to come again); lost: {}\n\
         latency   p50 {:.2} ms, p90 {:.2} ms, p99 {:.2} ms, p99.9 {:.2} ms, max {:.2} ms, from \
         when batches were due\n          {}\n",
        plan.kind.name(),
        plan.connections,
        plan.batch,
        counts.accepted,
        counts.accepted as f64 / took_s,
        counts.duplicates,
        counts.rejected,
        counts.retry,
        counts.batches - counts.lost,
        counts.refused_with_wait,
        counts.lost,
        latency.p50_ms,
        latency.p90_ms,
        latency.p99_ms,
        latency.p999_ms,
        latency.max_ms,
        plot::blocks(&outcome.seconds),
    );
    if let Some(why) = &counts.lost_why {
        text.push_str(&format!("lost      the first: {why}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_is_what_a_url_can_hold() {
        assert_eq!(project("shop-1"), Ok("shop-1".to_owned()));
        assert!(project("").is_err() && project("a&b=c").is_err());
    }

    #[test]
    fn rates_and_times_are_read_or_refused_with_what_is_allowed() {
        assert_eq!(rate("1_000_000"), Ok(Rate(Some(1e6))));
        assert_eq!(rate("max"), Ok(Rate(None)));
        assert!(rate("0").is_err() && rate("fast").is_err());
        assert_eq!(time("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(time("1h"), Ok(Duration::from_secs(3600)));
        for wrong in ["", "10", "0s", "25h", "1d", "s"] {
            assert!(time(wrong).is_err(), "{wrong}");
        }
    }
}
