//! Lifecycle of a process: bind → build → ready → wait → drain.

mod banner;
mod embedded;
mod engine_metrics;
mod fallback;
mod hooks;
mod metrics;
mod node;
mod parts;
mod progress;
mod questions;
mod reload;
mod shared;
mod signals;
mod stores;

use std::time::Duration;

use tokio::runtime::{Builder, Runtime};

pub use embedded::Layout;
pub use hooks::Hooks;
pub use node::Node;
pub use parts::Parts;
pub use stores::{Logs, Stores};

use crate::cli::{Failure, RoleArgs};
use crate::config::Config;
use crate::logging;

/// Which parts a process runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Role {
    /// For logs and refusals.
    pub name: &'static str,
    /// Takes events.
    pub collect: bool,
    /// Brings the log into the stores.
    pub fan_out: bool,
    /// Answers questions.
    pub query: bool,
}

// === impl Role ===

impl Role {
    /// Everything.
    pub const SERVE: Self = Self { name: "serve", collect: true, fan_out: true, query: true };
    /// The collector only.
    pub const COLLECT: Self = Self { name: "collect", collect: true, fan_out: false, query: false };
    /// Fan out only.
    pub const FAN_OUT: Self = Self { name: "fan-out", collect: false, fan_out: true, query: false };
    /// The query API only.
    pub const QUERY: Self = Self { name: "query", collect: false, fan_out: false, query: true };
}

/// The runtime of a process.
pub fn runtime() -> Result<Runtime, String> {
    let built = Builder::new_multi_thread().enable_all().thread_name("sluice").build();
    built.map_err(|error| format!("cannot start threads: {error}"))
}

/// Runs a role until it is told to stop, or fails for good.
pub fn role(role: Role, args: &RoleArgs, hooks: Hooks) -> Result<(), Failure> {
    let loaded = Config::load(args).map_err(Failure::Usage)?;
    logging::start(&loaded.config.telemetry).map_err(Failure::Usage)?;
    let deadline = Duration::from_millis(loaded.config.drain.deadline_ms);
    let runtime = runtime().map_err(Failure::Failed)?;
    let result = runtime.block_on(async {
        let mut signals = signals::Signals::new().map_err(Failure::Failed)?;
        let (demo, tls) = (loaded.demo, loaded.config.wire.tls.is_some());
        let node = tokio::select! {
            node = Node::start_with(role, loaded, hooks) => node.map_err(Failure::Failed)?,
            () = signals.stop() => return Ok(()),
        };
        banner::print(role, &node.addresses(), tls, demo);
        let reload = reload::watch(args.clone(), node.parts());
        let ended = tokio::select! {
            why = node.fatal() => Err(Failure::Failed(why)),
            () = signals.stop() => Ok(()),
        };
        reload.abort();
        tokio::select! {
            () = node.drain() => ended,
            () = signals.stop() => Err(Failure::Failed("second signal: stopped at once".into())),
        }
    });
    // Blocking work that outlived the drain is cut off.
    runtime.shutdown_timeout(deadline.min(Duration::from_secs(2)));
    result
}
