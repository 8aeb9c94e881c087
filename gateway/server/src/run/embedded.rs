//! Opens the embedded default: log, dead letters, `D`, documents and rows below
//! one data directory.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use sluice_embedded::dedupe::{DedupeConfig, EmbeddedDedupe};
use sluice_embedded::documents::{DocumentsConfig, EmbeddedDocuments};
use sluice_embedded::log::{EmbeddedLog, LogConfig};
use sluice_embedded::rows::{EmbeddedRows, RowsConfig};
use sluice_telemetry::Clock;

use super::hooks::Hooks;
use super::parts::Stores;
use crate::config::Config;

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

/// Opens everything. The log comes first: its lock is what keeps a second
/// process out of the whole directory.
pub(super) async fn open(
    config: &Config,
    clock: Arc<dyn Clock>,
    hooks: &Hooks,
) -> Result<Stores, String> {
    let (config, hooks) = (config.clone(), hooks.clone());
    // Opening reads and repairs tails: it blocks.
    let opened = tokio::task::spawn_blocking(move || open_blocking(&config, clock, &hooks));
    opened.await.map_err(|error| format!("opening the data directory failed: {error}"))?
}

fn open_blocking(config: &Config, clock: Arc<dyn Clock>, hooks: &Hooks) -> Result<Stores, String> {
    let layout = Layout::of(&config.data_dir);
    let shown = config.data_dir.display();
    std::fs::create_dir_all(&config.data_dir)
        .map_err(|error| format!("cannot create the data directory {shown}: {error}"))?;
    let now_ms: Arc<dyn Fn() -> i64 + Send + Sync> = Arc::new(move || clock.now_ms());
    let log_config = LogConfig {
        segment_bytes_max: config.log.segment_bytes_max,
        retention_ms: config.log.retention_ms,
        retention_bytes: Some(config.log.retention_bytes).filter(|bytes| *bytes > 0),
        disk_reserve_bytes: config.log.disk_reserve_bytes,
        queue_bytes_max: usize::try_from(config.log.queue_bytes_max).unwrap_or(usize::MAX),
        disk: Arc::clone(&hooks.disk),
        ..LogConfig::new(layout.log(), config.log.partitions, Arc::clone(&now_ms))
    };
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let log = EmbeddedLog::open(log_config).map_err(|error| text(&error))?;
    let dead_letter_config = LogConfig {
        // Dead letters wait for a person: a year.
        retention_ms: 365 * 86_400_000,
        ..LogConfig::new(layout.dead_letters(), 1, Arc::clone(&now_ms))
    };
    let dead_letters = EmbeddedLog::open(dead_letter_config).map_err(|error| text(&error))?;
    let dedupe_config = DedupeConfig {
        window_ms: config.fan_out.dedupe_window_ms,
        ..DedupeConfig::new(layout.dedupe())
    };
    let dedupe = EmbeddedDedupe::open(dedupe_config).map_err(|error| text(&error))?;
    let documents_config = DocumentsConfig {
        writer_heap_bytes: config.documents.writer_heap_bytes,
        open_writers_max: config.documents.open_writers_max,
        ..DocumentsConfig::new(layout.documents())
    };
    let documents = EmbeddedDocuments::open(documents_config).map_err(|error| text(&error))?;
    let rows_config = RowsConfig {
        cache_bytes: config.rows.cache_bytes,
        ..RowsConfig::new(layout.rows(), now_ms)
    };
    let rows = EmbeddedRows::open(rows_config).map_err(|error| text(&error))?;
    Ok(Stores {
        log: (hooks.log)(Arc::new(log.clone())),
        dead_letter_log: Arc::new(dead_letters.clone()),
        dedupe: (hooks.dedupe)(Arc::new(dedupe)),
        documents: (hooks.documents)(Arc::new(documents)),
        rows: Arc::new(rows),
        embedded_logs: [log, dead_letters],
    })
}
