//! Stores that keep a ledger of what they took, with scripted faults.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

use futures::FutureExt;
use parking_lot::Mutex;
use sluice_memory::fault::{Fault, Script};
use sluice_seams::document::{Catalogue, StoreStatus};
use sluice_seams::row::{Cell, TimelineCursor};
use sluice_seams::{
    BoxFuture, Day, DocumentStore, DocumentWrite, EventDocument, Key, Profile, Question, RowStore,
    RowWrite, StoreError, Table, TimelinePage, WriteReport,
};

#[derive(Debug, Clone, Default, PartialEq)]
pub struct DocumentState {
    /// By event id: day and corrected time of the copy that was kept.
    pub events: BTreeMap<String, (i32, i64)>,
    pub visitors: BTreeSet<(String, i32)>,
    /// By user: time and key of the first event.
    pub first: BTreeMap<String, (i64, Vec<u8>)>,
    pub follows: BTreeSet<String>,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct RowState {
    pub timeline: BTreeSet<(String, i64, String)>,
    pub seen: BTreeMap<String, (i64, i64)>,
    /// User, name, time, event id, value.
    pub profile: BTreeSet<(String, String, i64, String, String)>,
}

/// What both stores have in common.
pub struct Ledger<S> {
    pub script: Script,
    /// Events whose writes are refused, one by one.
    pub refuse: Mutex<HashSet<String>>,
    /// An event that makes the whole request refused.
    pub indigestible: Mutex<Option<String>>,
    /// An event whose request fails in passing, again and again.
    pub stuck: Mutex<Option<String>>,
    pub calls: Mutex<u64>,
    pub dropped_before: Mutex<Option<Day>>,
    state: Mutex<S>,
    names: Mutex<HashMap<Key, String>>,
}

pub type LedgerDocuments = Ledger<DocumentState>;
pub type LedgerRows = Ledger<RowState>;

impl<S: Default> Default for Ledger<S> {
    fn default() -> Self {
        Self {
            script: Script::default(),
            refuse: Mutex::default(),
            indigestible: Mutex::default(),
            stuck: Mutex::default(),
            calls: Mutex::default(),
            dropped_before: Mutex::default(),
            state: Mutex::default(),
            names: Mutex::default(),
        }
    }
}

impl<S: Clone + Default> Ledger<S> {
    pub fn state(&self) -> S {
        self.state.lock().clone()
    }

    pub fn wipe(&self) {
        *self.state.lock() = S::default();
    }

    /// Applies writes as the script says.
    async fn run<W>(
        &self,
        writes: Vec<W>,
        id: impl Fn(&W) -> Option<String>,
        apply: impl Fn(&mut S, W),
    ) -> Result<WriteReport, StoreError> {
        *self.calls.lock() += 1;
        let mut report = WriteReport::default();
        let indigestible = self.indigestible.lock().clone();
        if indigestible.is_some() && writes.iter().any(|write| id(write) == indigestible) {
            return Err(StoreError::Refused("indigestible".to_owned()));
        }
        let retry = || Err(StoreError::retry(Duration::from_millis(1), "scripted"));
        let stuck = self.stuck.lock().clone();
        if stuck.is_some() && writes.iter().any(|write| id(write) == stuck) {
            return retry().map(|()| report);
        }
        let (some, outcome) = match self.script.take() {
            Fault::None => (writes.len(), Ok(())),
            Fault::RetryBefore => (0, retry()),
            Fault::RetryAfter => (writes.len(), retry()),
            Fault::RetryAfterSome(some) => (some, retry()),
            Fault::Poison => (0, Err(StoreError::Poisoned("scripted".to_owned()))),
            Fault::Slow(time) => {
                tokio::time::sleep(time).await;
                (writes.len(), Ok(()))
            }
        };
        for (index, write) in writes.into_iter().enumerate().take(some) {
            let refused = id(&write).is_some_and(|id| self.refuse.lock().contains(&id));
            if refused {
                report.refuse(index, "refused by test");
            } else {
                apply(&mut self.state.lock(), write);
            }
        }
        outcome.map(|()| report)
    }
}

fn id_of(event: &EventDocument) -> String {
    event.inner().id.clone()
}

// === impl DocumentStore ===

impl LedgerDocuments {
    pub fn holds(&self, id: &str) -> bool {
        self.state.lock().events.contains_key(id)
    }
}

impl DocumentState {
    fn apply(&mut self, write: DocumentWrite) {
        match write {
            DocumentWrite::Event(event) => {
                let kept = (event.day.0, event.time_ms());
                self.events.entry(id_of(&event)).or_insert(kept);
            }
            DocumentWrite::Visitor { day, user, .. } => {
                self.visitors.insert((user.to_string(), day.0));
            }
            DocumentWrite::FirstSeen(event) => {
                let when = (event.time_ms(), event.key.to_bytes().to_vec());
                let held =
                    self.first.entry(event.user().to_owned()).or_insert_with(|| when.clone());
                if when < *held {
                    *held = when;
                }
            }
            DocumentWrite::Follow(event) => {
                self.follows.insert(id_of(&event));
            }
        }
    }
}

impl DocumentStore for LedgerDocuments {
    fn write(&self, writes: Vec<DocumentWrite>) -> BoxFuture<'_, Result<WriteReport, StoreError>> {
        let id = |write: &DocumentWrite| match write {
            DocumentWrite::Event(event)
            | DocumentWrite::FirstSeen(event)
            | DocumentWrite::Follow(event) => Some(id_of(event)),
            DocumentWrite::Visitor { .. } => None,
        };
        self.run(writes, id, DocumentState::apply).boxed()
    }

