//! The command line: what can be asked of the binary `sluice`.

mod dead_letters;
mod doctor;
mod progress;
mod remote;
mod replay;
mod send;
mod show_config;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

pub use dead_letters::DeadLettersArgs;
pub use doctor::DoctorArgs;
pub use replay::ReplayArgs;
pub use send::SendArgs;

use crate::run::{self, Hooks, Role};

/// Mini-program analytics gateway: takes batches of events over HTTP and gRPC,
/// counts each event once, keeps it, and answers what happened.
#[derive(Debug, Parser)]
#[command(name = "sluice", version, propagate_version = true, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run everything in one process: collect, fan out and query
    Serve(RoleArgs),
    /// Run the collector only: take events and append them to the log
    Collect(RoleArgs),
    /// Run fan out only: bring the log into the stores
    FanOut(RoleArgs),
    /// Run the query API only
    Query(RoleArgs),
    /// Print the effective config with the origin of every value; secrets are not shown
    Config(RoleArgs),
    /// Send events from NDJSON files, one event a line
    Send(SendArgs),
    /// Take a store back to an earlier place in the log and bring it up to date again
    Replay(ReplayArgs),
    /// Look at what a store refused for good, and hand it in again
    DeadLetters(DeadLettersArgs),
    /// Check data directory, ports, clock and disk; repair a damaged log
    Doctor(DoctorArgs),
}

/// Flags that every role takes.
#[derive(Debug, Clone, Default, Args)]
pub struct RoleArgs {
    /// Address for HTTP and gRPC; port 0 picks a free one [default: 127.0.0.1:7080]
    #[arg(long, env = "SLUICE_LISTEN", value_name = "ADDR:PORT")]
    pub listen: Option<SocketAddr>,
    /// Address for health, metrics and operations [default: 127.0.0.1:7081]
    #[arg(long, env = "SLUICE_ADMIN_LISTEN", value_name = "ADDR:PORT")]
    pub admin_listen: Option<SocketAddr>,
    /// Directory for log, stores and addresses.json [default: ./sluice-data]
    #[arg(long, env = "SLUICE_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Config file (TOML); without one there is one app, `demo`, on loopback only
    #[arg(long, env = "SLUICE_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Where a running process, or its data, is found.
#[derive(Debug, Clone, Default, Args)]
pub struct TargetArgs {
    /// Data directory of the process [default: ./sluice-data]
    #[arg(long, env = "SLUICE_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Config file of the process, where it has one
    #[arg(long, env = "SLUICE_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Why a command ends: usage (64), could not run (1).
#[derive(Debug)]
pub enum Failure {
    /// Config or arguments are wrong; nothing was started.
    Usage(String),
    /// It was started and failed.
    Failed(String),
}

// === impl Cli ===

impl Cli {
    /// Runs the command.
    pub fn run(self) -> ExitCode {
        self.run_with(Hooks::default())
    }

    /// Runs the command, with something between the parts of a role.
    pub fn run_with(self, hooks: Hooks) -> ExitCode {
        let result = match self.command {
            Command::Serve(args) => run::role(Role::SERVE, &args, hooks),
            Command::Collect(args) => run::role(Role::COLLECT, &args, hooks),
            Command::FanOut(args) => run::role(Role::FAN_OUT, &args, hooks),
            Command::Query(args) => run::role(Role::QUERY, &args, hooks),
            Command::Config(args) => show_config::run(&args),
            Command::Send(args) => send::run(args),
            Command::Replay(args) => replay::run(args),
            Command::DeadLetters(args) => dead_letters::run(args),
            Command::Doctor(args) => doctor::run(args),
        };
        match result {
            Ok(()) => ExitCode::SUCCESS,
            Err(Failure::Usage(text)) => {
                eprintln!("sluice: {text}");
                ExitCode::from(64)
            }
            Err(Failure::Failed(text)) => {
                eprintln!("sluice: {text}");
                ExitCode::FAILURE
            }
        }
    }
}

impl TargetArgs {
    /// As the flags of a role, ports as configured.
    pub(crate) fn as_target(&self) -> RoleArgs {
        let Self { data_dir, config } = self.clone();
        RoleArgs { data_dir, config, ..RoleArgs::default() }
    }

    /// As the flags of a role that listens on loopback ports of its own.
    pub(crate) fn as_role(&self) -> RoleArgs {
        RoleArgs {
            data_dir: self.data_dir.clone(),
            config: self.config.clone(),
            listen: Some(SocketAddr::from(([127, 0, 0, 1], 0))),
            admin_listen: Some(SocketAddr::from(([127, 0, 0, 1], 0))),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn every_command_and_flag_has_help() {
        let root = Cli::command();
        root.clone().debug_assert();
        for command in root.get_subcommands() {
            assert!(command.get_about().is_some(), "{} has no help", command.get_name());
            for argument in command.get_arguments() {
                assert!(argument.get_help().is_some(), "{}: {argument:?}", command.get_name());
            }
        }
    }
}
