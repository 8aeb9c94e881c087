//! One partition as readers see it: durable records only.
//!
//! The writer publishes what it has synced; readers look up a place under a short
//! lock and then read the file without one. A segment that retention drops in
//! between is looked up again.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use sluice_seams::LogRecord;
use tokio::sync::watch;

use super::frame::{HEAD_BYTES, Head, Kind};
use super::segment::{Damage, Mark, SEGMENT_HEAD_BYTES, SegmentId, damage, head_at, missing};

/// Bytes between two marks: 24 bytes of memory for each such stretch of the log.
pub(super) const MARK_EVERY_BYTES: u64 = 256 << 10;
/// Most bytes one read returns, the first record aside.
const READ_BYTES_MAX: usize = 64 << 20;
/// Places where recent reads stopped, so that the next one need not search.
const HINTS_MAX: usize = 16;
/// A segment can vanish under a reader once; each time it is looked up again.
const LOOKUPS_MAX: u32 = 8;

/// A segment as readers see it.
#[derive(Debug, Clone)]
pub(super) struct Segment {
    pub(super) id: SegmentId,
    pub(super) path: PathBuf,
    /// Durable bytes.
    pub(super) bytes: u64,
    /// Time of its first record; `i64::MAX` where it has none yet.
    pub(super) first_ms: i64,
    pub(super) marks: Vec<Mark>,
}

/// What the writer has made durable at the end of the newest segment.
#[derive(Debug, Clone, Default)]
pub(super) struct Published {
    pub(super) bytes: u64,
    pub(super) next: u64,
    pub(super) first_ms: Option<i64>,
    pub(super) last_ms: i64,
    pub(super) marks: Vec<Mark>,
}

#[derive(Debug)]
pub(super) struct State {
    /// Never empty; the last one is written to.
    pub(super) segments: VecDeque<Segment>,
    /// The offset after the last durable record.
    pub(super) next: u64,
    /// Time of the last durable record.
    pub(super) last_ms: i64,
}

/// One partition.
#[derive(Debug)]
pub(super) struct Partition {
    pub(super) state: RwLock<State>,
    end: watch::Sender<u64>,
    hints: Mutex<VecDeque<Hint>>,
}

#[derive(Debug, Clone, Copy)]
struct Hint {
    base: u64,
    offset: u64,
    byte: u64,
}

/// Where to look for an offset.
struct View {
    id: SegmentId,
    path: PathBuf,
    start: Mark,
    bytes: u64,
    /// The offset that follows this segment.
    end: u64,
}

/// Why a read failed.
#[derive(Debug)]
pub(super) enum ReadError {
    Io(PathBuf, io::Error),
    Damage(Damage),
}

// === impl Segment ===

impl Segment {
    pub(super) fn new(id: SegmentId, path: PathBuf) -> Self {
        let start = Mark { offset: id.base, byte: SEGMENT_HEAD_BYTES, at_ms: i64::MIN };
        Self { id, path, bytes: SEGMENT_HEAD_BYTES, first_ms: i64::MAX, marks: vec![start] }
    }

    /// Adds the marks that lie past those it has.
    fn extend_marks(&mut self, marks: Vec<Mark>) {
        let last = self.marks.last().map_or(0, |mark| mark.byte);
        self.marks.extend(marks.into_iter().filter(|mark| mark.byte > last));
    }
}

// === impl State ===

impl State {
    /// The offset that follows segment `index`.
    pub(super) fn end_of(&self, index: usize) -> u64 {
        self.segments.get(index + 1).map_or(self.next, |segment| segment.id.base)
    }

    fn view(&self, index: usize, start: Mark) -> View {
        let segment = &self.segments[index];
        let (id, path, bytes) = (segment.id, segment.path.clone(), segment.bytes);
        View { id, path, start, bytes, end: self.end_of(index) }
    }
}

// === impl Partition ===

impl Partition {
    pub(super) fn new(state: State) -> Self {
        let end = watch::Sender::new(state.next);
        Self { state: RwLock::new(state), end, hints: Mutex::default() }
    }

