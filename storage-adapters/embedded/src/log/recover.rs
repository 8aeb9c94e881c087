//! Opening a partition: finds its segments, reads the newest one through, cuts a
//! torn tail, refuses damage.
//!
//! Only the newest segment can hold bytes that were never acknowledged: an older
//! one was synced before its successor was made. A file grows by appending alone,
//! without space set aside, so that after a crash of the machine the file system
//! shows a prefix of what was written; the tail of the newest segment may be
//! torn, and nothing that is followed by a sound frame may be unsound.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::config::{LogConfig, OpenError};
use super::create::partition_dir;
use super::frame::Head;
use super::partition::{MARK_EVERY_BYTES, Partition, Segment, State};
use super::segment::{
    Mark, Piece, SEGMENT_HEAD_BYTES, SegmentId, base_of, damage, head_at, pieces,
};
use super::writer::Active;

/// Opens one partition. `taken` is the highest offset that any lane has noted: it
/// is never given out again, even where the disk has lost the records below it.
pub(super) fn open_partition(
    config: &LogConfig,
    number: u32,
    taken: u64,
) -> Result<(Partition, Active), OpenError> {
    let dir = partition_dir(&config.dir, number);
    let bases = segment_bases(&dir)?;
    let Some((&newest, sealed)) = bases.split_last() else {
        return Err(config.damaged(damage(&dir, 0, "every segment of this partition is missing")));
    };
    let mut segments = VecDeque::new();
    let mut last_ms = i64::MIN;
    for &base in sealed {
        let segment = open_sealed(config, &dir, SegmentId { partition: number, base }, last_ms)?;
        last_ms = segment.first_ms;
        segments.push_back(segment);
    }
    let id = SegmentId { partition: number, base: newest };
    let (segment, mut active) = open_newest(config, &dir, id, last_ms, taken, !sealed.is_empty())?;
    if let (i64::MAX, Some(previous)) = (segment.first_ms, segments.back()) {
        // Times go on where the previous segment ended.
        active.last_ms = active.last_ms.max(last_time(config, previous)?);
    }
    segments.push_back(segment);
    let state = State { segments, next: active.next, last_ms: active.last_ms };
    Ok((Partition::new(state), active))
}

/// Base offsets of the segments in `dir`, rising.
pub(super) fn segment_bases(dir: &Path) -> Result<Vec<u64>, OpenError> {
    let mut bases = Vec::new();
    for entry in fs::read_dir(dir).map_err(OpenError::io("list", dir))? {
        let name = entry.map_err(OpenError::io("list", dir))?.file_name();
        bases.extend(name.to_str().and_then(base_of));
    }
    bases.sort_unstable();
    Ok(bases)
}

/// A sealed segment: only its head and first record are looked at; the rest is
/// checked when it is read.
fn open_sealed(
    config: &LogConfig,
    dir: &Path,
    id: SegmentId,
    before_ms: i64,
) -> Result<Segment, OpenError> {
    let path = dir.join(id.file_name());
    let io = |what| OpenError::io(what, &path);
    let file = File::open(&path).map_err(io("open"))?;
    let bytes = file.metadata().map_err(io("examine"))?.len();
    let mut head = vec![0; bytes.min(SEGMENT_HEAD_BYTES) as usize];
    file.read_exact_at(&mut head, 0).map_err(io("read"))?;
    id.check(&head).map_err(|what| config.damaged(damage(&path, 0, what)))?;
    let mut place = (SEGMENT_HEAD_BYTES, id.base);
    let mut first_ms = None;
    // More than one step only where repair left a gap.
    while first_ms.is_none() && (place.0 < bytes || place.0 == SEGMENT_HEAD_BYTES) {
        let head = head_at(&file, &path, id.seed(), place.0, place.1)
            .map_err(io("read"))?
            .map_err(|damage| config.damaged(damage))?;
        first_ms = head.at_ms();
        place = (place.0 + head.frame_bytes(), head.next());
    }
    let mut segment = Segment::new(id, path);
    segment.bytes = bytes;
    segment.first_ms = first_ms.unwrap_or(before_ms);
    Ok(segment)
}

