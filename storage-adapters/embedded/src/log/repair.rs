//! Takes damaged stretches out of a log that is not in use.
//!
//! Every sound record stays, with its offset. The damaged bytes are kept beside
//! it in `damaged/`, named after segment and position, and a gap frame takes the
//! place of the lost offsets, so that the log is contiguous again and says itself
//! what it lost. A segment is replaced whole or not at all.

use std::fs;
use std::path::{Path, PathBuf};

use super::commits::damaged_file;
use super::config::OpenError;
use super::create::{lock, partition_dir, read_meta};
use super::frame::Head;
use super::io::{DiskIo, RealDisk, replace};
use super::recover::segment_paths;
use super::segment::{Piece, SEGMENT_HEAD_BYTES, SegmentId, pieces};

/// What a repair found and did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RepairReport {
    /// Segments read through.
    pub segments: u64,
    /// Sound records in them; all are kept.
    pub records: u64,
    /// What was taken away.
    pub stretches: Vec<Stretch>,
}

/// A damaged stretch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stretch {
    /// The segment.
    pub path: PathBuf,
    /// Where it began, bytes.
    pub position: u64,
    /// Its length; 0 where records were simply missing.
    pub bytes: u64,
    /// Offsets lost with it, where that can be told.
    pub offsets_lost: u64,
    /// Where its bytes are kept, where there were any.
    pub kept_in: Option<PathBuf>,
}

/// A segment while its sound parts are put together anew.
struct Rebuild<'a> {
    id: SegmentId,
    path: &'a Path,
    bytes: &'a [u8],
    sound: Vec<u8>,
    next: u64,
    damaged: bool,
    report: &'a mut RepairReport,
}

/// Repairs the log in `dir`; changes nothing where there is no damage. Blocks.
///
/// # Errors
/// [`OpenError`]: the log is in use, is of another format, or the disk refused.
pub fn repair(dir: &Path) -> Result<RepairReport, OpenError> {
    let meta = read_meta(dir)?.ok_or_else(|| OpenError::Format {
        path: dir.join("meta.json"),
        what: "missing: this is no event log, or its description was lost; restore that file"
            .into(),
    })?;
    let _lock = lock(dir)?;
    let mut report = RepairReport::default();
    for partition in 0..meta.partitions {
        let dir = partition_dir(dir, partition);
        let segments = segment_paths(&dir, partition)?;
        for (index, (id, path)) in segments.iter().enumerate() {
            let follower = segments.get(index + 1).map(|(next, _)| next.base);
            repair_segment(*id, path, follower, &mut report)?;
        }
    }
    repair_commits(dir, meta.partitions, &mut report)?;
    Ok(report)
}

/// Lanes whose places are lost begin anew: every store takes a record twice
/// without harm.
fn repair_commits(dir: &Path, partitions: u32, report: &mut RepairReport) -> Result<(), OpenError> {
    let Some((path, bytes)) = damaged_file(dir, partitions)? else { return Ok(()) };
    let stretch = Stretch {
        kept_in: Some(keep_beside(&path, 0, &bytes)?),
        path: path.clone(),
        position: 0,
        bytes: bytes.len() as u64,
        offsets_lost: 0,
    };
    report.stretches.push(stretch);
    fs::remove_file(&path)
        .and_then(|()| RealDisk.sync_dir(dir))
        .map_err(OpenError::io("remove", &path))
}

/// Keeps damaged bytes of a file in `damaged/` beside it.
fn keep_beside(path: &Path, at: u64, bytes: &[u8]) -> Result<PathBuf, OpenError> {
    let dir = path.with_file_name("damaged");
    fs::create_dir_all(&dir).map_err(OpenError::io("create", &dir))?;
    let file_name = path.file_name().unwrap_or_default().to_string_lossy();
    // A second repair of the same place does not replace the first find.
    let mut number = 1u32;
    let mut name = format!("{file_name}@{at}");
    while dir.join(&name).exists() {
        number += 1;
        name = format!("{file_name}@{at}.{number}");
    }
    let kept = dir.join(&name);
    replace(&RealDisk, &dir, &name, bytes).map_err(OpenError::io("write", &kept))?;
    Ok(kept)
}

fn repair_segment(
    id: SegmentId,
    path: &Path,
    follower: Option<u64>,
    report: &mut RepairReport,
) -> Result<(), OpenError> {
    let bytes = fs::read(path).map_err(OpenError::io("read", path))?;
    report.segments += 1;
    let mut rebuild = Rebuild {
        id,
        path,
        bytes: &bytes,
        sound: id.encode().to_vec(),
        next: id.base,
        damaged: false,
        report,
    };
    if id.check(&bytes).is_err() {
        rebuild.take_away(0, (bytes.len() as u64).min(SEGMENT_HEAD_BYTES))?;
    }
    let mut end = SEGMENT_HEAD_BYTES;
    for piece in pieces(&bytes, id) {
        match piece {
            Piece::Frame { at, head } => {
                rebuild.keep(at, &head);
                end = at + head.frame_bytes();
            }
            Piece::Bad { at, to, .. } => {
                rebuild.take_away(at, to)?;
                end = to;
            }
        }
    }
    if let Some(base) = follower.filter(|&base| base > rebuild.next) {
        if !rebuild.damaged {
            rebuild.take_away(end, end)?;
        }
        rebuild.gap_to(base);
    }
    rebuild.finish()
}

// === impl Rebuild ===

impl Rebuild<'_> {
    fn keep(&mut self, at: u64, head: &Head) {
        if head.offset > self.next {
            self.gap_to(head.offset);
        }
        let at = at as usize;
        self.sound.extend_from_slice(&self.bytes[at..at + head.frame_bytes() as usize]);
        self.next = head.next();
        self.report.records += u64::from(head.at_ms().is_some());
    }

    fn gap_to(&mut self, offset: u64) {
        let gap = Head::gap(self.next, offset);
        self.sound.extend_from_slice(&gap.encode(self.id.seed()));
        if let Some(stretch) = self.report.stretches.last_mut() {
            stretch.offsets_lost += offset - self.next;
        }
        self.next = offset;
    }

    /// Keeps a damaged stretch beside the log.
    fn take_away(&mut self, at: u64, to: u64) -> Result<(), OpenError> {
        self.damaged = true;
        let mut stretch = Stretch {
            path: self.path.to_owned(),
            position: at,
            bytes: to - at,
            offsets_lost: 0,
            kept_in: None,
        };
        if to > at {
            let bytes = &self.bytes[at as usize..to as usize];
            stretch.kept_in = Some(keep_beside(self.path, at, bytes)?);
        }
        self.report.stretches.push(stretch);
        Ok(())
    }

    fn finish(self) -> Result<(), OpenError> {
        if !self.damaged {
            return Ok(());
        }
        let dir = self.path.parent().unwrap_or(Path::new("."));
        replace(&RealDisk, dir, &self.id.file_name(), &self.sound)
            .map_err(OpenError::io("replace", self.path))
    }
}
