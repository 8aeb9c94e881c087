//! `sluice send`: posts NDJSON files of events, resumable.
//!
//! One event a line, as in `events[]` of `POST /v1/events`. Batches go out in
//! order, one at a time; what the gateway wants again is sent again; what it
//! rejects is shown with file and line. After each batch the place reached is
//! kept in `FILE.sluice-sent`, so that an interrupted run goes on from there.
//! Should the last batch have arrived unnoticed, its events count as duplicates.

mod client;
mod place;
mod source;

use std::path::{Path, PathBuf};

use clap::Args;

use self::client::{Client, Delivery};
use self::place::Place;
use self::source::{Chunk, Lines};
use super::Failure;
use super::progress::Progress;

/// Arguments of `sluice send`.
#[derive(Debug, Args)]
pub struct SendArgs {
    /// NDJSON files, one event a line
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Where to send
    #[arg(long, env = "SLUICE_URL", default_value = "http://127.0.0.1:7080", value_name = "URL")]
    url: String,
    /// Write or server key of the app
    #[arg(long, env = "SLUICE_KEY", hide_env_values = true, value_name = "KEY")]
    key: String,
    /// Platform to put on the batches: jd, wx, my, tt, swan, qq, ks …
    #[arg(long, default_value = "", value_name = "NAME")]
    platform: String,
    /// Events in one batch
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u16).range(1..=500))]
    batch_events_max: u16,
    /// Give up on a batch after this many tries
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    attempts_max: u32,
    /// Begin at the first line even where an earlier run got further
    #[arg(long)]
    from_start: bool,
    /// Show at most this many rejected events; the rest is only counted
    #[arg(long, default_value_t = 20)]
    rejects_shown_max: u64,
}

/// What became of everything sent.
#[derive(Debug, Default)]
struct Totals {
    accepted: u64,
    duplicates: u64,
    rejected: u64,
}

/// Sends the files one after the other.
pub fn run(args: SendArgs) -> Result<(), Failure> {
    let runtime = crate::run::runtime().map_err(Failure::Failed)?;
    let client = Client::new(&args.url, &args.key, &args.platform, args.attempts_max)?;
    let mut totals = Totals::default();
    let result = runtime.block_on(async {
        for file in &args.files {
            send_file(&args, &client, file, &mut totals).await?;
        }
        Ok(())
    });
    let Totals { accepted, duplicates, rejected } = totals;
    println!("accepted {accepted}, duplicates {duplicates}, rejected {rejected}");
    result
}

async fn send_file(
    args: &SendArgs,
    client: &Client,
    file: &Path,
    totals: &mut Totals,
) -> Result<(), Failure> {
    let place = Place::of(file);
    let from = if args.from_start { 0 } else { place.read() };
    let mut lines = Lines::open(file, from)?;
    let template = "{msg} {bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta}";
    let mut bar =
        Progress::new(&file.display().to_string(), lines.bytes_total(), template, "bytes");
    if from > 0 {
        bar.say(&format!("{}: going on from byte {from}", file.display()));
    }
    while let Some(chunk) = lines.chunk(usize::from(args.batch_events_max))? {
        let delivery = client.deliver(&chunk, |wait, why| {
            let seconds = wait.as_secs_f64();
            bar.say(&format!("waiting {seconds:.1} s: {why}"));
        });
        let delivery = delivery.await.map_err(|failure| interrupted(file, &place, failure))?;
        show(args, file, &chunk, &delivery, totals, &bar);
        place.write(chunk.end).map_err(|error| {
            Failure::Failed(format!("cannot keep the place reached in {place}: {error}"))
        })?;
        bar.at(chunk.end);
    }
    bar.finish();
    place.remove();
    Ok(())
}

fn show(
    args: &SendArgs,
    file: &Path,
    chunk: &Chunk,
    delivery: &Delivery,
    totals: &mut Totals,
    bar: &Progress,
) {
    totals.accepted += delivery.accepted;
    totals.duplicates += delivery.duplicates;
    for reject in &delivery.rejects {
        totals.rejected += 1;
        if totals.rejected <= args.rejects_shown_max {
            let line = chunk.lines.get(reject.index).map_or(0, |line| line.number);
            let text = &reject.text;
            bar.say(&format!("{}:{line}: rejected: {text}", file.display()));
        }
    }
}

fn interrupted(file: &Path, place: &Place, failure: Failure) -> Failure {
    let (Failure::Usage(text) | Failure::Failed(text)) = failure;
    let shown = file.display();
    Failure::Failed(format!("{shown}: {text}\nrun the same command again to go on (see {place})"))
}
