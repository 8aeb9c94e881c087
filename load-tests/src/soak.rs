//! `load-tests soak`: a mixed load for a long time over one data directory. In the
//! first half the gateway is stopped or killed again and again; the second half
//! runs through, and there its memory must stay flat. Every acknowledged event
//! must be in the log exactly once at each end of the gateway.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use crate::check::against_log;
use crate::check::readback::Place;
use crate::children::{self, LogKind};
use crate::drive::command::{readable, time};
use crate::drive::forge::Mix;
use crate::drive::kind::Kind;
use crate::drive::shape::Shape;
use crate::drive::tally::{Counts, Second};
use crate::drive::{Outcome, Plan, Target};
use crate::gateway::Gateway;
use crate::report::figure::median;

/// Ends of the gateway in the first half: by SIGTERM and SIGKILL in turn.
const RESTARTS: u32 = 5;
/// Each part of a soak is of the next of them; kills come in the second and the
/// fourth.
const KINDS: [Kind; 12] = [
    Kind::Json,
    Kind::GrpcStream,
    Kind::Sensors,
    Kind::OtlpGrpc,
    Kind::JsonGzip,
    Kind::DataRangers,
    Kind::Segment,
    Kind::Grpc,
    Kind::OtlpJson,
    Kind::CloudEvents,
    Kind::Protobuf,
    Kind::OtlpProtobuf,
];
/// Rounds of the second half, at most; each has a part of every kind, so that a
/// fifth of the time is like any other.
const ROUNDS_MAX: u32 = 5;
/// A part of the second half takes no less, as long as one round fits.
const PART_MIN: Duration = Duration::from_secs(2);
/// A kill comes when so much of a part has passed, in percent.
const KILL_AT_PERCENT: u32 = 80;
/// Memory of the last fifth of the second half by that of its second fifth (the
/// first fills caches), at most.
const GROWTH_MAX: f64 = 1.15;
/// Growth below this is noise of the allocator, bytes.
const NOISE_BYTES: f64 = 16.0 * MIB;
const MIB: f64 = (1u64 << 20) as f64;

/// A mixed load with restarts.
#[derive(Debug, Args)]
pub struct SoakArgs {
    /// How long: 10m, 1h
    #[arg(long = "for", default_value = "10m", value_parser = time, value_name = "TIME")]
    time: Duration,
    /// Events a second
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(50..=100_000))]
    rate: u32,
    /// The same seed gives the same users, pages and faults
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// Keep everything there, in a new folder; otherwise it is removed
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

/// A soak that goes on.
struct Soak {
    data_dir: PathBuf,
    ledgers: PathBuf,
    other: Option<usize>,
    rate: f64,
    seed: u64,
    /// Parts that were run.
    parts: u64,
}

/// How a part ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// SIGTERM, once all is answered.
    Stop,
    /// SIGKILL, under load.
    Kill,
}

/// Rounds over all kinds in the second half.
fn rounds(half: Duration) -> u32 {
    let round = PART_MIN * KINDS.len() as u32;
    ((half.as_secs_f64() / round.as_secs_f64()) as u32).clamp(1, ROUNDS_MAX)
}

/// Whether memory stayed flat: resident bytes of each second, in order; and in
/// words.
///
/// The median of the last fifth is held against that of the second.
fn flat(resident: &[f64]) -> (bool, String) {
    let fifth = resident.len() / 5;
    if fifth == 0 {
        return (false, "memory was not seen often enough: five seconds are needed".to_owned());
    }
    let early = median(&resident[fifth..fifth * 2]);
    let late = median(&resident[resident.len() - fifth..]);
    let flat = late <= early * GROWTH_MAX || late - early <= NOISE_BYTES;
    let words = format!("memory: {:.0} MiB early, {:.0} MiB at the end", early / MIB, late / MIB);
    (flat, words)
}

// === impl SoakArgs ===