    pub(super) fn bounds(&self) -> (u64, u64) {
        let state = self.state.read();
        (state.segments.front().map_or(state.next, |first| first.id.base), state.next)
    }

    pub(super) fn disk_bytes(&self) -> u64 {
        self.state.read().segments.iter().map(|segment| segment.bytes).sum()
    }

    pub(super) fn ends(&self) -> watch::Receiver<u64> {
        self.end.subscribe()
    }

    /// Shows readers what has become durable.
    pub(super) fn publish(&self, published: Published) {
        {
            let mut state = self.state.write();
            state.next = published.next;
            state.last_ms = published.last_ms;
            if let Some(segment) = state.segments.back_mut() {
                segment.bytes = published.bytes;
                segment.first_ms = published.first_ms.unwrap_or(segment.first_ms);
                segment.extend_marks(published.marks);
            }
        }
        self.end.send_replace(published.next);
    }

    /// Shows readers a new, empty segment.
    pub(super) fn roll(&self, segment: Segment) {
        self.state.write().segments.push_back(segment);
    }

    /// Records from `from` on; see `EventLog::read`.
    pub(super) fn read(&self, mut from: u64, max: usize) -> Result<Vec<LogRecord>, ReadError> {
        let mut lookups = 0;
        while let Some(view) = self.view_at(from) {
            match self.read_in(&view, from, max.min(READ_BYTES_MAX)) {
                Ok(records) if records.is_empty() => from = view.end,
                Ok(records) => return Ok(records),
                Err(error) => {
                    lookups += 1;
                    error.unless_dropped(lookups)?;
                }
            }
        }
        Ok(Vec::new())
    }

    /// The lowest offset at or after a time; see `EventLog::offset_at`.
    pub(super) fn offset_at(&self, time_ms: i64) -> Result<u64, ReadError> {
        let mut lookups = 0;
        loop {
            let view = {
                let state = self.state.read();
                let after = state.segments.partition_point(|segment| segment.first_ms < time_ms);
                let Some(index) = after.checked_sub(1) else { break };
                let marks = &state.segments[index].marks;
                let mark = marks.partition_point(|mark| mark.at_ms < time_ms).saturating_sub(1);
                state.view(index, marks[mark])
            };
            let younger = |head: &Head| head.at_ms().is_some_and(|at_ms| at_ms >= time_ms);
            match self.walk(&view, younger) {
                Ok((mark, _)) => return Ok(mark.offset),
                Err(error) => {
                    lookups += 1;
                    error.unless_dropped(lookups)?;
                }
            }
        }
        Ok(self.bounds().0)
    }

    fn view_at(&self, from: u64) -> Option<View> {
        let state = self.state.read();
        if from >= state.next {
            return None;
        }
        let index = state.segments.partition_point(|segment| segment.id.base <= from);
        let index = index.saturating_sub(1);
        let segment = &state.segments[index];
        let mark = segment.marks.partition_point(|mark| mark.offset <= from).saturating_sub(1);
        let mut start = segment.marks[mark];
        for hint in self.hints.lock().iter().filter(|hint| hint.base == segment.id.base) {
            if hint.offset <= from && hint.byte > start.byte {
                start = Mark { offset: hint.offset, byte: hint.byte, at_ms: start.at_ms };
            }
        }
        Some(state.view(index, start))
    }

    /// Walks the heads from the start of the view to the first frame for which
    /// `found` holds, or to the end.
    fn walk(&self, view: &View, found: impl Fn(&Head) -> bool) -> Result<(Mark, File), ReadError> {
        let failed = |error| ReadError::Io(view.path.clone(), error);
        let file = File::open(&view.path).map_err(failed)?;
        let seed = view.id.seed();
        let mut place = view.start;
        let mut marks = Vec::new();
        let mut marked = place.byte;
        while place.byte < view.bytes {
            let head = head_at(&file, &view.path, seed, place.byte, place.offset)
                .map_err(failed)?
                .map_err(ReadError::Damage)?;
            if found(&head) {
                break;
            }
            place = Mark {
                offset: head.next(),
                byte: place.byte + head.frame_bytes(),
                at_ms: head.at_ms().unwrap_or(place.at_ms),
            };
            if place.byte >= marked + MARK_EVERY_BYTES && place.byte < view.bytes {
                marked = place.byte;
                marks.push(place);
            }
        }
        if !marks.is_empty() {
            let mut state = self.state.write();
            if let Some(segment) = state.segments.iter_mut().find(|s| s.id == view.id) {
                segment.extend_marks(marks);
            }
        }
        if place.byte >= view.bytes {
            whole(view, place.byte, place.offset)?;
        }
        Ok((place, file))
    }

