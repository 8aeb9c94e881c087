//! A question about groups, taken apart: one reading for each thing that is
//! counted, each stretch of even time buckets, and each way in which property
//! and id keys can be missing.
//!
//! Named fields have a bucket of their own for missing values. The slots of
//! property paths cannot tell, since other paths share them: documents with and
//! without such a value are read apart.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value;
use sluice_seams::question::Measure;
use sluice_seams::{Field, Filter, GroupKey, KeyValue, NamedField, Question, StoreError};

use super::composite::{Bucket, KeySource, Part, Reading};
use super::filter::{Resolution, any, not, query};
use super::times::{Atom, Run, atoms, runs};
use crate::layout::{APP, Column};

/// Group keys that are properties or ids: each doubles the readings.
const SLOT_KEYS_MAX: usize = 6;
/// Time buckets that are searched one by one where distinct values are counted.
const SINGLES_MAX: usize = 100;
/// Stretches of even time buckets.
const RUNS_MAX: usize = 4_000;

/// One reading, and what its buckets mean.
pub struct Job {
    /// What is read.
    pub reading: Reading,
    /// How each group key is read from a bucket.
    keys: Vec<KeyOf>,
    /// The column of each source.
    columns: Vec<Column>,
    /// The time buckets of the reading.
    atoms: Vec<Vec<u32>>,
    /// Which count of a bucket goes to which measure.
    tallies: Vec<Tally>,
    /// Whether each bucket counts as one, rather than its documents.
    distinct: bool,
}

#[derive(Clone)]
enum KeyOf {
    /// The bucket of a time key, by its position among time keys.
    Time(usize),
    /// The term of a source.
    Source(usize),
    /// Missing throughout.
    Missing,
}

struct Tally {
    measure: usize,
    /// Which of the counted filters; `None`: the documents of the bucket.
    filter: Option<usize>,
}

/// A group, and what is added to which of its measures.
pub type Added = (Vec<KeyValue>, Vec<(usize, u64)>);

/// What is counted.
#[derive(Clone, PartialEq)]
enum Subject {
    Documents,
    Values(Field),
}

/// Takes a question apart.
pub fn jobs(
    question: &Question,
    by: &[GroupKey],
    measures: &[Measure],
    resolved: &[Resolution],
) -> Result<Vec<Job>, StoreError> {
    let (atoms, runs) = times(question, by)?;
    let splits = splits(by)?;
    let mut jobs = Vec::new();
    let single = singles(&atoms, &runs);
    for (subject, measures) in subjects(measures) {
        let runs = if subject == Subject::Documents { &runs } else { &single };
        for run in runs {
            for split in &splits {
                jobs.push(job(question, by, run, &atoms, split, &subject, &measures, resolved));
            }
        }
    }
    Ok(jobs)
}

/// The even stretches of the question's time; one, of everything, without time keys.
fn times(question: &Question, by: &[GroupKey]) -> Result<(Vec<Atom>, Vec<Run>), StoreError> {
    let (from, to) = (question.from_ms, question.to_ms);
    let edges: Vec<Arc<[i64]>> = by
        .iter()
        .filter_map(|key| match key {
            GroupKey::Time(edges) => Some(edges.clone()),
            GroupKey::Field(_) => None,
        })
        .collect();
    if from >= to {
        return Ok((Vec::new(), Vec::new()));
    }
    if edges.is_empty() {
        let atom = Atom { start: from, end: to, buckets: Vec::new() };
        let run = Run { start: from, interval: 1, atoms: 0..1, within: (from, to) };
        return Ok((vec![atom], vec![run]));
    }
    let atoms = atoms(&edges);
    let runs = runs(&atoms, from, to);
    if runs.len() > RUNS_MAX {
        return Err(StoreError::Refused(format!(
            "time buckets of {} changing lengths: at most {RUNS_MAX} are allowed",
            runs.len()
        )));
    }
    Ok((atoms, runs))
}

