//! The writer: one thread that takes all that is queued, has it written with one
//! call a partition and each touched file synced once, all at the same time, and
//! only then answers.
//!
//! While one group is being synced the next one gathers, so that the cost of a
//! sync is shared by as many records as the disk is slow. Any error of a write or
//! a sync ends the writer for good: after a failed fsync nobody can know what the
//! disk holds, and a second try may report success for pages that the kernel has
//! already thrown away.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use sluice_seams::AppendError;

use super::create::make_segment;
use super::frame::Head;
use super::partition::{MARK_EVERY_BYTES, Published, Segment};
use super::queue::Pending;
use super::segment::{Mark, SEGMENT_HEAD_BYTES, SegmentId};
use super::shared::Shared;
use super::sync::{Syncers, Unsynced, failed};

/// When to try again while the disk is full: retention or a person must act.
const RETRY_DISK_FULL: Duration = Duration::from_secs(5);

/// The newest segment of a partition, as the writer sees it.
#[derive(Debug)]
pub(super) struct Active {
    file: Arc<File>,
    path: Arc<Path>,
    dir: PathBuf,
    id: SegmentId,
    seed: u32,
    /// Bytes known to survive.
    durable: u64,
    /// Frames that come behind them.
    unwritten: Vec<u8>,
    pub(super) next: u64,
    pub(super) last_ms: i64,
    first_ms: Option<i64>,
    marks: Vec<Mark>,
    marked: u64,
}

struct Writer<'a> {
    shared: &'a Shared,
    syncers: Syncers<'a>,
    actives: Vec<Active>,
}

/// Poisons the log should the writer end in any other way than by being closed.
struct Watch<'a>(&'a Shared);

/// Runs until the queue is closed and empty, or until the disk fails.
pub(super) fn run(shared: &Arc<Shared>, actives: Vec<Active>) {
    let watch = Watch(shared);
    std::thread::scope(|scope| {
        let syncers = Syncers::start(shared, scope, actives.len());
        work(Writer { shared, syncers, actives });
    });
    std::mem::forget(watch);
}

fn work(mut writer: Writer<'_>) {
    let shared = writer.shared;
    while let Some(work) = shared.queue.take(shared.config.group_bytes_max) {
        let bytes = work.records.iter().map(Pending::frame_bytes).sum();
        let rolled = work.rolls.iter().try_for_each(|&partition| writer.roll(partition));
        let outcome = rolled.and_then(|()| match writer.refusal(bytes) {
            Some(refusal) => Ok(Err(refusal)),
            None => writer.group(&work.records).map(Ok),
        });
        if outcome.is_ok() {
            // Before the answers: who has one finds room for the next record.
            shared.queue.done(bytes);
        }
        match outcome {
            Ok(Ok(offsets)) => {
                for (pending, offset) in work.records.into_iter().zip(offsets) {
                    // Whoever dropped the future does not want to know.
                    let _ = pending.reply.send(Ok(offset));
                }
            }
            Ok(Err(refusal)) => answer_all(work.records, &refusal),
            Err(detail) => {
                shared.poison(&detail);
                writer.cut_back();
                answer_all(work.records, &AppendError::Unknown(detail));
                return;
            }
        }
    }
}

fn answer_all(records: Vec<Pending>, error: &AppendError) {
    for pending in records {
        let _ = pending.reply.send(Err(error.clone()));
    }
}

// === impl Writer ===

