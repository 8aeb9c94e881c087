//! One registry a process, handed down; never a global.

use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use prometheus_client::encoding::text;
use prometheus_client::registry::{Metric, Registry as Families};

/// Metric families of a process. Cloning shares them.
#[derive(Clone)]
pub struct Registry(Arc<Mutex<Families>>);

// === impl Registry ===

impl Registry {
    /// An empty registry.
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(Families::with_prefix("sluice"))))
    }

    /// Registers a family and returns it, for use as
    /// `let total = registry.register("append_events", "Events by fate", Family::default());`
    pub fn register<M: Metric + Clone>(&self, name: &str, help: &str, metric: M) -> M {
        self.0.lock().register(name, help, metric.clone());
        metric
    }

    /// The exposition text (OpenMetrics 1.0).
    pub fn encode(&self) -> Result<String, fmt::Error> {
        let mut out = String::new();
        text::encode(&mut out, &self.0.lock())?;
        Ok(out)
    }
}

impl Default for Registry {
    fn default() -> Self {
        Self::new()
    }
}