/// Stretches of few buckets as one each: what is counted distinct has many
/// combinations, and a search of one bucket leaves the indices of other days alone.
fn singles(atoms: &[Atom], runs: &[Run]) -> Vec<Run> {
    if runs.iter().map(|run| run.atoms.len()).sum::<usize>() > SINGLES_MAX {
        return runs.to_vec();
    }
    let single = |run: &Run| {
        let (from, to) = run.within;
        let of = run.atoms.clone().map(move |at| Run {
            start: atoms[at].start,
            interval: atoms[at].end.saturating_sub(atoms[at].start),
            atoms: at..at + 1,
            within: (atoms[at].start.max(from), atoms[at].end.min(to)),
        });
        of.collect::<Vec<_>>()
    };
    runs.iter().flat_map(single).collect()
}

/// Every way in which slot keys can be missing: the positions of those that are.
fn splits(by: &[GroupKey]) -> Result<Vec<BTreeSet<usize>>, StoreError> {
    let slots: Vec<usize> = by
        .iter()
        .enumerate()
        .filter(|(_, key)| matches!(key, GroupKey::Field(Field::Property(_) | Field::Id(_))))
        .map(|(at, _)| at)
        .collect();
    if slots.len() > SLOT_KEYS_MAX {
        return Err(StoreError::Refused(format!(
            "{} group keys are properties or ids: at most {SLOT_KEYS_MAX} are allowed",
            slots.len()
        )));
    }
    let missing = |bits: usize| {
        let of = slots.iter().enumerate().filter(|(bit, _)| bits >> bit & 1 == 1);
        of.map(|(_, at)| *at).collect()
    };
    Ok((0..1 << slots.len()).map(missing).collect())
}

/// Measures by what they count.
fn subjects(measures: &[Measure]) -> Vec<(Subject, Vec<(usize, Filter)>)> {
    let mut subjects: Vec<(Subject, Vec<(usize, Filter)>)> = Vec::new();
    for (at, measure) in measures.iter().enumerate() {
        let (subject, filter) = match measure {
            Measure::Count(filter) => (Subject::Documents, filter),
            Measure::Users(filter) => (Subject::Values(Field::Named(NamedField::User)), filter),
            Measure::Distinct(field, filter) => (Subject::Values(field.clone()), filter),
        };
        match subjects.iter_mut().find(|(of, _)| *of == subject) {
            Some((_, held)) => held.push((at, filter.clone())),
            None => subjects.push((subject, vec![(at, filter.clone())])),
        }
    }
    subjects
}

#[allow(clippy::too_many_arguments)] // Each is one dimension of the reading.
fn job(
    question: &Question,
    by: &[GroupKey],
    run: &Run,
    atoms: &[Atom],
    missing: &BTreeSet<usize>,
    subject: &Subject,
    measures: &[(usize, Filter)],
    resolved: &[Resolution],
) -> Job {
    let mut filters = vec![serde_json::json!({"term": {APP: &*question.app_id}})];
    if question.filter != Filter::All {
        filters.push(query(&question.filter, resolved));
    }
    let (mut keys, mut columns, mut sources) = (Vec::new(), Vec::new(), Vec::new());
    for (at, key) in by.iter().enumerate() {
        let GroupKey::Field(field) = key else {
            let earlier = by[..at].iter().filter(|key| matches!(key, GroupKey::Time(_)));
            keys.push(KeyOf::Time(earlier.count()));
            continue;
        };
        let column = Column::of(field);
        let slot = column.listed.is_some();
        if missing.contains(&at) {
            filters.push(not(column.exists()));
            keys.push(KeyOf::Missing);
            continue;
        }
        if slot {
            filters.push(column.exists());
        }
        keys.push(KeyOf::Source(sources.len()));
        sources.push(KeySource { field: column.name.clone(), missing: !slot });
        columns.push(column);
    }
    if let Subject::Values(field) = subject {
        let column = Column::of(field);
        filters.push(column.exists());
        sources.push(KeySource { field: column.name.clone(), missing: false });
        columns.push(column);
    }
    let (counted, tallies) = tallies(measures, resolved, &mut filters);
    Job {
        reading: Reading {
            filters,
            within: run.within,
            time: (run.atoms.len() > 1).then_some((run.start, run.interval)),
            sources,
            counted,
        },
        keys,
        columns,
        atoms: atoms[run.atoms.clone()].iter().map(|atom| atom.buckets.clone()).collect(),
        tallies,
        distinct: *subject != Subject::Documents,
    }
}

