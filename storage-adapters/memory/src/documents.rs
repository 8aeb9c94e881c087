//! A document store in memory: the plainest reading of the seam, so that faster
//! stores can be held against it.
//!
//! Answers come from `Filter::passes`, `EventDocument::values` and sets; nothing
//! is indexed. With no user id and no device id a document counts for no user.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use parking_lot::Mutex;
use sluice_seams::document::{Catalogue, StoreStatus};
use sluice_seams::key::AppHash;
use sluice_seams::question::{Ask, Group, Visit};
use sluice_seams::{
    BoxFuture, Day, DocumentStore, DocumentWrite, EventDocument, Field, GroupKey, Key, KeyValue,
    Measure, Question, Source, StoreError, Table, WriteReport,
};

use crate::fault::{Fault, Script};

/// Documents in maps, with scripted faults.
#[derive(Debug, Clone, Default)]
pub struct MemoryDocuments {
    state: Arc<Mutex<State>>,
    script: Script,
}

#[derive(Debug, Default)]
struct State {
    events: BTreeMap<(Day, Key), EventDocument>,
    visitors: BTreeSet<(String, Day, String)>,
    first_seen: BTreeMap<(String, String), EventDocument>,
    follows: BTreeMap<(String, Key), EventDocument>,
    refusing: Option<String>,
}

/// What one measure has gathered in one group.
#[derive(Debug, Clone, Default)]
struct Cell {
    count: u64,
    values: HashSet<String>,
}

// === impl MemoryDocuments ===

impl MemoryDocuments {
    /// An empty store whose writes follow `script`.
    pub fn new(script: Script) -> Self {
        Self { state: Arc::default(), script }
    }

    /// Number of `(app, day, user)` visitors; for tests.
    pub fn visitors(&self) -> usize {
        self.state.lock().visitors.len()
    }

    async fn write_scripted(&self, writes: Vec<DocumentWrite>) -> Result<WriteReport, StoreError> {
        let retry = || StoreError::retry(Duration::from_millis(1), "scripted fault");
        let (some, after) = match self.script.take() {
            Fault::None => (writes.len(), None),
            Fault::RetryBefore => (0, Some(retry())),
            Fault::RetryAfter => (writes.len(), Some(retry())),
            Fault::RetryAfterSome(some) => (some, Some(retry())),
            Fault::Poison => {
                self.state.lock().refusing = Some("scripted fault".to_owned());
                (0, None)
            }
            Fault::Slow(time) => {
                tokio::time::sleep(time).await;
                (writes.len(), None)
            }
        };
        let mut state = self.state.lock();
        state.check()?;
        let mut report = WriteReport::default();
        for write in writes.into_iter().take(some) {
            report.existing += u64::from(!state.apply(write));
        }
        after.map_or(Ok(report), Err)
    }
}

impl DocumentStore for MemoryDocuments {
    fn write(&self, writes: Vec<DocumentWrite>) -> BoxFuture<'_, Result<WriteReport, StoreError>> {
        self.write_scripted(writes).boxed()
    }

    fn answer(&self, question: Question) -> BoxFuture<'_, Result<Table, StoreError>> {
        async move {
            let state = self.state.lock();
            state.check()?;
            let documents = state.looked_at(&question);
            match &question.ask {
                Ask::Groups { by, measures, groups_max } => {
                    groups(&documents, by, measures, *groups_max)
                }
                Ask::Visits { fields, visits_max } => visits(&documents, fields, *visits_max),
            }
        }
        .boxed()
    }

    fn contains(&self, key: Key, day: Day) -> BoxFuture<'_, Result<bool, StoreError>> {
        async move { Ok(self.state.lock().events.contains_key(&(day, key))) }.boxed()
    }

    fn catalogue(&self, app_id: &str) -> BoxFuture<'_, Result<Catalogue, StoreError>> {
        let app_id = app_id.to_owned();
        async move { Ok(self.state.lock().catalogue(&app_id)) }.boxed()
    }

    fn days(&self) -> BoxFuture<'_, Result<Vec<Day>, StoreError>> {
        async move {
            let days: BTreeSet<Day> =
                self.state.lock().events.keys().map(|(day, _)| *day).collect();
            Ok(days.into_iter().collect())
        }
        .boxed()
    }

    fn drop_before(&self, day: Day) -> BoxFuture<'_, Result<u64, StoreError>> {
        async move {
            let mut state = self.state.lock();
            state.check()?;
            let kept = state.events.split_off(&(day, Key(0)));
            let dropped = std::mem::replace(&mut state.events, kept).len();
            state.visitors.retain(|(_, of, _)| *of >= day);
            Ok(dropped as u64)
        }
        .boxed()
    }

    fn status(&self) -> BoxFuture<'_, StoreStatus> {
        async move {
            let state = self.state.lock();
            StoreStatus {
                refusing: state.refusing.clone(),
                disk_bytes: None,
                entries: Some(state.events.len() as u64),
            }
        }
        .boxed()
    }

    fn close(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        async move {
            self.state.lock().refusing.get_or_insert_with(|| "closed".to_owned());
            Ok(())
        }
        .boxed()
    }
}

