//! One registry a process, handed down; never a global.

use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use prometheus_client::encoding::text;
use prometheus_client::registry::{Metric, Registry as Families};

/// Metric families of a process. Cloning shares them.
#[derive(Clone)]
pub struct Registry(Arc<Mutex<State>>);

struct State {
    families: Families,
    /// Name and help of each, as registered: also of those without a value yet.
    described: Vec<(String, String)>,
}

const PREFIX: &str = "sluice";

// === impl Registry ===

impl Registry {
    /// An empty registry.
    pub fn new() -> Self {
        let families = Families::with_prefix(PREFIX);
        Self(Arc::new(Mutex::new(State { families, described: Vec::new() })))
    }

    /// Registers a family and returns it, for use as
    /// `let total = registry.register("append_events", "Events by fate", Family::default());`
    pub fn register<M: Metric + Clone>(&self, name: &str, help: &str, metric: M) -> M {
        let mut state = self.0.lock();
        state.described.push((format!("{PREFIX}_{name}"), help.to_owned()));
        state.families.register(name, help, metric.clone());
        metric
    }

    /// The exposition text (OpenMetrics 1.0).
    pub fn encode(&self) -> Result<String, fmt::Error> {
        let mut out = String::new();
        text::encode(&mut out, &self.0.lock().families)?;
        Ok(out)
    }

    /// Name and help of every family, sorted, whether it has a value yet or not.
    pub fn described(&self) -> Vec<(String, String)> {
        let mut described = self.0.lock().described.clone();
        described.sort();
        described
    }
}

impl Default for Registry {
    fn default() -> Self {
        Self::new()
    }
}
