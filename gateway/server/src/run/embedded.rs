//! Opens what is kept in the data directory: log, dead letters, `D`, documents
//! and rows.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use sluice_embedded::dedupe::{DedupeConfig, EmbeddedDedupe};
use sluice_embedded::documents::{DocumentsConfig, EmbeddedDocuments};
use sluice_embedded::log::{EmbeddedLog, LogConfig};
use sluice_embedded::rows::{EmbeddedRows, RowsConfig};
use sluice_seams::{DedupeIndex, DocumentStore, RowStore};
use sluice_telemetry::Clock;

use super::hooks::Hooks;
use crate::config::Config;

/// Dead letters wait for a person: a year.
pub(super) const DEAD_LETTERS_RETENTION_MS: u64 = 365 * 86_400_000;

/// Where things lie below a data directory.
#[derive(Debug, Clone)]
pub struct Layout(PathBuf);

// === impl Layout ===

impl Layout {
    /// The layout of this data directory.
    pub fn of(data_dir: &Path) -> Self {
        Self(data_dir.to_path_buf())
    }

    /// The event log.
    pub fn log(&self) -> PathBuf {
        self.0.join("log")
    }

    /// The dead-letter log.
    pub fn dead_letters(&self) -> PathBuf {
        self.0.join("dead-letters")
    }

    /// `D`.
    pub fn dedupe(&self) -> PathBuf {
        self.0.join("dedupe")
    }

    /// The document store.
    pub fn documents(&self) -> PathBuf {
        self.0.join("documents")
    }

    /// The row store.
    pub fn rows(&self) -> PathBuf {
        self.0.join("rows")
    }
}

/// A store's clock.
type NowMs = Arc<dyn Fn() -> i64 + Send + Sync>;

/// What opens embedded stores. Opening reads and repairs tails: it blocks.
#[derive(Clone)]
pub(super) struct Embedded {
    config: Config,
    layout: Layout,
    now_ms: NowMs,
    hooks: Hooks,
}

// === impl Embedded ===

impl Embedded {
    pub(super) fn new(config: &Config, clock: Arc<dyn Clock>, hooks: &Hooks) -> Self {
        Self {
            config: config.clone(),
            layout: Layout::of(&config.data_dir),
            now_ms: Arc::new(move || clock.now_ms()),
            hooks: hooks.clone(),
        }
    }

    /// The event log and the dead-letter log. Their lock is what keeps a second
    /// process out of the whole directory, so they are opened first.
    pub(super) fn logs(&self) -> Result<[EmbeddedLog; 2], String> {
        let settings = &self.config.log;
        let events = LogConfig {
            segment_bytes_max: settings.segment_bytes_max,
            retention_ms: settings.retention_ms,
            retention_bytes: Some(settings.retention_bytes).filter(|bytes| *bytes > 0),
            disk_reserve_bytes: settings.disk_reserve_bytes,
            queue_bytes_max: usize::try_from(settings.queue_bytes_max).unwrap_or(usize::MAX),
            disk: Arc::clone(&self.hooks.disk),
            ..LogConfig::new(self.layout.log(), settings.partitions, Arc::clone(&self.now_ms))
        };
        let dead_letters = LogConfig {
            retention_ms: DEAD_LETTERS_RETENTION_MS,
            ..LogConfig::new(self.layout.dead_letters(), 1, Arc::clone(&self.now_ms))
        };
        Ok([opened(EmbeddedLog::open(events))?, opened(EmbeddedLog::open(dead_letters))?])
    }

    /// `D`.
    pub(super) fn dedupe(&self) -> Result<Arc<dyn DedupeIndex>, String> {
        let config = DedupeConfig {
            window_ms: self.config.fan_out.dedupe_window_ms,
            ..DedupeConfig::new(self.layout.dedupe())
        };
        Ok((self.hooks.dedupe)(Arc::new(opened(EmbeddedDedupe::open(config))?)))
    }

    /// The document store.
    pub(super) fn documents(&self) -> Result<Arc<dyn DocumentStore>, String> {
        let config = DocumentsConfig {
            writer_heap_bytes: self.config.documents.writer_heap_bytes,
            open_writers_max: self.config.documents.open_writers_max,
            ..DocumentsConfig::new(self.layout.documents())
        };
        Ok(Arc::new(opened(EmbeddedDocuments::open(config))?))
    }

    /// The row store.
    pub(super) fn rows(&self) -> Result<Arc<dyn RowStore>, String> {
        let config = RowsConfig {
            cache_bytes: self.config.rows.cache_bytes,
            ..RowsConfig::new(self.layout.rows(), Arc::clone(&self.now_ms))
        };
        Ok(Arc::new(opened(EmbeddedRows::open(config))?))
    }
}

fn opened<T, E: std::fmt::Display>(result: Result<T, E>) -> Result<T, String> {
    result.map_err(|error| error.to_string())
}
