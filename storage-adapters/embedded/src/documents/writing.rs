//! Writes that wait for their turn, and one commit for as many as do.
//!
//! A commit costs a segment of some ten files, their syncs and a share of later
//! merges, whatever its size. So the one that has its turn takes along those that
//! came while another was writing: at rest a write is alone, under load commits
//! grow by themselves.

use std::collections::{BTreeMap, VecDeque};

use parking_lot::Mutex;
use sluice_seams::{DocumentWrite, Refused, StoreError, WriteReport};
use tokio::sync::oneshot;

use super::days::Filed;
use super::state::Changes;
use super::{Inner, documents, state};

/// Writes of one commit, about: one call more may stand in it.
const COMMIT_WRITES_MAX: usize = 16_384;

/// Calls that have not had their turn, in order.
#[derive(Default)]
pub(super) struct Waiting(Mutex<VecDeque<Call>>);

struct Call {
    writes: Vec<DocumentWrite>,
    written: oneshot::Sender<WriteReport>,
}

// === impl Waiting ===

impl Waiting {
    /// Lines a call up; the receiver has the report once it is written, and is
    /// closed where that failed.
    pub(super) fn push(&self, writes: Vec<DocumentWrite>) -> oneshot::Receiver<WriteReport> {
        let (written, outcome) = oneshot::channel();
        self.0.lock().push_back(Call { writes, written });
        outcome
    }

    /// How many calls wait.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.lock().len()
    }

    /// The calls of the next commit: the first one always.
    fn take(&self) -> Vec<Call> {
        let (mut calls, mut writes) = (self.0.lock(), 0);
        let more = calls.iter().take_while(|call| {
            let room = writes < COMMIT_WRITES_MAX;
            writes += call.writes.len();
            room
        });
        let count = more.count();
        calls.drain(..count).collect()
    }
}

// === impl Inner ===

impl Inner {
    /// Writes what waits, at most one commit of it. A caller whose own call was
    /// taken along by another finds nothing or serves those behind it.
    pub(super) fn write_waiting(&self) -> Result<(), StoreError> {
        let _writing = self.writing.lock();
        let calls = self.waiting.take();
        if calls.is_empty() {
            return Ok(());
        }
        // The commit before may have failed while this one waited.
        self.check()?;
        let (writes, answers): (Vec<_>, Vec<_>) =
            calls.into_iter().map(|call| (call.writes, call.written)).unzip();
        // Noted before the next one has its turn.
        let reports = self.write_all(writes).inspect_err(|error| self.refuse_after(error))?;
        for (written, report) in answers.into_iter().zip(reports) {
            // A caller that left wants no answer.
            let _ = written.send(report);
        }
        Ok(())
    }

    /// One commit of the writes of several calls; a report for each call.
    fn write_all(&self, calls: Vec<Vec<DocumentWrite>>) -> Result<Vec<WriteReport>, StoreError> {
        let mut reports: Vec<_> = calls.iter().map(|_| WriteReport::default()).collect();
        let mut by_day: BTreeMap<_, Vec<Filed>> = BTreeMap::new();
        let mut changes = Changes::default();
        for (call, writes) in calls.into_iter().enumerate() {
            for (index, write) in writes.into_iter().enumerate() {
                let fresh = match write {
                    DocumentWrite::Event(event) => {
                        match self.days.layout().document(&event) {
                            Ok((document, names)) => {
                                self.state.names(&event, names.properties, &mut changes);
                                let filed = Filed { call, key: event.key, document };
                                by_day.entry(event.day).or_default().push(filed);
                            }
                            Err(detail) => reports[call].refused.push(Refused { index, detail }),
                        }
                        true
                    }
                    DocumentWrite::Visitor { app_id, day, user } => {
                        self.state.visitor(&app_id, day, &user, &mut changes).map_err(state)?
                    }
                    DocumentWrite::FirstSeen(event) => {
                        self.state.first_seen(&event, &mut changes).map_err(state)?
                    }
                    DocumentWrite::Follow(event) => {
                        self.state.follow(&event, &mut changes).map_err(state)?
                    }
                };
                reports[call].existing += u64::from(!fresh);
            }
        }
        self.state.commit(changes).map_err(state)?;
        for (day, group) in by_day {
            for call in self.days.create(day, group).map_err(documents)? {
                reports[call].existing += 1;
            }
        }
        Ok(reports)
    }
}
