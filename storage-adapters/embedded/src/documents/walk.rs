//! Questions about state documents: read one by one, by the meaning of filters.
//!
//! Where nothing but time is asked for, documents are not decoded.

use std::collections::{HashMap, HashSet};

use sluice_seams::key::AppHash;
use sluice_seams::question::{Ask, Group, Visit};
use sluice_seams::{
    EventDocument, Field, Filter, GroupKey, KeyValue, Measure, Question, Source, StoreError, Table,
};
use xxhash_rust::xxh3::xxh3_128;

use super::state::State;
use super::tally::{bucket_of, too_many_groups};
use super::visits::too_many_visits;

/// Answers a question about `FirstSeen` or `Follows`.
pub fn answer(state: &State, question: &Question) -> Result<Table, StoreError> {
    match &question.ask {
        Ask::Groups { by, measures, groups_max } => {
            let mut groups = Groups::new(by, measures, *groups_max);
            if question.source == Source::FirstSeen && by_time_only(question, by, measures) {
                each(state, question, |user, time, _| groups.add_user(user, time))?;
            } else {
                each_document(state, question, |one| groups.add(&one))?;
            }
            groups.table()
        }
        Ask::Visits { fields, visits_max } => {
            let (mut visits, mut over) = (Vec::new(), false);
            each_document(state, question, |one| {
                over = over || visits.len() >= *visits_max;
                if !over {
                    visits.push(visit(&one, fields));
                }
            })?;
            if over {
                return Err(too_many_visits(*visits_max));
            }
            visits.sort_unstable_by_key(|visit| (visit.user, visit.time_ms, visit.key));
            Ok(Table::Visits(visits))
        }
    }
}

fn each(
    state: &State,
    question: &Question,
    mut visit: impl FnMut(&[u8], i64, &[u8]),
) -> Result<(), StoreError> {
    let time = question.from_ms..question.to_ms;
    let scanned = state.scan(question.source, &question.app_id, |key, at, document| {
        if time.contains(&at) {
            visit(key, at, document);
        }
    });
    scanned.map_err(|why| StoreError::Poisoned(format!("cannot read state documents: {why}")))
}

fn each_document(
    state: &State,
    question: &Question,
    mut visit: impl FnMut(EventDocument),
) -> Result<(), StoreError> {
    let mut broken = false;
    each(state, question, |_, _, bytes| match EventDocument::decode(bytes) {
        Some(one) if question.filter.passes(&one) => visit(one),
        Some(_) => {}
        None => broken = true,
    })?;
    if broken {
        return Err(StoreError::Poisoned("a state document cannot be decoded".to_owned()));
    }
    Ok(())
}

fn by_time_only(question: &Question, by: &[GroupKey], measures: &[Measure]) -> bool {
    question.filter == Filter::All
        && by.iter().all(|key| matches!(key, GroupKey::Time(_)))
        && measures.iter().all(|measure| {
            matches!(measure, Measure::Count(Filter::All) | Measure::Users(Filter::All))
        })
}

fn visit(one: &EventDocument, fields: &[Field]) -> Visit {
    let first = |field| one.values(field).into_iter().next().map(Into::into);
    Visit {
        user: AppHash::of(one.app_id()).user(one.user()).0,
        time_ms: one.time_ms(),
        key: one.key.0,
        name: one.inner().name.as_str().into(),
        fields: fields.iter().map(first).collect(),
    }
}

/// Groups under way.
struct Groups<'a> {
    by: &'a [GroupKey],
    measures: &'a [Measure],
    groups_max: usize,
    groups: HashMap<Vec<KeyValue>, Vec<Cell>>,
}

#[derive(Clone, Default)]
struct Cell {
    count: u64,
    values: HashSet<u128>,
}

impl<'a> Groups<'a> {
    fn new(by: &'a [GroupKey], measures: &'a [Measure], groups_max: usize) -> Self {
        let mut groups = HashMap::new();
        if by.is_empty() {
            groups.insert(Vec::new(), vec![Cell::default(); measures.len()]);
        }
        Self { by, measures, groups_max, groups }
    }

