//! Retention: drops whole sealed segments, oldest first, and none that a lane has
//! not taken.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::sync::atomic::Ordering;

use sluice_seams::StoreError;

use super::create::partition_dir;
use super::shared::Shared;

/// What one round of retention did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Retained {
    /// Segments dropped.
    pub dropped_segments: u64,
    /// Their bytes.
    pub dropped_bytes: u64,
}

/// The oldest segment of a partition, where it may go.
struct Candidate {
    partition: u32,
    bytes: u64,
    first_ms: i64,
    /// No record in it is younger.
    last_ms: i64,
}

/// Drops what may be dropped now.
pub(super) fn retain(shared: &Shared) -> Result<Retained, StoreError> {
    let now_ms = (shared.config.now_ms)();
    let retention_ms = i64::try_from(shared.config.retention_ms).unwrap_or(i64::MAX);
    let oldest_kept_ms = now_ms.saturating_sub(retention_ms);
    seal_stale(shared, oldest_kept_ms);
    let mut retained = Retained::default();
    let mut touched = BTreeSet::new();
    let mut bytes: u64 = shared.partitions.iter().map(|p| p.disk_bytes()).sum();
    while let Some(candidate) = candidates(shared).min_by_key(|candidate| candidate.first_ms) {
        let too_many = shared.config.retention_bytes.is_some_and(|max| bytes > max);
        let too_old = candidates(shared).find(|candidate| candidate.last_ms < oldest_kept_ms);
        let Some(candidate) = too_old.or(too_many.then_some(candidate)) else { break };
        drop_oldest(shared, candidate.partition)?;
        touched.insert(candidate.partition);
        bytes = bytes.saturating_sub(candidate.bytes);
        retained.dropped_segments += 1;
        retained.dropped_bytes += candidate.bytes;
    }
    for partition in touched {
        let dir = partition_dir(&shared.config.dir, partition);
        if let Err(error) = shared.config.disk.sync_dir(&dir) {
            let detail = format!("event log: syncing {} failed ({error})", dir.display());
            shared.poison(&detail);
            return Err(StoreError::Poisoned(detail));
        }
    }
    shared.figures.dropped_segments.fetch_add(retained.dropped_segments, Ordering::Relaxed);
    Ok(retained)
}

/// A partition that little is written to would keep its newest segment, and with
/// it records long past their time, until that is full.
fn seal_stale(shared: &Shared, oldest_kept_ms: i64) {
    for (number, partition) in shared.partitions.iter().enumerate() {
        let stale = {
            let state = partition.state.read();
            state.segments.back().is_some_and(|newest| newest.first_ms < oldest_kept_ms)
        };
        if stale {
            shared.queue.roll(number as u32);
        }
    }
}

/// The oldest segment of each partition that is sealed and taken by every lane.
fn candidates(shared: &Shared) -> impl Iterator<Item = Candidate> + '_ {
    (0..).zip(shared.partitions.iter()).filter_map(|(partition, p)| {
        let taken = shared.commits.lowest(partition).unwrap_or(u64::MAX);
        let state = p.state.read();
        let [oldest, next] = [state.segments.front()?, state.segments.get(1)?];
        let last_ms = if next.first_ms == i64::MAX { state.last_ms } else { next.first_ms };
        let (bytes, first_ms) = (oldest.bytes, oldest.first_ms);
        (next.id.base <= taken).then_some(Candidate { partition, bytes, first_ms, last_ms })
    })
}

fn drop_oldest(shared: &Shared, partition: u32) -> Result<(), StoreError> {
    let dropped = {
        let mut state = shared.partitions[partition as usize].state.write();
        if state.segments.len() > 1 { state.segments.pop_front() } else { None }
    };
    let Some(segment) = dropped else { return Ok(()) };
    match fs::remove_file(&segment.path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            let detail = format!("event log: removing {} failed ({error})", segment.path.display());
            shared.poison(&detail);
            Err(StoreError::Poisoned(detail))
        }
        _ => Ok(()),
    }
}