    fn answer(&self, _: Question) -> BoxFuture<'_, Result<Table, StoreError>> {
        async { Err(StoreError::Refused("a ledger answers nothing".to_owned())) }.boxed()
    }

    fn contains(&self, _: Key, _: Day) -> BoxFuture<'_, Result<bool, StoreError>> {
        async { Ok(false) }.boxed()
    }

    fn catalogue(&self, _: &str) -> BoxFuture<'_, Result<Catalogue, StoreError>> {
        async { Ok(Catalogue::default()) }.boxed()
    }

    fn days(&self) -> BoxFuture<'_, Result<Vec<Day>, StoreError>> {
        async { Ok(Vec::new()) }.boxed()
    }

    fn drop_before(&self, day: Day) -> BoxFuture<'_, Result<u64, StoreError>> {
        *self.dropped_before.lock() = Some(day);
        async { Ok(0) }.boxed()
    }

    fn status(&self) -> BoxFuture<'_, StoreStatus> {
        async { StoreStatus::default() }.boxed()
    }

    fn close(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        async { Ok(()) }.boxed()
    }
}

// === impl RowStore ===

impl LedgerRows {
    pub fn holds(&self, id: &str) -> bool {
        self.state.lock().timeline.iter().any(|(_, _, held)| held == id)
    }
}

impl RowState {
    fn apply(&mut self, write: RowWrite, names: &Mutex<HashMap<Key, String>>) {
        match write {
            RowWrite::Timeline(event) => {
                names.lock().insert(event.key, id_of(&event));
                let row = (event.user().to_owned(), event.time_ms(), id_of(&event));
                self.timeline.insert(row);
            }
            RowWrite::Profile(change) => {
                let value = match change.cell {
                    Cell::Set(json) => String::from_utf8(json.to_vec()).expect("JSON is UTF-8"),
                    other => format!("{other:?}"),
                };
                let id = names.lock()[&change.key].clone();
                let user = change.user.to_string();
                self.profile.insert((user, change.name.to_string(), change.time_ms, id, value));
            }
            RowWrite::Seen { user, time_ms, .. } => {
                let span = self.seen.entry(user.to_string()).or_insert((time_ms, time_ms));
                *span = (span.0.min(time_ms), span.1.max(time_ms));
            }
        }
    }
}

impl RowStore for LedgerRows {
    fn write(&self, writes: Vec<RowWrite>) -> BoxFuture<'_, Result<WriteReport, StoreError>> {
        let id = |write: &RowWrite| match write {
            RowWrite::Timeline(event) => Some(id_of(event)),
            RowWrite::Profile(_) | RowWrite::Seen { .. } => None,
        };
        self.run(writes, id, |state, write| state.apply(write, &self.names)).boxed()
    }

    fn timeline(
        &self,
        _: &str,
        _: &str,
        _: Option<TimelineCursor>,
        _: usize,
    ) -> BoxFuture<'_, Result<TimelinePage, StoreError>> {
        async { Ok(TimelinePage::default()) }.boxed()
    }

    fn profile(&self, _: &str, _: &str) -> BoxFuture<'_, Result<Option<Profile>, StoreError>> {
        async { Ok(None) }.boxed()
    }

    fn contains(
        &self,
        _: &str,
        _: &str,
        _: i64,
        _: Key,
    ) -> BoxFuture<'_, Result<bool, StoreError>> {
        async { Ok(false) }.boxed()
    }

    fn drop_before(&self, day: Day) -> BoxFuture<'_, Result<u64, StoreError>> {
        *self.dropped_before.lock() = Some(day);
        async { Ok(0) }.boxed()
    }

    fn status(&self) -> BoxFuture<'_, StoreStatus> {
        async { StoreStatus::default() }.boxed()
    }

    fn close(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        async { Ok(()) }.boxed()
    }
}
