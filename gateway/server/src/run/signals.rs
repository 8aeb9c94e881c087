//! Signals: SIGTERM and SIGINT stop, SIGHUP is the reload's own business.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that stop a process.
pub struct Signals {
    term: Signal,
    interrupt: Signal,
}

// === impl Signals ===

impl Signals {
    /// Takes the signals over from their defaults.
    pub fn new() -> Result<Self, String> {
        let take = |kind| signal(kind).map_err(|error| format!("cannot take signals: {error}"));
        Ok(Self { term: take(SignalKind::terminate())?, interrupt: take(SignalKind::interrupt())? })
    }

    /// Resolves at the next of them.
    pub async fn stop(&mut self) {
        tokio::select! {
            _ = self.term.recv() => tracing::info!("SIGTERM: draining"),
            _ = self.interrupt.recv() => tracing::info!("SIGINT: draining"),
        }
    }
}
