//! Places where a test puts something between the parts.

use std::sync::Arc;

use sluice_embedded::log::{DiskIo, RealDisk};
use sluice_seams::{DedupeIndex, DocumentStore, EventLog};

/// Wraps the event log.
pub type WrapLog = dyn Fn(Arc<dyn EventLog>) -> Arc<dyn EventLog> + Send + Sync;
/// Wraps the document store.
pub type WrapDocuments = dyn Fn(Arc<dyn DocumentStore>) -> Arc<dyn DocumentStore> + Send + Sync;
/// Wraps the dedupe index.
pub type WrapDedupe = dyn Fn(Arc<dyn DedupeIndex>) -> Arc<dyn DedupeIndex> + Send + Sync;

/// What stands between the parts. The default is nothing; the binary `sluice`
/// always runs with the default.
#[derive(Clone)]
pub struct Hooks {
    /// Around the event log.
    pub log: Arc<WrapLog>,
    /// Around the document store.
    pub documents: Arc<WrapDocuments>,
    /// Around the dedupe index.
    pub dedupe: Arc<WrapDedupe>,
    /// Below the embedded event log.
    pub disk: Arc<dyn DiskIo>,
}

impl Default for Hooks {
    fn default() -> Self {
        Self {
            log: Arc::new(|log| log),
            documents: Arc::new(|documents| documents),
            dedupe: Arc::new(|dedupe| dedupe),
            disk: Arc::new(RealDisk),
        }
    }
}
