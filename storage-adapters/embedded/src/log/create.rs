//! The log's folder: its lock, its description and its first segments.
//!
//! ```text
//! DIR/lock                                who has it (flock; the pid inside)
//! DIR/meta.json                           format and number of partitions
//! DIR/commits                             lanes, see `commits`
//! DIR/p-0003/00000000000000000000.seg     segments of partition 3
//! DIR/p-0003/damaged/                     what repair took away
//! ```
//! `meta.json` is written last, so that a log with one has everything else.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use super::config::{LogConfig, OpenError};
use super::io::{DiskIo, replace};
use super::segment::{FORMAT, SegmentId};

const META: &str = "meta.json";
const META_KIND: &str = "sluice event log";
/// Far above the size of a real one.
const META_BYTES_MAX: u64 = 64 << 10;

/// What `meta.json` says.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Meta {
    kind: String,
    format: u32,
    pub(super) partitions: u32,
}

/// The folder, held against every other process until dropped.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

pub(super) fn partition_dir(dir: &Path, partition: u32) -> PathBuf {
    dir.join(format!("p-{partition:04}"))
}

/// Takes the folder for this process.
pub(super) fn lock(dir: &Path) -> Result<Lock, OpenError> {
    let path = dir.join("lock");
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(OpenError::io("open", &path))?;
    if let Err(error) = flock(&file, FlockOperation::NonBlockingLockExclusive) {
        if error != rustix::io::Errno::WOULDBLOCK {
            return Err(OpenError::io("lock", &path)(error.into()));
        }
        let mut owner = String::new();
        // Who it is only makes the message better.
        let _ = file.take(32).read_to_string(&mut owner);
        return Err(OpenError::Locked { dir: dir.to_owned(), pid: owner.trim().parse().ok() });
    }
    let pid = format!("{}\n", std::process::id());
    file.set_len(0)
        .and_then(|()| file.write_all(pid.as_bytes()))
        .map_err(OpenError::io("write", &path))?;
    Ok(Lock { _file: file })
}

/// What `meta.json` says; `None` where there is none.
pub(super) fn read_meta(dir: &Path) -> Result<Option<Meta>, OpenError> {
    let path = dir.join(META);
    let mut text = String::new();
    match File::open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened
            .and_then(|file| file.take(META_BYTES_MAX).read_to_string(&mut text))
            .map_err(OpenError::io("read", &path))?,
    };
    let wrong = |what: String| OpenError::Format { path: path.clone(), what };
    let meta: Meta = serde_json::from_str(&text)
        .map_err(|error| wrong(format!("not the description of an event log: {error}")))?;
    if meta.kind != META_KIND || meta.format != FORMAT {
        return Err(wrong(format!(
            "it describes a {:?} of format {}; this program opens a {META_KIND:?} of format {FORMAT} only: use the program that made it",
            meta.kind, meta.format
        )));
    }
    Ok(Some(meta))
}

/// Makes the log where there is none; else checks that it is the configured one.
pub(super) fn make_or_check(config: &LogConfig) -> Result<(), OpenError> {
    if let Some(meta) = read_meta(&config.dir)? {
        if meta.partitions != config.partitions {
            return Err(OpenError::Partitions {
                dir: config.dir.clone(),
                found: meta.partitions,
                wanted: config.partitions,
            });
        }
        return Ok(());
    }
    for partition in 0..config.partitions {
        make_partition(config, partition)?;
    }
    let meta = Meta { kind: META_KIND.into(), format: FORMAT, partitions: config.partitions };
    let text = serde_json::to_vec(&meta).unwrap_or_default();
    replace(&*config.disk, &config.dir, META, &text)
        .map_err(OpenError::io("write", &config.dir.join(META)))
}

fn make_partition(config: &LogConfig, partition: u32) -> Result<(), OpenError> {
    let dir = partition_dir(&config.dir, partition);
    fs::create_dir_all(&dir).map_err(OpenError::io("create", &dir))?;
    let id = SegmentId { partition, base: 0 };
    for entry in fs::read_dir(&dir).map_err(OpenError::io("list", &dir))? {
        let path = entry.map_err(OpenError::io("list", &dir))?.path();
        let ours = path.file_name().is_some_and(|name| name == id.file_name().as_str());
        let bytes = fs::metadata(&path).map_or(u64::MAX, |metadata| metadata.len());
        // A creation that a crash cut short left an empty first segment at most.
        if !ours || bytes > super::segment::SEGMENT_HEAD_BYTES {
            let path = config.dir.join(META);
            let what = format!(
                "missing, though {} holds records: restore it (this log was not made anew, so that nothing is lost)",
                dir.display()
            );
            return Err(OpenError::Format { path, what });
        }
        fs::remove_file(&path).map_err(OpenError::io("remove", &path))?;
    }
    let made = make_segment(&*config.disk, &dir, id);
    made.map(drop).map_err(OpenError::io("create a segment in", &dir))
}

/// Makes a new, empty segment, durably; open for appending.
pub(super) fn make_segment(
    disk: &dyn DiskIo,
    dir: &Path,
    id: SegmentId,
) -> io::Result<(File, PathBuf)> {
    let path = dir.join(id.file_name());
    let file = OpenOptions::new().append(true).create_new(true).open(&path)?;
    disk.write_all(&file, &path, &id.encode())?;
    disk.sync_data(&file, &path)?;
    disk.sync_dir(dir)?;
    Ok((file, path))
}