/// Filters of measures: one that all share narrows what is read, different ones
/// are counted in each bucket.
fn tallies(
    measures: &[(usize, Filter)],
    resolved: &[Resolution],
    filters: &mut Vec<Value>,
) -> (Vec<Value>, Vec<Tally>) {
    let mut different: Vec<&Filter> = Vec::new();
    for (_, filter) in measures {
        if !different.contains(&filter) {
            different.push(filter);
        }
    }
    if let [filter] = different[..] {
        if *filter != Filter::All {
            filters.push(query(filter, resolved));
        }
        let tallies = measures.iter().map(|(at, _)| Tally { measure: *at, filter: None });
        return (Vec::new(), tallies.collect());
    }
    different.retain(|filter| **filter != Filter::All);
    let counted: Vec<Value> = different.iter().map(|filter| query(filter, resolved)).collect();
    if measures.iter().all(|(_, filter)| *filter != Filter::All) {
        filters.push(any(counted.clone()));
    }
    let tally = |(measure, filter): &(usize, Filter)| {
        let filter = different.iter().position(|other| *other == filter);
        Tally { measure: *measure, filter }
    };
    (counted, measures.iter().map(tally).collect())
}

// === impl Job ===

impl Job {
    /// Whether there is nothing that buckets are keyed by.
    pub fn is_single(&self) -> bool {
        self.reading.time.is_none() && self.reading.sources.is_empty()
    }

    /// Whether distinct values are counted, each of which has a bucket in its group.
    pub fn counts_distinct(&self) -> bool {
        self.distinct
    }

    /// Whether two buckets are surely of one group.
    pub fn same_group<'b>(&self, one: &'b Bucket, other: &'b Bucket) -> bool {
        // The value that is counted stands last.
        let group = |bucket: &'b Bucket| bucket.key.split_last().map(|(_, group)| group);
        self.distinct && group(one) == group(other)
    }

    /// What buckets of one group add to it; `None` where all are of another path.
    pub fn read(&self, buckets: &[Bucket]) -> Option<Added> {
        let mut ours = buckets.iter().filter(|bucket| self.is_of_path(bucket)).peekable();
        let keys = self.keys_of(ours.peek()?)?;
        let mut values: Vec<_> = self.tallies.iter().map(|tally| (tally.measure, 0)).collect();
        for bucket in ours {
            for (tally, (_, value)) in self.tallies.iter().zip(&mut values) {
                let documents = match tally.filter {
                    None => bucket.documents,
                    Some(at) => bucket.counted.get(at).copied().unwrap_or(0),
                };
                *value += if self.distinct { documents.min(1) } else { documents };
            }
        }
        Some((keys, values))
    }

    /// Whether all terms of a bucket are values of the columns that were asked for.
    fn is_of_path(&self, bucket: &Bucket) -> bool {
        self.terms(bucket).iter().zip(&self.columns).all(|(part, column)| match part {
            Part::Term(term) => column.value(term).is_some(),
            Part::Null | Part::Time(_) => true,
        })
    }

    /// The parts of a bucket's key after the time, where there is one.
    fn terms<'b>(&self, bucket: &'b Bucket) -> &'b [Part] {
        match (self.reading.time, bucket.key.first()) {
            (Some(_), Some(Part::Time(_))) => &bucket.key[1..],
            _ => &bucket.key,
        }
    }

    /// The group of a bucket.
    fn keys_of(&self, bucket: &Bucket) -> Option<Vec<KeyValue>> {
        let atom = match (self.reading.time, bucket.key.first()) {
            (Some((start, interval)), Some(Part::Time(at))) => {
                usize::try_from((at - start) / interval).ok()?
            }
            _ => 0,
        };
        let terms = self.terms(bucket);
        let source = |at: usize| match terms.get(at)? {
            Part::Term(term) => Some(KeyValue::Text(self.columns.get(at)?.value(term)?.into())),
            Part::Null | Part::Time(_) => Some(KeyValue::Missing),
        };
        let key = |key: &KeyOf| match key {
            KeyOf::Time(at) => Some(KeyValue::Bucket(*self.atoms.get(atom)?.get(*at)?)),
            KeyOf::Source(at) => source(*at),
            KeyOf::Missing => Some(KeyValue::Missing),
        };
        self.keys.iter().map(key).collect()
    }
}