// === impl State ===

impl State {
    fn check(&self) -> Result<(), StoreError> {
        self.refusing.clone().map_or(Ok(()), |why| Err(StoreError::Poisoned(why)))
    }

    /// Applies one write; `false` where what was there stays.
    fn apply(&mut self, write: DocumentWrite) -> bool {
        use std::collections::btree_map::Entry;
        match write {
            DocumentWrite::Event(document) => match self.events.entry((document.day, document.key))
            {
                Entry::Vacant(entry) => {
                    entry.insert(document);
                    true
                }
                Entry::Occupied(_) => false,
            },
            DocumentWrite::Visitor { app_id, day, user } => {
                self.visitors.insert((app_id.to_string(), day, user.to_string()))
            }
            DocumentWrite::FirstSeen(document) => {
                let key = (document.app_id().to_owned(), document.user().to_owned());
                let earlier = self.first_seen.get(&key).is_none_or(|held| {
                    (document.time_ms(), document.key) < (held.time_ms(), held.key)
                });
                if earlier {
                    self.first_seen.insert(key, document);
                }
                earlier
            }
            DocumentWrite::Follow(document) => {
                let key = (document.app_id().to_owned(), document.key);
                match self.follows.entry(key) {
                    Entry::Vacant(entry) => {
                        entry.insert(document);
                        true
                    }
                    Entry::Occupied(_) => false,
                }
            }
        }
    }

    fn looked_at(&self, question: &Question) -> Vec<&EventDocument> {
        let all: Box<dyn Iterator<Item = &EventDocument>> = match question.source {
            Source::Events => Box::new(self.events.values()),
            Source::FirstSeen => Box::new(self.first_seen.values()),
            Source::Follows => Box::new(self.follows.values()),
        };
        all.filter(|document| document.app_id() == &*question.app_id)
            .filter(|document| (question.from_ms..question.to_ms).contains(&document.time_ms()))
            .filter(|document| question.filter.passes(document))
            .collect()
    }

