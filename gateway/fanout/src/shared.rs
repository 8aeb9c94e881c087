//! What the tasks of fan out share.

use std::sync::Arc;

use parking_lot::Mutex;
use sluice_seams::{DedupePartition, EventDocument, EventLog};
use sluice_telemetry::Clock;
use tokio::sync::{broadcast, watch};

use crate::config::FanOutConfig;
use crate::dead_letter::DeadLetters;
use crate::metrics::Metrics;
use crate::window::Window;

/// Shared by all tasks.
pub(crate) struct Shared {
    pub config: FanOutConfig,
    pub log: Arc<dyn EventLog>,
    pub dead_letters: Arc<DeadLetters>,
    pub clock: Arc<dyn Clock>,
    pub metrics: Metrics,
    /// First events as they are resolved, never those of a replay.
    pub live: broadcast::Sender<EventDocument>,
}

/// Shared by the resolver and the lanes of one partition.
pub(crate) struct Partition {
    pub id: u32,
    /// `D`. Only the resolver resolves and persists; lanes look up.
    pub index: Arc<Mutex<Box<dyn DedupePartition>>>,
    pub window: Window,
    /// Everything below was decided by `D`; no lane reads past it.
    pub resolved: watch::Sender<u64>,
    /// Everything below is durable in `D`; no lane commits past it.
    pub persisted: watch::Sender<u64>,
    /// The resolver has ended, after a last persist.
    pub ended: watch::Sender<bool>,
}

// === impl Partition ===

impl Partition {
    /// Resolves from `at` on.
    pub(crate) fn new(
        id: u32,
        index: Box<dyn DedupePartition>,
        at: u64,
        window_bytes_max: usize,
        lanes: usize,
    ) -> Self {
        Self {
            id,
            index: Arc::new(Mutex::new(index)),
            window: Window::new(window_bytes_max, at, lanes),
            resolved: watch::channel(at).0,
            persisted: watch::channel(at).0,
            ended: watch::channel(false).0,
        }
    }
}
