//! A gateway's listener and collector over a log that keeps nothing, in a binary
//! whose allocator counts. It names another allocator than `sluice` and so stands
//! alone; how often is asked for memory does not depend on who gives it.
//!
//! The first line on stdout says where it listens; each line on stdin is
//! answered by allocations and their bytes since the start.

#[path = "../null.rs"]
#[allow(dead_code)] // the stores are for others
mod null;

use std::alloc::System;
use std::io::BufRead;
use std::process::ExitCode;
use std::sync::Arc;

use sluice_admit::{AppsConfig, Tenants};
use sluice_append::{Collect, CollectConfig};
use sluice_remember::{RememberConfig, Remembered};
use sluice_telemetry::{Registry, SystemClock};
use sluice_wire::{Fallback, Listener, ServeHandle, WireConfig};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Partitions of the log: as many as the embedded one has.
const PARTITIONS: u32 = 4;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sluice-counted: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let listening = runtime.block_on(serve())?;
    println!("http://{}", listening.local_addr());
    for line in std::io::stdin().lock().lines() {
        line.map_err(|error| error.to_string())?;
        let now = ALLOCATOR.stats();
        let grown = now.bytes_reallocated.max(0).unsigned_abs();
        println!("{} {}", now.allocations + now.reallocations, now.bytes_allocated + grown);
    }
    Ok(())
}

async fn serve() -> Result<ServeHandle, String> {
    let listen = ([127, 0, 0, 1], 0).into();
    let listener = Listener::bind(WireConfig { listen, ..WireConfig::default() });
    let listener = listener.map_err(|error| error.to_string())?;
    let (registry, clock) = (Registry::new(), Arc::new(SystemClock));
    let tenants = Tenants::new(AppsConfig::demo(), clock.clone(), &registry);
    let tenants = Arc::new(tenants.map_err(|problems| problems.join("\n"))?);
    let remembered = Remembered::new(RememberConfig::default(), &registry);
    let remembered = remembered.map_err(|error| error.to_string())?;
    let log = Arc::new(null::NullLog(PARTITIONS));
    let config = CollectConfig::default();
    let collect = Collect::new(config, tenants, remembered, log, clock, &registry);
    let collect = collect.map_err(|error| error.to_string())?;
    collect.warm(|_| {}).await.map_err(|error| error.to_string())?;
    Ok(listener.serve(Arc::new(collect), Fallback::not_found(), &registry))
}
