//! A running process: bind → build → serve → drain.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use sluice_wire::{BindError, Listener, ServeHandle, WireConfig};
use tokio::task::JoinHandle;

use super::hooks::Hooks;
use super::{Parts, Role, fallback};
use crate::addresses::{AddressFile, Addresses};
use crate::admin::{self, AdminState, Phase, Readiness};
use crate::config::{Config, Loaded};

/// How often retention of the log is looked at.
const HOUSEKEEP_INTERVAL: Duration = Duration::from_secs(30);

/// A running process.
pub struct Node {
    addresses: Addresses,
    parts: Arc<Parts>,
    readiness: Arc<Readiness>,
    serving: Mutex<Option<ServeHandle>>,
    tasks: Vec<JoinHandle<()>>,
    deadline: Duration,
    /// Removed when dropped.
    file: Mutex<Option<AddressFile>>,
}

// === impl Node ===

impl Node {
    /// Starts a role without faults between its parts.
    pub async fn start(role: Role, loaded: Loaded) -> Result<Self, String> {
        Self::start_with(role, loaded, Hooks::default()).await
    }

    /// Binds every port first, so that a taken one fails at once and with one
    /// clear line; builds; serves; says where.
    pub async fn start_with(role: Role, loaded: Loaded, hooks: Hooks) -> Result<Self, String> {
        let config = loaded.config;
        let listener = bind(&config)?;
        let admin_listener = admin::bind(config.admin_listen).await?;
        let addresses = Addresses {
            http: listener.local_addr(),
            admin: admin_listener.local_addr().map_err(|error| format!("admin: {error}"))?,
            pid: std::process::id(),
        };
        let readiness = Arc::new(Readiness::default());
        let state =
            AdminState { readiness: Arc::clone(&readiness), parts: Arc::new(OnceLock::new()) };
        let admin_task = admin::serve(admin_listener, state.clone());
        let parts = match Parts::build(role, config.clone(), &hooks).await {
            Ok(parts) => Arc::new(parts),
            Err(error) => {
                admin_task.abort();
                return Err(error);
            }
        };
        // Set once, here.
        let _ = state.parts.set(Arc::clone(&parts));
        let serving = fallback::serve(listener, &parts);
        let housekeeping = tokio::spawn(housekeep(Arc::clone(&parts)));
        readiness.set(Phase::Running);
        let file = addresses
            .publish(&config.data_dir)
            .map_err(|error| format!("cannot write addresses.json: {error}"))?;
        Ok(Self {
            addresses,
            parts,
            readiness,
            serving: Mutex::new(Some(serving)),
            tasks: vec![admin_task, housekeeping],
            deadline: Duration::from_millis(config.drain.deadline_ms),
            file: Mutex::new(Some(file)),
        })
    }

    /// Where it listens.
    pub fn addresses(&self) -> Addresses {
        self.addresses.clone()
    }

    /// What it runs.
    pub fn parts(&self) -> Arc<Parts> {
        Arc::clone(&self.parts)
    }

    /// Resolves with the reason once a part has failed for good.
    pub async fn fatal(&self) -> String {
        let fan_out = async {
            match &self.parts.fan_out {
                Some(fan_out) => fan_out.fatal().await.to_string(),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            why = fan_out => why,
            why = self.log_poisoned() => why,
        }
    }

    async fn log_poisoned(&self) -> String {
        loop {
            tokio::time::sleep(Duration::from_millis(200)).await;
            if let Some(why) = self.parts.stores.logs.poisoned() {
                return why;
            }
        }
    }

    /// Ordered and bounded: unready → stop accepting → finish bodies and appends
    /// → finish batches, commit → close → remove the addresses.
    pub async fn drain(&self) {
        self.readiness.set(Phase::Draining);
        let begun = Instant::now();
        let left = || self.deadline.saturating_sub(begun.elapsed()).max(Duration::from_millis(50));
        let serving = self.serving.lock().take();
        if let Some(serving) = serving {
            // Half of the time at most: the stores need theirs.
            let drained = serving.drain(left() / 2).await;
            tracing::info!(?drained, "listener closed");
        }
        // Not before: bodies on their way in are finished and taken, not refused.
        if let Some(collect) = &self.parts.collect {
            collect.drain();
        }
        self.parts.close(left()).await;
        self.file.lock().take();
        self.tasks.iter().for_each(JoinHandle::abort);
        tracing::info!(elapsed_ms = begun.elapsed().as_millis() as u64, "drained");
    }
}

fn bind(config: &Config) -> Result<Listener, String> {
    let wire = WireConfig { listen: config.listen, ..config.wire.clone() };
    Listener::bind(wire).map_err(|error| match error {
        BindError::Bind { .. } => {
            format!("{error}; choose another with --listen, 0 as port picks one")
        }
        _ => error.to_string(),
    })
}

async fn housekeep(parts: Arc<Parts>) {
    loop {
        let parts = Arc::clone(&parts);
        // A panic there would be logged by the runtime; the next turn tries again.
        let _ = tokio::task::spawn_blocking(move || parts.stores.logs.housekeep()).await;
        tokio::time::sleep(HOUSEKEEP_INTERVAL).await;
    }
}
