//! The binary `sluice`, with faults between its parts where the environment asks
//! for them: `SLUICE_FAULT` (see `load_tests::faults`) and `SLUICE_DISK_FAULT`
//! (see `load_tests::disk`). Without them it is
//! `sluice`.

use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use load_tests::disk::FaultyDisk;
use load_tests::faults::{Fault, FaultyDedupe, FaultyDocuments, FaultyLog};
use sluice_server::cli::Cli;
use sluice_server::run::Hooks;

fn main() -> ExitCode {
    match hooks() {
        Ok(hooks) => Cli::parse().run_with(hooks),
        Err(error) => {
            eprintln!("sluice-faulty: {error}");
            ExitCode::from(64)
        }
    }
}

#[allow(clippy::disallowed_methods)] // faults are the environment's business, not the config's
fn hooks() -> Result<Hooks, String> {
    let mut hooks = Hooks::default();
    if let Ok(text) = std::env::var("SLUICE_FAULT") {
        let fault: Fault = text.parse()?;
        let (log_fault, store_fault, dedupe_fault) = (fault.clone(), fault.clone(), fault);
        hooks.log = Arc::new(move |log| Arc::new(FaultyLog(log, log_fault.clone())));
        hooks.documents =
            Arc::new(move |store| Arc::new(FaultyDocuments(store, store_fault.clone())));
        hooks.dedupe = Arc::new(move |index| Arc::new(FaultyDedupe(index, dedupe_fault.clone())));
    }
    if let Ok(text) = std::env::var("SLUICE_DISK_FAULT") {
        hooks.disk = Arc::new(text.parse::<FaultyDisk>()?);
    }
    Ok(hooks)
}
