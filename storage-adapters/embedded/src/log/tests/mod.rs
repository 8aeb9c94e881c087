//! Tests of the embedded log: the contract, and what only files can suffer.

mod contract;
mod crash;
mod damage;
mod disk;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use sluice_seams::{EventLog, LogRecord};
use tempfile::TempDir;

use super::{DiskIo, DiskSpace, EmbeddedLog, LogConfig, OpenError, RealDisk};

/// What a [`FaultyDisk`] does wrong next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wrong {
    Nothing,
    /// Writes half of the bytes, then the disk is full.
    ShortWrite,
    /// Writes everything; the sync fails.
    Sync,
    /// The machine is gone: nothing is written, synced or cut any more.
    Gone,
}

/// A disk that does as told and remembers how much of each file was synced.
#[derive(Debug)]
struct FaultyDisk {
    wrong: Mutex<Wrong>,
    free_bytes: AtomicU64,
    synced: Mutex<std::collections::BTreeMap<PathBuf, u64>>,
    syncs: AtomicU64,
}

/// A log in a folder of its own, with a clock.
struct Place {
    dir: TempDir,
    now_ms: Arc<AtomicI64>,
    disk: Arc<FaultyDisk>,
}

// === impl FaultyDisk ===

impl FaultyDisk {
    fn set(&self, wrong: Wrong) {
        *self.wrong.lock() = wrong;
    }

    fn fails(&self, at: &[Wrong]) -> io::Result<()> {
        if at.contains(&*self.wrong.lock()) {
            return Err(io::Error::from_raw_os_error(5));
        }
        Ok(())
    }
}

impl Default for FaultyDisk {
    fn default() -> Self {
        Self {
            wrong: Mutex::new(Wrong::Nothing),
            free_bytes: AtomicU64::new(1 << 40),
            synced: Mutex::default(),
            syncs: AtomicU64::new(0),
        }
    }
}

impl DiskIo for FaultyDisk {
    fn write_all(&self, file: &File, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.fails(&[Wrong::Gone])?;
        if *self.wrong.lock() == Wrong::ShortWrite {
            RealDisk.write_all(file, path, &bytes[..bytes.len() / 2])?;
            return Err(io::Error::from_raw_os_error(28));
        }
        RealDisk.write_all(file, path, bytes)
    }

    fn sync_data(&self, file: &File, path: &Path) -> io::Result<()> {
        self.fails(&[Wrong::Gone, Wrong::Sync])?;
        self.syncs.fetch_add(1, Ordering::Relaxed);
        let len = file.metadata()?.len();
        self.synced.lock().insert(path.to_owned(), len);
        Ok(())
    }

    fn sync_dir(&self, _dir: &Path) -> io::Result<()> {
        self.fails(&[Wrong::Gone, Wrong::Sync])
    }

    fn truncate(&self, file: &File, path: &Path, len: u64) -> io::Result<()> {
        self.fails(&[Wrong::Gone])?;
        RealDisk.truncate(file, path, len)
    }

    fn space(&self, _dir: &Path) -> io::Result<DiskSpace> {
        let free_bytes = self.free_bytes.load(Ordering::Relaxed);
        Ok(DiskSpace { free_bytes, total_bytes: 1 << 40 })
    }
}

// === impl Place ===

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("tempdir");
        Self { dir, now_ms: Arc::default(), disk: Arc::default() }
    }

    /// Where the log is.
    fn log_dir(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    fn config(&self) -> LogConfig {
        let now_ms = self.now_ms.clone();
        let clock = Arc::new(move || now_ms.load(Ordering::Relaxed));
        let mut config = LogConfig::new(self.log_dir(), 2, clock);
        config.segment_bytes_max = 4096;
        config.retention_ms = 60_000;
        config.disk = self.disk.clone();
        config
    }

    fn open(&self) -> EmbeddedLog {
        EmbeddedLog::open(self.config()).expect("open")
    }

    fn refused(&self) -> OpenError {
        EmbeddedLog::open(self.config()).expect_err("must not open")
    }

    /// A large segment, so that one file holds everything.
    fn open_wide(&self) -> Result<EmbeddedLog, OpenError> {
        let mut config = self.config();
        config.segment_bytes_max = 1 << 20;
        EmbeddedLog::open(config)
    }

    /// Segment files of a partition, oldest first.
    fn segments(&self, partition: u32) -> Vec<PathBuf> {
        let dir = super::create::partition_dir(&self.log_dir(), partition);
        let paths = super::recover::segment_paths(&dir, partition).expect("list");
        paths.into_iter().map(|(_, path)| path).collect()
    }
}

/// Payload number `n`: its length differs from its neighbours'.
fn payload(n: u64) -> Bytes {
    let mut payload = n.to_le_bytes().to_vec();
    payload.resize(8 + (n % 40) as usize, b'.');
    payload.into()
}

async fn append(log: &EmbeddedLog, numbers: std::ops::Range<u64>) {
    let appends: Vec<_> = numbers.map(|n| log.append(0, payload(n))).collect();
    for append in appends {
        append.await.expect("append");
    }
}

async fn read(log: &EmbeddedLog) -> Vec<LogRecord> {
    let (mut from, end) = log.bounds(0);
    let mut all = Vec::new();
    while from < end {
        let some = log.read(0, from, 2000).await.expect("read");
        let Some(last) = some.last() else { break };
        from = last.offset + 1;
        all.extend(some);
    }
    all
}

async fn assert_holds(log: &EmbeddedLog, numbers: impl IntoIterator<Item = u64>) {
    let found: Vec<Bytes> = read(log).await.into_iter().map(|record| record.payload).collect();
    assert_eq!(found, numbers.into_iter().map(payload).collect::<Vec<_>>());
}