    fn read_in(&self, view: &View, from: u64, max: usize) -> Result<Vec<LogRecord>, ReadError> {
        let (mut place, file) = self.walk(view, |head| head.next() > from)?;
        let mut records = Vec::new();
        while records.is_empty() && place.byte < view.bytes {
            place = read_chunk(&file, view, place, max, &mut records)?;
        }
        if place.byte < view.bytes {
            let mut hints = self.hints.lock();
            hints.truncate(HINTS_MAX - 1);
            hints.push_front(Hint { base: view.id.base, offset: place.offset, byte: place.byte });
        }
        Ok(records)
    }
}

/// Reads about `max` bytes of frames, at least one frame; returns where it stopped.
fn read_chunk(
    file: &File,
    view: &View,
    start: Mark,
    max: usize,
    records: &mut Vec<LogRecord>,
) -> Result<Mark, ReadError> {
    let seed = view.id.seed();
    let failed = |error| ReadError::Io(view.path.clone(), error);
    let first = head_at(file, &view.path, seed, start.byte, start.offset)
        .map_err(failed)?
        .map_err(ReadError::Damage)?;
    let room = view.bytes - start.byte;
    if first.frame_bytes() > room {
        return Err(bad(view, start.byte, "its last frame ends after the segment"));
    }
    let len = room.min(first.frame_bytes().max(max as u64)) as usize;
    let mut chunk = vec![0; len];
    file.read_exact_at(&mut chunk, start.byte).map_err(failed)?;
    let chunk = Bytes::from(chunk);
    let (mut at, mut expected) = (0, start.offset);
    while chunk.len() - at >= HEAD_BYTES {
        let byte = start.byte + at as u64;
        let Some(head) = Head::decode(&chunk[at..], seed) else {
            return Err(bad(view, byte, "no sound frame begins here"));
        };
        if head.offset != expected {
            return Err(ReadError::Damage(missing(&view.path, byte, expected, head.offset)));
        }
        let Some(end) = Some(at + head.frame_bytes() as usize).filter(|&end| end <= chunk.len())
        else {
            break;
        };
        let payload = chunk.slice(at + HEAD_BYTES..end);
        if crc32fast::hash(&payload) != head.payload_crc {
            return Err(bad(view, byte, "the checksum of this record is wrong"));
        }
        if let Kind::Record { at_ms } = head.kind {
            records.push(LogRecord { offset: head.offset, appended_at_ms: at_ms, payload });
        }
        at = end;
        expected = head.next();
    }
    let byte = start.byte + at as u64;
    if byte >= view.bytes {
        whole(view, byte, expected)?;
    }
    Ok(Mark { offset: expected, byte, at_ms: start.at_ms })
}

/// Checks, at the end of a segment, that nothing is missing there.
fn whole(view: &View, byte: u64, expected: u64) -> Result<(), ReadError> {
    if byte == view.bytes && expected == view.end {
        return Ok(());
    }
    Err(bad(
        view,
        byte,
        &format!("it ends before offset {expected}, but should reach {}", view.end),
    ))
}

fn bad(view: &View, at: u64, what: &str) -> ReadError {
    ReadError::Damage(damage(&view.path, at, what))
}

// === impl ReadError ===

impl ReadError {
    /// A file that is not there any more was dropped by retention: look again.
    fn unless_dropped(self, lookups: u32) -> Result<(), Self> {
        match &self {
            Self::Io(_, error)
                if error.kind() == io::ErrorKind::NotFound && lookups < LOOKUPS_MAX =>
            {
                Ok(())
            }
            _ => Err(self),
        }
    }
}

/// All partitions of a log.
pub(super) type Partitions = Arc<[Partition]>;