    fn catalogue(&self, app_id: &str) -> Catalogue {
        let (mut events, mut properties, mut ids) =
            (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for document in self.events.values().filter(|document| document.app_id() == app_id) {
            events.insert(document.inner().name.clone());
            ids.extend(document.inner().ids.keys().cloned());
            document.each_property(|path, _| {
                properties.insert(path.to_owned());
            });
        }
        Catalogue {
            events: events.into_iter().collect(),
            properties: properties.into_iter().collect(),
            ids: ids.into_iter().collect(),
        }
    }
}

// === answers ===

fn groups(
    documents: &[&EventDocument],
    by: &[GroupKey],
    measures: &[Measure],
    groups_max: usize,
) -> Result<Table, StoreError> {
    let mut groups: HashMap<Vec<KeyValue>, Vec<Cell>> = HashMap::new();
    let empty = vec![Cell::default(); measures.len()];
    if by.is_empty() {
        groups.insert(Vec::new(), empty.clone());
    }
    for document in documents {
        for keys in keys_of(document, by) {
            let cells = groups.entry(keys).or_insert_with(|| empty.clone());
            for (measure, cell) in measures.iter().zip(cells) {
                measure_one(measure, document, cell);
            }
        }
    }
    let answer: Vec<Group> = groups
        .into_iter()
        .map(|(keys, cells)| {
            let value = |cell: &Cell| cell.count + cell.values.len() as u64;
            Group { keys, values: cells.iter().map(value).collect() }
        })
        .filter(|group| by.is_empty() || group.values.iter().any(|&value| value > 0))
        .collect();
    if !by.is_empty() && answer.len() > groups_max {
        let detail = format!("more than {groups_max} groups: at most {groups_max} are allowed");
        return Err(StoreError::Refused(detail));
    }
    Ok(Table::Groups(answer))
}

fn measure_one(measure: &Measure, document: &EventDocument, cell: &mut Cell) {
    match measure {
        Measure::Count(filter) => cell.count += u64::from(filter.passes(document)),
        Measure::Users(filter) => {
            if filter.passes(document) && !document.user().is_empty() {
                cell.values.insert(document.user().to_owned());
            }
        }
        Measure::Distinct(field, filter) => {
            if filter.passes(document) {
                cell.values.extend(document.values(field));
            }
        }
    }
}

/// Every combination of key values under which a document counts; none where
/// its time is in no bucket.
fn keys_of(document: &EventDocument, by: &[GroupKey]) -> Vec<Vec<KeyValue>> {
    let mut all = vec![Vec::new()];
    for key in by {
        let values: BTreeSet<KeyValue> = match key {
            GroupKey::Time(edges) => edges
                .windows(2)
                .position(|edge| (edge[0]..edge[1]).contains(&document.time_ms()))
                .map(|bucket| KeyValue::Bucket(bucket as u32))
                .into_iter()
                .collect(),
            GroupKey::Field(field) => {
                let values = document.values(field);
                if values.is_empty() {
                    BTreeSet::from([KeyValue::Missing])
                } else {
                    values.into_iter().map(|value| KeyValue::Text(value.into())).collect()
                }
            }
        };
        all = all
            .iter()
            .flat_map(|head| {
                values.iter().map(|value| {
                    let mut keys = head.clone();
                    keys.push(value.clone());
                    keys
                })
            })
            .collect();
    }
    all
}

fn visits(
    documents: &[&EventDocument],
    fields: &[Field],
    visits_max: usize,
) -> Result<Table, StoreError> {
    if documents.len() > visits_max {
        let detail = format!("more than {visits_max} visits: at most {visits_max} are allowed");
        return Err(StoreError::Refused(detail));
    }
    let mut visits: Vec<Visit> = documents
        .iter()
        .map(|document| Visit {
            user: AppHash::of(document.app_id()).user(document.user()).0,
            time_ms: document.time_ms(),
            key: document.key.0,
            name: document.inner().name.as_str().into(),
            fields: fields
                .iter()
                .map(|field| document.values(field).into_iter().next().map(Into::into))
                .collect(),
        })
        .collect();
    visits.sort_by_key(|visit| (visit.user, visit.time_ms, visit.key));
    Ok(Table::Visits(visits))
}

#[cfg(test)]
mod tests {
    use sluice_seams::contract::document_store::suite;
    use sluice_seams::contract::sample;

    use super::*;

    #[tokio::test]
    async fn keeps_the_contract() {
        suite(|| async { (MemoryDocuments::default(), ()) }).await;
    }

    #[tokio::test]
    async fn a_scripted_fault_applies_what_it_says() {
        let script = Script::default();
        let store = MemoryDocuments::new(script.clone());
        script.then([
            Fault::RetryBefore,
            Fault::RetryAfterSome(1),
            Fault::RetryAfter,
            Fault::Poison,
        ]);
        let writes: Vec<_> = (0..3)
            .map(|n| sample::page_view("demo", &format!("e-{n}"), n, "d", "p"))
            .map(DocumentWrite::Event)
            .collect();
        for entries in [0, 1, 3] {
            let outcome = store.write(writes.clone()).await;
            assert!(matches!(outcome, Err(StoreError::Retry { .. })));
            assert_eq!(store.status().await.entries, Some(entries));
        }
        assert!(matches!(store.write(writes.clone()).await, Err(StoreError::Poisoned(_))));
        assert!(store.status().await.refusing.is_some());
    }
}