/// Time of the last record of a sealed segment.
fn last_time(config: &LogConfig, segment: &Segment) -> Result<i64, OpenError> {
    let io = |what| OpenError::io(what, &segment.path);
    let file = File::open(&segment.path).map_err(io("open"))?;
    let (mut byte, mut offset) = (SEGMENT_HEAD_BYTES, segment.id.base);
    let mut last_ms = segment.first_ms;
    while byte < segment.bytes {
        let head = head_at(&file, &segment.path, segment.id.seed(), byte, offset)
            .map_err(io("read"))?
            .map_err(|damage| config.damaged(damage))?;
        last_ms = head.at_ms().unwrap_or(last_ms);
        (byte, offset) = (byte + head.frame_bytes(), head.next());
    }
    Ok(last_ms)
}

/// The newest segment: read through and made ready for appending.
fn open_newest(
    config: &LogConfig,
    dir: &Path,
    id: SegmentId,
    before_ms: i64,
    taken: u64,
    has_older: bool,
) -> Result<(Segment, Active), OpenError> {
    let path = dir.join(id.file_name());
    let io = |what| OpenError::io(what, &path);
    let mut bytes = fs::read(&path).map_err(io("read"))?;
    let file = OpenOptions::new().append(true).open(&path).map_err(io("open"))?;
    if has_older && (bytes.len() as u64) < SEGMENT_HEAD_BYTES {
        // A crash while it was being made: nothing was ever acknowledged from it.
        bytes = id.encode().to_vec();
        config.disk.truncate(&file, &path, 0).map_err(io("truncate"))?;
        config.disk.write_all(&file, &path, &bytes).map_err(io("write"))?;
        config.disk.sync_data(&file, &path).map_err(io("sync"))?;
    }
    id.check(&bytes).map_err(|what| config.damaged(damage(&path, 0, what)))?;
    let mut segment = Segment::new(id, path.clone());
    segment.bytes = bytes.len() as u64;
    let (mut next, mut last_ms) = (id.base, before_ms);
    for piece in pieces(&bytes, id) {
        match piece {
            Piece::Frame { at, head } => {
                mark(&mut segment, at, &head, last_ms);
                last_ms = head.at_ms().map_or(last_ms, |at_ms| at_ms.max(last_ms));
                next = head.next();
            }
            Piece::Bad { at, to, followed: true } => {
                let what = format!("bytes {at} to {to} are no sound frames, but sound ones follow");
                return Err(config.damaged(damage(&path, at, what)));
            }
            Piece::Bad { at, to, followed: false } => {
                tracing::warn!(
                    file = %path.display(), position = at, bytes = to - at,
                    "cut the torn tail of the event log: it was being written when the process ended and was never acknowledged"
                );
                config.disk.truncate(&file, &path, at).map_err(io("truncate"))?;
                config.disk.sync_data(&file, &path).map_err(io("sync"))?;
                segment.bytes = at;
            }
        }
    }
    if taken > next {
        tracing::warn!(
            file = %path.display(), from = next, to = taken,
            "a lane had taken records that the disk has lost; their offsets are not given out again"
        );
        let gap = Head::gap(next, taken).encode(id.seed());
        config.disk.write_all(&file, &path, &gap).map_err(io("write"))?;
        config.disk.sync_data(&file, &path).map_err(io("sync"))?;
        segment.bytes += gap.len() as u64;
        next = taken;
    }
    let active = Active::new(file, &segment, dir, next, last_ms);
    Ok((segment, active))
}

/// Notes the place of a frame where the last mark is far behind.
fn mark(segment: &mut Segment, at: u64, head: &Head, before_ms: i64) {
    if let (i64::MAX, Some(at_ms)) = (segment.first_ms, head.at_ms()) {
        segment.first_ms = at_ms;
    }
    if segment.marks.last().is_none_or(|last| at >= last.byte + MARK_EVERY_BYTES) {
        segment.marks.push(Mark { offset: head.offset, byte: at, at_ms: before_ms });
    }
}

/// Paths of the segments of a partition, oldest first, with their ids.
pub(super) fn segment_paths(
    dir: &Path,
    partition: u32,
) -> Result<Vec<(SegmentId, PathBuf)>, OpenError> {
    let ids = segment_bases(dir)?.into_iter().map(|base| SegmentId { partition, base });
    Ok(ids.map(|id| (id, dir.join(id.file_name()))).collect())
}
