//! Composition: config, roles, lifecycle, admin API, command line.
//!
//! This is the one crate that names the adapters, reads the environment and
//! files, and knows in which order things start and stop. It knows no protocol
//! and decides no event's fate.

pub mod addresses;
pub mod admin;
pub mod cli;
pub mod config;
pub mod logging;
pub mod run;

/// Every binary that links this crate allocates with it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
