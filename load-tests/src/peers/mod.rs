//! `load-tests peers`: the same load on other collectors, interleaved with ours.
//!
//! One rule for all: batches of 50 events over HTTP, answered 200 only once the
//! broker has acknowledged them (`acks=all`, idempotent, lz4), one core for the
//! collector and another for who asks. What is compared is events by the CPU time
//! of the collector's process; a figure is void unless, read back, each event that
//! was acknowledged is in its topic exactly once.

mod bodies;
mod build;
mod carried;
mod line;
mod page;
mod process;
mod row;
mod system;

use std::path::PathBuf;

use clap::Args;

use crate::report::context::Context;
use build::{binary, sources};
use page::page;
use row::Row;
use system::{MODULES, SYSTEMS, System};

/// Measures others beside Sluice.
#[derive(Debug, Args)]
pub struct PeersArgs {
    /// Write the table there; without it to peers.md in the load tests' source, where
    /// everything was measured
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Keep the peers' binaries there
    #[arg(long, value_name = "DIR", default_value_os_t = std::env::temp_dir().join("sluice-peers"))]
    build_dir: PathBuf,
    /// Only systems whose name holds this
    #[arg(long, value_name = "NAME", default_value = "")]
    only: String,
    /// Rounds of each, after one that warms up
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u8).range(1..=50))]
    rounds: u8,
    /// Small rounds, to see that all of it works: the figures say little
    #[arg(long)]
    quick: bool,
}

// === impl PeersArgs ===

impl PeersArgs {
    /// Builds, measures, writes the table; collectors run on `other`.
    ///
    /// # Errors
    /// What cannot be built or started; where a figure is void.
    pub async fn run(self, other: Option<usize>) -> Result<(), String> {
        let wanted = |system: &System| system.name.contains(&self.only);
        let systems: Vec<System> = SYSTEMS.into_iter().filter(wanted).collect();
        if systems.is_empty() {
            let names = SYSTEMS.map(|system| system.name).join("; ");
            return Err(format!("--only {}: there are {names}", self.only));
        }
        for (peer, _) in MODULES {
            if systems.iter().any(|system| system.kind.folder() == Some(peer)) {
                tokio::task::block_in_place(|| binary(peer, &self.build_dir))?;
            }
        }
        let context = Context::new(self.quick, other, true)?;
        let brokers = context.brokers()?.to_owned();
        let mut rows = Vec::new();
        for system in systems {
            rows.push(Row::start(system, &context, &self.build_dir).await?);
        }
        for round in 0..=self.rounds {
            eprintln!("round {round} of {}", self.rounds);
            for row in &mut rows {
                row.round(round, self.quick).await;
            }
        }
        let rows: Vec<_> = tokio::task::block_in_place(|| {
            rows.into_iter().map(|row| row.finish(&brokers)).collect()
        });
        let text = page(&rows, self.rounds);
        println!("{text}");
        let whole = self.only.is_empty() && !self.quick;
        let out = self.out.or_else(|| whole.then(|| sources().with_extension("md")));
        if let Some(path) = out {
            std::fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
        }
        match rows.iter().filter(|row| row.value.is_err()).count() {
            0 => Ok(()),
            void => Err(format!("void figures: {void} of {}", rows.len())),
        }
    }
}
