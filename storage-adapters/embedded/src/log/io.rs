//! What the log asks of the disk, so that tests can make it fail.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

/// Room on the disk below a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskSpace {
    /// Bytes that this process may still write.
    pub free_bytes: u64,
    /// Bytes of the whole file system.
    pub total_bytes: u64,
}

/// The writes of the log. Whoever implements this decides what reaches the disk;
/// an error of any of these, other than of [`DiskIo::space`], poisons the log.
pub trait DiskIo: Send + Sync + 'static {
    /// Appends all of `bytes` to `file`, which is open for appending at `path`.
    fn write_all(&self, file: &File, path: &Path, bytes: &[u8]) -> io::Result<()>;

    /// Makes the bytes and the length of `file` survive a crash of the machine.
    fn sync_data(&self, file: &File, path: &Path) -> io::Result<()>;

    /// Makes the names in `dir` survive a crash of the machine.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Cuts `file` to `len` bytes.
    fn truncate(&self, file: &File, path: &Path, len: u64) -> io::Result<()>;

    /// Room below `dir`.
    fn space(&self, dir: &Path) -> io::Result<DiskSpace>;
}

/// The disk itself.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealDisk;

// === impl RealDisk ===

impl DiskIo for RealDisk {
    fn write_all(&self, mut file: &File, _path: &Path, bytes: &[u8]) -> io::Result<()> {
        file.write_all(bytes)
    }

    fn sync_data(&self, file: &File, _path: &Path) -> io::Result<()> {
        file.sync_data()
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    fn truncate(&self, file: &File, _path: &Path, len: u64) -> io::Result<()> {
        file.set_len(len)
    }

    fn space(&self, dir: &Path) -> io::Result<DiskSpace> {
        let stat = rustix::fs::statvfs(dir)?;
        Ok(DiskSpace {
            free_bytes: stat.f_bavail.saturating_mul(stat.f_frsize),
            total_bytes: stat.f_blocks.saturating_mul(stat.f_frsize),
        })
    }
}

/// Replaces the file `name` in `dir` by `bytes`, whole or not at all, durably.
pub(super) fn replace(disk: &dyn DiskIo, dir: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let temporary = dir.join(format!("{name}.new"));
    let file = File::create(&temporary)?;
    disk.write_all(&file, &temporary, bytes)?;
    disk.sync_data(&file, &temporary)?;
    std::fs::rename(&temporary, dir.join(name))?;
    disk.sync_dir(dir)
}
