//! The binary `sluice`.

use std::process::ExitCode;

use clap::Parser;
use sluice_server::cli::Cli;

fn main() -> ExitCode {
    Cli::parse().run()
}
