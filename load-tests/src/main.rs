//! The binary `load-tests`: load, its limits, and the report of both.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use load_tests::check::CheckArgs;
use load_tests::children::{GatewayArgs, SinkArgs};
use load_tests::drive::command::DriveArgs;
use load_tests::limits::LimitsArgs;
use load_tests::measure::{pin_apart, pin_where};
use load_tests::peers::PeersArgs;
use load_tests::report::ReportArgs;
use load_tests::scale::{Cores, ScaleArgs};
use load_tests::soak::SoakArgs;
use tokio::runtime::Builder;

/// How fast Sluice is, against what limit, and what breaks first.
#[derive(Parser)]
#[command(name = "load-tests", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Put load on a running gateway by a schedule that does not wait for it
    Drive(DriveArgs),
    /// Hold what `drive` was told against what is in the log
    Check(CheckArgs),
    /// Measure the floor of each step on this machine
    Limits(LimitsArgs),
    /// Measure every figure beside its limit, in one run
    Report(ReportArgs),
    /// Measure Bento and the OpenTelemetry Collector beside Sluice, in one run
    Peers(PeersArgs),
    /// Measure along one axis at a time: cores, partitions, sizes, users, days …
    Scale(ScaleArgs),
    /// Mixed load with restarts for a long time: nothing lost, memory flat
    Soak(SoakArgs),
    /// Run a gateway for a measurement: `sluice` with another log, on one core
    #[command(hide = true)]
    Gateway(GatewayArgs),
    /// Run a bare server that reads bodies and answers, for a measurement
    #[command(hide = true)]
    Sink(SinkArgs),
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Drive(args) => block_on(args.run()),
        Command::Check(args) => block_on(args.run()),
        // Before there are threads: they keep to the core of the one that starts them.
        Command::Limits(args) => pin_apart().and_then(|other| block_on(args.run(other))),
        Command::Report(args) => pin_apart().and_then(|other| block_on(args.run(other))),
        Command::Peers(args) => pin_apart().and_then(|other| block_on(args.run(other))),
        Command::Scale(args) => Cores::split().and_then(|cores| block_on(args.run(cores))),
        Command::Soak(args) => pin_apart().and_then(|other| block_on(args.run(other))),
        Command::Gateway(args) => return args.run(),
        Command::Sink(args) => pin_where(args.core).and_then(|()| block_on(args.run())),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("load-tests: {error}");
            ExitCode::FAILURE
        }
    }
}

fn block_on(work: impl Future<Output = Result<(), String>>) -> Result<(), String> {
    let runtime = Builder::new_multi_thread().enable_all().build();
    runtime.map_err(|error| format!("cannot start threads: {error}"))?.block_on(work)
}
