//! What the log is told, and why it may refuse to open.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;

use super::io::{DiskIo, DiskSpace, RealDisk};
use super::segment::Damage;

/// Most partitions a log may have: each costs two open files and a folder.
pub const PARTITIONS_MAX: u32 = 1024;
/// Largest payload of a record.
pub const RECORD_BYTES_MAX: usize = 32 << 20;
/// Smallest and largest `segment_bytes_max`.
pub const SEGMENT_BYTES_RANGE: std::ops::RangeInclusive<u64> = (4 << 10)..=(1 << 30);

// The length of a frame is a u32, and one segment is held in memory while a log opens.
const _: () = assert!((RECORD_BYTES_MAX as u64) < *SEGMENT_BYTES_RANGE.end());

/// The clock of an adapter: milliseconds since the Unix epoch.
pub type NowMs = Arc<dyn Fn() -> i64 + Send + Sync>;

/// How a log is opened. [`LogConfig::new`] gives the defaults.
#[derive(Clone)]
pub struct LogConfig {
    /// Its folder; made where it is missing. Nothing else may live in it.
    pub dir: PathBuf,
    /// Number of partitions, 1 to [`PARTITIONS_MAX`], fixed when the log is made.
    pub partitions: u32,
    /// A segment is closed before it grows past this; within
    /// [`SEGMENT_BYTES_RANGE`]. Default 64 MiB. A larger record gets a segment of
    /// its own.
    pub segment_bytes_max: u64,
    /// Records older than this may be dropped. Default 7 days.
    pub retention_ms: u64,
    /// Bytes on disk past which the oldest records may be dropped before their
    /// time. Default: no such bound.
    pub retention_bytes: Option<u64>,
    /// Appends are refused while they would leave less room than this on the
    /// disk. Default, for `None`: 1 GiB, or a twentieth of the disk where that is
    /// less.
    pub disk_reserve_bytes: Option<u64>,
    /// Bytes handed over and not yet durable past which appends are refused.
    /// Default 64 MiB.
    pub queue_bytes_max: usize,
    /// About how many bytes are made durable by one sync. Default 8 MiB.
    pub group_bytes_max: usize,
    /// The clock.
    pub now_ms: NowMs,
    /// The disk; other than [`RealDisk`] in tests only.
    pub disk: Arc<dyn DiskIo>,
    /// The command that repairs this log, named where damage is found.
    pub repair_command: String,
}

/// Why a log did not open. Nothing was changed.
#[derive(Debug, Error)]
pub enum OpenError {
    /// A setting is out of its range.
    #[error("event log: {0}")]
    Config(String),
    /// Another process has it.
    #[error(
        "{} is in use by {}; stop that process or choose another data directory",
        dir.display(),
        pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
    )]
    Locked {
        /// The log's folder.
        dir: PathBuf,
        /// Who has it, where it said so.
        pid: Option<u32>,
    },
    /// It was made with another number of partitions.
    #[error(
        "{} was made with {found} partitions and cannot be opened with {wanted}: set the number back to {found}, or choose another data directory",
        dir.display()
    )]
    Partitions {
        /// The log's folder.
        dir: PathBuf,
        /// As made.
        found: u32,
        /// As configured.
        wanted: u32,
    },
    /// It is none that this program understands.
    #[error("{}: {what}", path.display())]
    Format {
        /// The file at fault.
        path: PathBuf,
        /// What is wrong with it and what to do.
        what: String,
    },
    /// Acknowledged records may be damaged.
    #[error(
        "{} is damaged at byte {position}: {what}. The log stays closed so that nothing is lost in silence; run: {command}",
        path.display()
    )]
    Damaged {
        /// The file at fault.
        path: PathBuf,
        /// Where in it, bytes from its beginning.
        position: u64,
        /// What is wrong there.
        what: String,
        /// The command that repairs it.
        command: String,
    },
    /// The disk refused.
    #[error("cannot {what} {}: {source}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// With which file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

// === impl LogConfig ===

impl LogConfig {
    /// The defaults.
    pub fn new(dir: impl Into<PathBuf>, partitions: u32, now_ms: NowMs) -> Self {
        let dir = dir.into();
        Self {
            repair_command: repair_command(&dir),
            dir,
            partitions,
            segment_bytes_max: 64 << 20,
            retention_ms: 7 * 24 * 3600 * 1000,
            retention_bytes: None,
            disk_reserve_bytes: None,
            queue_bytes_max: 64 << 20,
            group_bytes_max: 8 << 20,
            now_ms,
            disk: Arc::new(RealDisk),
        }
    }

    pub(super) fn check(&self) -> Result<(), OpenError> {
        let refuse = |text: String| Err(OpenError::Config(text));
        if self.partitions == 0 || self.partitions > PARTITIONS_MAX {
            return refuse(format!(
                "partitions is {}; allowed are 1 to {PARTITIONS_MAX}",
                self.partitions
            ));
        }
        if !SEGMENT_BYTES_RANGE.contains(&self.segment_bytes_max) {
            return refuse(format!(
                "segment_bytes_max is {}; allowed are {} to {}",
                self.segment_bytes_max,
                SEGMENT_BYTES_RANGE.start(),
                SEGMENT_BYTES_RANGE.end()
            ));
        }
        if self.queue_bytes_max == 0 || self.group_bytes_max == 0 {
            return refuse("queue_bytes_max and group_bytes_max must be above 0".into());
        }
        Ok(())
    }

    /// The room that must stay free on a disk like this one.
    pub fn disk_reserve(&self, space: DiskSpace) -> u64 {
        self.disk_reserve_bytes.unwrap_or_else(|| (1 << 30).min(space.total_bytes / 20))
    }

    pub(super) fn damaged(&self, damage: Damage) -> OpenError {
        OpenError::Damaged {
            path: damage.path,
            position: damage.at,
            what: damage.what,
            command: self.repair_command.clone(),
        }
    }
}

impl fmt::Debug for LogConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogConfig")
            .field("dir", &self.dir)
            .field("partitions", &self.partitions)
            .finish_non_exhaustive()
    }
}

// === impl OpenError ===

impl OpenError {
    /// For `map_err`: what was tried, with which path.
    pub(super) fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { what, path, source }
    }
}

/// The log lives one level below the data directory.
fn repair_command(dir: &Path) -> String {
    let data_dir = dir.parent().filter(|parent| !parent.as_os_str().is_empty());
    let data_dir = data_dir.unwrap_or(Path::new("."));
    format!("sluice doctor --repair-log --data-dir {}", data_dir.display())
}
