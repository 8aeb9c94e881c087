//! Hands records from callers to the writer, in the order of the calls, bounded
//! in bytes.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::{Condvar, Mutex};
use sluice_seams::AppendError;
use tokio::sync::oneshot;

use super::frame::HEAD_BYTES;

/// When to try again while the queue is full: some groups later.
const RETRY_FULL: Duration = Duration::from_millis(200);
/// When to try again after the log was closed: with its successor.
const RETRY_CLOSED: Duration = Duration::from_secs(1);

/// A record handed over and not yet durable.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) partition: u32,
    pub(super) payload: Bytes,
    pub(super) payload_crc: u32,
    pub(super) reply: oneshot::Sender<Result<u64, AppendError>>,
}

/// What the writer does next.
#[derive(Debug, Default)]
pub(super) struct Work {
    pub(super) records: Vec<Pending>,
    /// Partitions whose newest segment is to be sealed.
    pub(super) rolls: Vec<u32>,
}

/// The queue.
#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    wake: Condvar,
    bytes_max: usize,
}

#[derive(Debug, Default)]
struct State {
    records: VecDeque<Pending>,
    rolls: Vec<u32>,
    /// Bytes queued or being written.
    bytes: usize,
    closed: bool,
    /// Why the writer is gone for good.
    poisoned: Option<String>,
}

// === impl Pending ===

impl Pending {
    pub(super) fn frame_bytes(&self) -> usize {
        HEAD_BYTES + self.payload.len()
    }
}

// === impl Queue ===

impl Queue {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { state: Mutex::default(), wake: Condvar::new(), bytes_max }
    }

    /// Takes a record, or says why not.
    pub(super) fn push(&self, pending: Pending) -> Result<(), AppendError> {
        let mut state = self.state.lock();
        if let Some(detail) = &state.poisoned {
            return Err(AppendError::Poisoned(detail.clone()));
        }
        if state.closed {
            let detail = "the event log is closed".into();
            return Err(AppendError::NotWritten { after: RETRY_CLOSED, detail });
        }
        // A record larger than the whole bound is taken when nothing else waits.
        if state.bytes > 0 && state.bytes + pending.frame_bytes() > self.bytes_max {
            let detail =
                format!("{} of at most {} bytes wait for the disk", state.bytes, self.bytes_max);
            return Err(AppendError::NotWritten { after: RETRY_FULL, detail });
        }
        state.bytes += pending.frame_bytes();
        state.records.push_back(pending);
        drop(state);
        self.wake.notify_one();
        Ok(())
    }

    /// Asks the writer to seal the newest segment of a partition.
    pub(super) fn roll(&self, partition: u32) {
        let mut state = self.state.lock();
        if !state.closed && !state.rolls.contains(&partition) {
            state.rolls.push(partition);
            self.wake.notify_one();
        }
    }

    /// Waits for work of about `bytes_max`; `None` once closed and empty.
    pub(super) fn take(&self, bytes_max: usize) -> Option<Work> {
        let mut state = self.state.lock();
        while state.records.is_empty() && state.rolls.is_empty() {
            if state.closed {
                return None;
            }
            self.wake.wait(&mut state);
        }
        let mut work = Work { records: Vec::new(), rolls: std::mem::take(&mut state.rolls) };
        let mut bytes = 0;
        while bytes < bytes_max {
            let Some(pending) = state.records.pop_front() else { break };
            bytes += pending.frame_bytes();
            work.records.push(pending);
        }
        Some(work)
    }

    /// Gives back the room of records whose fate is known.
    pub(super) fn done(&self, bytes: usize) {
        let mut state = self.state.lock();
        state.bytes = state.bytes.saturating_sub(bytes);
    }

    /// Takes no more; what is queued is still written.
    pub(super) fn close(&self) {
        self.state.lock().closed = true;
        self.wake.notify_all();
    }

    /// Refuses what is queued and everything later: the writer is gone for good.
    pub(super) fn poison(&self, detail: &str) {
        let records = {
            let mut state = self.state.lock();
            state.poisoned.get_or_insert_with(|| detail.to_owned());
            state.closed = true;
            state.bytes = 0;
            std::mem::take(&mut state.records)
        };
        for pending in records {
            // Whoever dropped the future does not want to know.
            let _ = pending.reply.send(Err(AppendError::Poisoned(detail.to_owned())));
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.state.lock().bytes
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state.lock().closed
    }
}