    /// Adds a first-seen entry: each is another user.
    fn add_user(&mut self, user: &[u8], time: i64) {
        let gains: Vec<Cell> = self
            .measures
            .iter()
            .map(|measure| match measure {
                Measure::Users(_) if user.is_empty() => Cell::default(),
                _ => Cell { count: 1, values: HashSet::new() },
            })
            .collect();
        let buckets = self.by.iter().map(|key| match key {
            GroupKey::Time(edges) => bucket_of(edges, time).map(|at| KeyValue::Bucket(at as u32)),
            GroupKey::Field(_) => None,
        });
        if let Some(keys) = buckets.collect() {
            self.gain(keys, gains);
        }
    }

    fn add(&mut self, one: &EventDocument) {
        let gains: Vec<Cell> = self
            .measures
            .iter()
            .map(|measure| {
                let hash = |text: &str| xxh3_128(text.as_bytes());
                let set = |values: HashSet<u128>| Cell { count: 0, values };
                match measure {
                    Measure::Count(filter) => {
                        Cell { count: u64::from(filter.passes(one)), values: HashSet::new() }
                    }
                    Measure::Users(filter) if !one.user().is_empty() && filter.passes(one) => {
                        set(HashSet::from([hash(one.user())]))
                    }
                    Measure::Distinct(field, filter) if filter.passes(one) => {
                        set(one.values(field).iter().map(|value| hash(value)).collect())
                    }
                    Measure::Users(_) | Measure::Distinct(..) => Cell::default(),
                }
            })
            .collect();
        for keys in keys_of(one, self.by) {
            self.gain(keys, gains.clone());
        }
    }

    /// Adds to a group what each measure gains, if any gains at all.
    fn gain(&mut self, keys: Vec<KeyValue>, gains: Vec<Cell>) {
        let gained = gains.iter().any(|gain| gain.count > 0 || !gain.values.is_empty());
        // One group too many is enough to know that the answer is refused.
        if !gained || (self.groups.len() > self.groups_max && !self.groups.contains_key(&keys)) {
            return;
        }
        let empty = || vec![Cell::default(); gains.len()];
        let cells = self.groups.entry(keys).or_insert_with(empty);
        for (cell, gain) in cells.iter_mut().zip(gains) {
            cell.count += gain.count;
            cell.values.extend(gain.values);
        }
    }

    fn table(self) -> Result<Table, StoreError> {
        if !self.by.is_empty() && self.groups.len() > self.groups_max {
            return Err(too_many_groups(self.groups_max));
        }
        let group = |(keys, cells): (_, Vec<Cell>)| Group {
            keys,
            values: cells.iter().map(|cell| cell.count + cell.values.len() as u64).collect(),
        };
        Ok(Table::Groups(self.groups.into_iter().map(group).collect()))
    }
}

/// Every combination of key values; none where the time is in no bucket.
fn keys_of(one: &EventDocument, by: &[GroupKey]) -> Vec<Vec<KeyValue>> {
    let mut all = vec![Vec::new()];
    for key in by {
        let values: Vec<KeyValue> = match key {
            GroupKey::Time(edges) => bucket_of(edges, one.time_ms())
                .map(|bucket| KeyValue::Bucket(bucket as u32))
                .into_iter()
                .collect(),
            GroupKey::Field(field) => {
                let values: HashSet<String> = one.values(field).into_iter().collect();
                let none = values.is_empty().then_some(KeyValue::Missing);
                values.into_iter().map(|value| KeyValue::Text(value.into())).chain(none).collect()
            }
        };
        let grown = all.iter().flat_map(|head: &Vec<KeyValue>| {
            values.iter().map(|value| [&head[..], std::slice::from_ref(value)].concat())
        });
        all = grown.collect();
    }
    all
}
