//! `sluice doctor`: is this machine and this data directory fit to serve?

mod checks;

use clap::Args;
use sluice_embedded::log::RepairReport;

use super::{Failure, TargetArgs};
use crate::addresses::Addresses;
use crate::config::Config;
use crate::run::Layout;

/// Arguments of `sluice doctor`.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// Take damaged stretches out of the event log; they are kept beside it in `damaged/`
    #[arg(long)]
    repair_log: bool,
}

/// How a check went.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Finding {
    /// As it should be.
    Good(String),
    /// Works, but look at it.
    Doubtful(String),
    /// Does not work; what to do.
    Bad(String),
}

/// Runs all checks; fails where one is bad.
pub fn run(args: DoctorArgs) -> Result<(), Failure> {
    let loaded = Config::load(&args.target.as_target()).map_err(Failure::Usage)?;
    let config = loaded.config;
    let running = Addresses::of_running(&config.data_dir);
    if args.repair_log {
        if let Some(running) = running {
            let text = format!("process {} serves this directory: stop it first", running.pid);
            return Err(Failure::Usage(text));
        }
        return repair(&Layout::of(&config.data_dir));
    }
    let mut bad = 0;
    for (name, finding) in checks::all(&config, running.as_ref()) {
        let (mark, text) = match finding {
            Finding::Good(text) => ("ok  ", text),
            Finding::Doubtful(text) => ("look", text),
            Finding::Bad(text) => {
                bad += 1;
                ("BAD ", text)
            }
        };
        println!("{mark}  {name:<12} {text}");
    }
    if bad > 0 {
        return Err(Failure::Failed(format!("{bad} checks failed")));
    }
    Ok(())
}

fn repair(layout: &Layout) -> Result<(), Failure> {
    for dir in [layout.log(), layout.dead_letters()] {
        if !dir.exists() {
            continue;
        }
        let report = sluice_embedded::log::repair(&dir);
        let report = report.map_err(|error| Failure::Failed(error.to_string()))?;
        show(&dir.display().to_string(), &report);
    }
    Ok(())
}

fn show(dir: &str, report: &RepairReport) {
    println!("{dir}: {} segments, {} sound records", report.segments, report.records);
    for stretch in &report.stretches {
        let (path, position, bytes) = (stretch.path.display(), stretch.position, stretch.bytes);
        let lost = stretch.offsets_lost;
        println!("  {path}: {bytes} damaged bytes at {position}, {lost} records lost");
        if let Some(kept) = &stretch.kept_in {
            println!("    kept in {}", kept.display());
        }
    }
    if report.stretches.is_empty() {
        println!("  no damage");
    }
}
