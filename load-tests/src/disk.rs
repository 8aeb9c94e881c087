//! Faults of the disk below the event log.
//!
//! `SLUICE_DISK_FAULT` is one of: `fsync:<n>` (the n-th sync and all later ones
//! fail), `write:<n>` (the n-th write and all later ones fail as on a full disk),
//! `full:<path>` (no room is reported while this file exists).

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};

use sluice_embedded::log::{DiskIo, DiskSpace, RealDisk};

/// A disk with one fault.
#[derive(Debug)]
pub struct FaultyDisk {
    fault: DiskFault,
    turns: AtomicU64,
}

#[derive(Debug)]
enum DiskFault {
    Fsync(u64),
    Write(u64),
    Full(PathBuf),
}

// === impl FaultyDisk ===

impl FromStr for FaultyDisk {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wanted =
            || format!("SLUICE_DISK_FAULT={text}: wanted is fsync:<n>, write:<n> or full:<path>");
        let (kind, value) = text.split_once(':').ok_or_else(wanted)?;
        let turn = || value.parse().map_err(|_| wanted());
        let fault = match kind {
            "fsync" => DiskFault::Fsync(turn()?),
            "write" => DiskFault::Write(turn()?),
            "full" => DiskFault::Full(value.into()),
            _ => return Err(wanted()),
        };
        Ok(Self { fault, turns: AtomicU64::new(0) })
    }
}

impl FaultyDisk {
    fn turn(&self) -> u64 {
        self.turns.fetch_add(1, Ordering::SeqCst) + 1
    }
}

impl DiskIo for FaultyDisk {
    fn write_all(&self, file: &File, path: &Path, bytes: &[u8]) -> io::Result<()> {
        if let DiskFault::Write(from) = self.fault
            && self.turn() >= from
        {
            // As a full disk does it: some of the bytes arrive.
            RealDisk.write_all(file, path, &bytes[..bytes.len() / 2])?;
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        RealDisk.write_all(file, path, bytes)
    }

    fn sync_data(&self, file: &File, path: &Path) -> io::Result<()> {
        if let DiskFault::Fsync(from) = self.fault
            && self.turn() >= from
        {
            return Err(io::Error::other("injected: fsync failed"));
        }
        RealDisk.sync_data(file, path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        RealDisk.sync_dir(dir)
    }

    fn truncate(&self, file: &File, path: &Path, len: u64) -> io::Result<()> {
        RealDisk.truncate(file, path, len)
    }

    fn space(&self, dir: &Path) -> io::Result<DiskSpace> {
        let space = RealDisk.space(dir)?;
        match &self.fault {
            DiskFault::Full(path) if path.exists() => Ok(DiskSpace { free_bytes: 0, ..space }),
            _ => Ok(space),
        }
    }
}
