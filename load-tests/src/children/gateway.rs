//! `load-tests gateway`: the binary `sluice`, whose log may be another and which
//! keeps to one core.

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Parser, ValueEnum};
use sluice_server::cli::Cli;
use sluice_server::run::Hooks;

use crate::measure::pin_to;
use crate::null::NullLog;

/// Partitions of the log that keeps nothing: as many as the embedded one has.
pub const PARTITIONS: u32 = 4;

/// Which log a gateway stands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogKind {
    /// As configured
    Real,
    /// One that acknowledges at once and keeps nothing
    Null,
}

/// A gateway for a measurement.
#[derive(Debug, Args)]
pub struct GatewayArgs {
    /// The event log
    #[arg(long, value_enum, default_value = "real")]
    log: LogKind,
    /// Partitions of the log that keeps nothing
    #[arg(long, default_value_t = PARTITIONS)]
    partitions: u32,
    /// Keep to these cores
    #[arg(long, value_delimiter = ',')]
    core: Vec<usize>,
    /// What `sluice` is told: a role and its flags
    #[arg(last = true)]
    arguments: Vec<OsString>,
}

// === impl LogKind ===

impl LogKind {
    /// Its word on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Real => "real",
            Self::Null => "null",
        }
    }
}

// === impl GatewayArgs ===

impl GatewayArgs {
    /// Runs until it is told to stop.
    pub fn run(self) -> ExitCode {
        if let Err(error) = pin_to(&self.core) {
            eprintln!("load-tests gateway: {error}");
            return ExitCode::FAILURE;
        }
        let mut hooks = Hooks::default();
        if self.log == LogKind::Null {
            let partitions = self.partitions;
            hooks.log = Arc::new(move |_| Arc::new(NullLog(partitions)));
        }
        let arguments = std::iter::once("sluice".into()).chain(self.arguments);
        Cli::parse_from(arguments).run_with(hooks)
    }
}