impl Writer<'_> {
    /// Why a group must not be written now.
    fn refusal(&self, bytes: usize) -> Option<AppendError> {
        let detail = self.shared.disk_refusal(bytes as u64)?;
        Some(AppendError::NotWritten { after: RETRY_DISK_FULL, detail })
    }

    /// Writes and syncs a group; answers with the offset of each record.
    fn group(&mut self, records: &[Pending]) -> Result<Vec<u64>, String> {
        let now_ms = (self.shared.config.now_ms)();
        let mut offsets = vec![0; records.len()];
        let mut order: Vec<usize> = (0..records.len()).collect();
        order.sort_by_key(|&index| records[index].partition);
        for run in order.chunk_by(|&a, &b| records[a].partition == records[b].partition) {
            let partition = records[run[0]].partition as usize;
            for &index in run {
                let frame_bytes = records[index].frame_bytes() as u64;
                if self.is_full(partition, frame_bytes) {
                    self.seal(partition)?;
                }
                offsets[index] = self.push(partition, &records[index], now_ms);
            }
        }
        let mut touched: Vec<_> =
            order.iter().map(|&index| records[index].partition as usize).collect();
        touched.dedup();
        self.sync(&touched)?;
        let figures = &self.shared.figures;
        figures.groups.fetch_add(1, Ordering::Relaxed);
        figures.records.fetch_add(records.len() as u64, Ordering::Relaxed);
        figures.last_append_ms.store(now_ms, Ordering::Relaxed);
        Ok(offsets)
    }

    fn is_full(&self, partition: usize, frame_bytes: u64) -> bool {
        let bytes = self.actives[partition].bytes();
        bytes > SEGMENT_HEAD_BYTES && bytes + frame_bytes > self.shared.config.segment_bytes_max
    }

    /// Puts a frame behind those of its partition.
    fn push(&mut self, partition: usize, pending: &Pending, now_ms: i64) -> u64 {
        let active = &mut self.actives[partition];
        let byte = active.bytes();
        if byte >= active.marked + MARK_EVERY_BYTES {
            active.marked = byte;
            active.marks.push(Mark { offset: active.next, byte, at_ms: active.last_ms });
        }
        let offset = active.next;
        active.last_ms = active.last_ms.max(now_ms);
        active.first_ms.get_or_insert(active.last_ms);
        active.next += 1;
        let len = u32::try_from(pending.payload.len()).unwrap_or(u32::MAX);
        let head = Head::record(offset, active.last_ms, len, pending.payload_crc);
        active.unwritten.extend_from_slice(&head.encode(active.seed));
        active.unwritten.extend_from_slice(&pending.payload);
        offset
    }

    /// Writes and syncs partitions, then shows their readers what is new.
    fn sync(&mut self, partitions: &[usize]) -> Result<(), String> {
        let ends: Vec<u64> = partitions.iter().map(|&at| self.actives[at].bytes()).collect();
        let actives = &mut self.actives;
        let emptied = self.syncers.sync(partitions.iter().map(|&at| actives[at].unsynced()))?;
        for ((&partition, end), empty) in partitions.iter().zip(ends).zip(emptied) {
            let active = &mut self.actives[partition];
            (active.durable, active.unwritten) = (end, empty);
            self.shared.partitions[partition].publish(Published {
                bytes: active.durable,
                next: active.next,
                first_ms: active.first_ms,
                last_ms: active.last_ms,
                marks: std::mem::take(&mut active.marks),
            });
        }
        Ok(())
    }

    /// Seals the newest segment and begins the next one. The old one is durable
    /// before the new one exists: that is what recovery relies on.
    fn seal(&mut self, partition: usize) -> Result<(), String> {
        self.sync(&[partition])?;
        let active = &mut self.actives[partition];
        let id = SegmentId { partition: active.id.partition, base: active.next };
        let (file, path) = make_segment(&*self.shared.config.disk, &active.dir, id)
            .map_err(failed("beginning a segment after", &active.path))?;
        let segment = Segment::new(id, path);
        *active = Active::new(file, &segment, &active.dir, active.next, active.last_ms);
        self.shared.partitions[partition].roll(segment);
        Ok(())
    }

    /// Seals the newest segment where it holds anything.
    fn roll(&mut self, partition: u32) -> Result<(), String> {
        if self.actives[partition as usize].bytes() > SEGMENT_HEAD_BYTES {
            self.seal(partition as usize)?;
        }
        Ok(())
    }

    /// After a failure: takes back what was never acknowledged, as far as the
    /// disk still lets us. Pages that a failed fsync left behind look sound to
    /// the next process, yet may not be on the disk.
    fn cut_back(&mut self) {
        for active in &self.actives {
            let on_disk = active.file.metadata().map_or(u64::MAX, |metadata| metadata.len());
            if on_disk > active.durable {
                let disk = &self.shared.config.disk;
                if let Err(error) = disk.truncate(&active.file, &active.path, active.durable) {
                    tracing::error!(file = %active.path.display(), %error, "cannot cut back what was not acknowledged");
                }
            }
        }
    }
}

// === impl Active ===

impl Active {
    pub(super) fn new(file: File, segment: &Segment, dir: &Path, next: u64, last_ms: i64) -> Self {
        Self {
            file: Arc::new(file),
            path: segment.path.as_path().into(),
            dir: dir.to_owned(),
            id: segment.id,
            seed: segment.id.seed(),
            durable: segment.bytes,
            unwritten: Vec::new(),
            next,
            last_ms,
            first_ms: Some(segment.first_ms).filter(|&first_ms| first_ms != i64::MAX),
            marks: Vec::new(),
            marked: segment.marks.last().map_or(SEGMENT_HEAD_BYTES, |mark| mark.byte),
        }
    }

    /// Bytes of the segment with those that are not yet written.
    fn bytes(&self) -> u64 {
        self.durable + self.unwritten.len() as u64
    }

    /// Takes what is to be written.
    fn unsynced(&mut self) -> Unsynced {
        let bytes = std::mem::take(&mut self.unwritten);
        Unsynced { file: Arc::clone(&self.file), path: Arc::clone(&self.path), bytes }
    }
}

// === impl Watch ===

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        self.0.poison("event log: its writer ended unexpectedly");
    }
}