impl SoakArgs {
    /// Runs it; the gateway keeps to `other`.
    ///
    /// # Errors
    /// Where an acknowledged event is missing or there twice, memory grew, or a
    /// gateway did not start or end as it should.
    pub async fn run(self, other: Option<usize>) -> Result<(), String> {
        let own = tempfile::tempdir().map_err(|error| error.to_string())?;
        let dir = self.keep.unwrap_or_else(|| own.path().to_owned());
        let mut soak = Soak {
            data_dir: dir.join("data"),
            ledgers: dir.join("ledgers"),
            other,
            rate: self.rate.into(),
            seed: self.seed,
            parts: 0,
        };
        for end in [End::Stop, End::Kill].into_iter().cycle().take(RESTARTS as usize) {
            let gateway = soak.start()?;
            let part = soak.part(self.time / 2 / RESTARTS);
            let (ledger, outcome) = soak.until(&part, gateway, end).await?;
            eprint!("{}", readable(&outcome));
            soak.holds(&[ledger]).await?;
        }
        let (gateway, mut resident, mut ledgers) = (soak.start()?, Vec::new(), Vec::new());
        let parts = KINDS.len() as u32 * rounds(self.time / 2);
        for _ in 0..parts {
            let part = soak.part(self.time / 2 / parts);
            let look =
                |_: &Counts, _: Option<&Second>| resident.push(gateway.resident_bytes() as f64);
            let outcome = part.run(&address(&gateway)?, look).await?;
            // A part may be shorter than the time between two looks.
            resident.push(gateway.resident_bytes() as f64);
            eprint!("{}", readable(&outcome));
            complete(&outcome)?;
            ledgers.extend(part.ledger);
        }
        if !tokio::task::block_in_place(|| gateway.stop()) {
            return Err("the gateway did not stop cleanly at the end".to_owned());
        }
        soak.holds(&ledgers).await?;
        let (flat, words) = flat(&resident);
        println!("{words}");
        if flat { Ok(()) } else { Err("memory did not stay flat".to_owned()) }
    }
}

// === impl Soak ===

impl Soak {
    fn start(&self) -> Result<Gateway, String> {
        let start = || children::gateway("serve", LogKind::Real, self.other, &self.data_dir, &[]);
        tokio::task::block_in_place(start)
    }

    /// The next part: another kind, other events.
    fn part(&mut self, time: Duration) -> Plan {
        let number = self.parts;
        self.parts += 1;
        Plan {
            kind: KINDS[number as usize % KINDS.len()],
            rate: Some(self.rate),
            time,
            batches_max: u64::MAX,
            connections: 32,
            batch: 50,
            mix: Mix::REAL,
            seed: self.seed + number,
            shape: Shape::USUAL,
            ledger: Some(self.ledgers.join(format!("part-{number:03}"))),
        }
    }

    /// Runs a part and ends the gateway.
    async fn until(
        &self,
        part: &Plan,
        gateway: Gateway,
        end: End,
    ) -> Result<(PathBuf, Outcome), String> {
        let target = address(&gateway)?;
        let outcome = match end {
            End::Stop => {
                let outcome = part.run(&target, |_, _| ()).await?;
                complete(&outcome)?;
                match tokio::task::block_in_place(|| gateway.stop()) {
                    true => outcome,
                    false => return Err("the gateway did not stop cleanly".to_owned()),
                }
            }
            End::Kill => {
                let killed = async {
                    tokio::time::sleep(part.time * KILL_AT_PERCENT / 100).await;
                    tokio::task::block_in_place(|| gateway.kill());
                };
                let (outcome, ()) = tokio::join!(part.run(&target, |_, _| ()), killed);
                outcome?
            }
        };
        let ledger = part.ledger.clone().ok_or("a part has a ledger")?;
        Ok((ledger, outcome))
    }

    /// Holds ledgers against the log, whose gateway has ended.
    async fn holds(&self, ledgers: &[impl AsRef<Path>]) -> Result<(), String> {
        let verdicts = against_log(ledgers, &Place::Embedded(self.data_dir.clone())).await?;
        for verdict in &verdicts {
            println!("{}", verdict.words());
            if !verdict.clean() {
                return Err("an acknowledgement does not hold".to_owned());
            }
        }
        Ok(())
    }
}

/// A gateway that was not killed answers everything.
fn complete(outcome: &Outcome) -> Result<(), String> {
    match &outcome.counts.lost_why {
        None => Ok(()),
        Some(why) => Err(format!("{} batches got no answer: {why}", outcome.counts.lost)),
    }
}

fn address(gateway: &Gateway) -> Result<Target, String> {
    gateway.http.parse()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_are_as_many_as_are_worth_while() {
        assert_eq!(rounds(Duration::from_secs(300)), 5);
        assert_eq!(rounds(Duration::from_secs(72)), 3);
        assert_eq!(rounds(Duration::from_secs(1)), 1);
        assert!(Kind::ALL.iter().all(|kind| KINDS.contains(kind)), "each kind has its turn");
    }

    #[test]
    fn memory_that_grows_is_seen_and_noise_is_not() {
        let seconds = |at: fn(f64) -> f64| (0..100).map(|n| at(f64::from(n))).collect::<Vec<_>>();
        assert!(flat(&seconds(|n| (300.0 + n % 7.0) * MIB)).0);
        assert!(flat(&seconds(|n| (20.0 + n / 10.0) * MIB)).0, "10 MiB more");
        assert!(!flat(&seconds(|n| (300.0 + n) * MIB)).0, "300 to 400 MiB");
        assert!(!flat(&[1.0; 4]).0, "too few to say");
    }
}
