//! Tallies of all segments put together: codes become values. Each thread gathers
//! what it reads, and in the end one takes over what the others have.
//!
//! Distinct values are told apart by their 128-bit hash, which is what a user
//! key is too; values of group keys by their text.

use std::io;
use std::sync::Arc;

use ahash::AHashMap;
use sluice_seams::question::Group;
use sluice_seams::{KeyValue, StoreError, Table};
use xxhash_rust::xxh3::xxh3_128;

use super::pairs::{Pairs, Sets, Sorted};
use super::plan::{By, Gauge};
use super::segment::Segment;
use super::tally::{Tally, too_many_groups};

/// A tally whose codes have been looked up.
pub struct Resolved {
    tally: Tally,
    /// For each group key by field: ascending codes and their texts.
    texts: Vec<Vec<(u32, Arc<str>)>>,
    /// For each distinct measure: `(group, code)`. `None` for the others.
    pairs: Vec<Option<Sorted>>,
    /// For each distinct measure: ascending codes and the hashes of their texts.
    hashes: Vec<Vec<(u32, u128)>>,
}

/// Values in the order in which they were met, and their numbers from one.
type Met = (Vec<Arc<str>>, AHashMap<Arc<str>, u32>);

/// What was gathered from segments so far.
pub struct Gathered {
    groups_max: usize,
    by_time: Vec<bool>,
    groups: AHashMap<Vec<u32>, u32>,
    /// For each group key: values met, and their numbers from one.
    values: Vec<Met>,
    counts: Vec<Vec<u64>>,
    /// For each distinct measure. `None` for the others.
    distinct: Vec<Option<Distinct>>,
}

/// The values of one measure: their numbers by hash, and those of each group.
#[derive(Default)]
struct Distinct {
    numbers: AHashMap<u128, u32>,
    sets: Sets,
}

/// The number of a value, from one, which may be new.
fn number_among((values, numbers): &mut Met, text: &Arc<str>) -> u32 {
    let next = values.len() as u32 + 1;
    let number = *numbers.entry(text.clone()).or_insert(next);
    if number == next {
        values.push(text.clone());
    }
    number
}

// === impl Resolved ===

impl Resolved {
    /// Looks up the values that a tally's codes stand for.
    pub fn new(
        mut tally: Tally,
        segment: &Segment,
        by: &[By],
        gauges: &[Gauge],
    ) -> io::Result<Self> {
        let groups: Vec<Vec<u32>> =
            (0..tally.groups() as u32).map(|group| tally.codes(group)).collect();
        let mut texts = Vec::with_capacity(by.len());
        for (at, by) in by.iter().enumerate() {
            let mut found = Vec::new();
            if let By::Field(field) = by {
                let mut codes: Vec<u32> = groups.iter().map(|codes| codes[at]).collect();
                codes.sort_unstable();
                codes.dedup();
                segment.lanes[*field]
                    .texts(&codes, |code, text| found.push((code, text.into())))?;
            }
            texts.push(found);
        }
        let mut hashes = Vec::with_capacity(gauges.len());
        let pairs = std::mem::take(&mut tally.pairs).into_iter();
        let pairs: Vec<_> = pairs.map(|pairs| pairs.map(Pairs::sorted)).collect();
        for (gauge, pairs) in gauges.iter().zip(&pairs) {
            let mut found = Vec::new();
            if let (Gauge::Distinct(field, _), Some(pairs)) = (gauge, pairs) {
                let lane = &segment.lanes[*field];
                let mut met = vec![false; lane.codes()];
                pairs.values().for_each(|code| met[code as usize] = true);
                let codes = (0..met.len() as u32).filter(|&code| met[code as usize]);
                let codes: Vec<u32> = codes.collect();
                lane.texts(&codes, |code, text| found.push((code, xxh3_128(text.as_bytes()))))?;
            }
            hashes.push(found);
        }
        Ok(Self { tally, texts, pairs, hashes })
    }
}

// === impl Gathered ===

impl Gathered {
    /// Nothing yet.
    pub fn new(by: &[By], gauges: &[Gauge], groups_max: usize) -> Self {
        let mut groups = AHashMap::new();
        if by.is_empty() {
            groups.insert(Vec::new(), 0);
        }
        Self {
            groups_max,
            by_time: by.iter().map(|by| matches!(by, By::Time(_))).collect(),
            groups,
            values: by.iter().map(|_| Default::default()).collect(),
            counts: gauges.iter().map(|_| Vec::new()).collect(),
            distinct: gauges
                .iter()
                .map(|gauge| matches!(gauge, Gauge::Distinct(..)).then(Default::default))
                .collect(),
        }
    }

    /// Adds what a segment gave.
    pub fn add(&mut self, found: &Resolved) -> Result<(), StoreError> {
        let group_of = self.groups_of(found)?;
        self.count(&found.tally.counts, &group_of);
        for ((own, pairs), hashes) in self.distinct.iter_mut().zip(&found.pairs).zip(&found.hashes)
        {
            if let (Some(own), Some(pairs)) = (own, pairs) {
                let codes = hashes.last().map_or(0, |(code, _)| *code as usize + 1);
                own.extend(codes, hashes.iter().copied(), pairs.groups(), &group_of);
            }
        }
        Ok(())
    }

    /// Takes over what was gathered from other segments.
    pub fn absorb(&mut self, other: Self) -> Result<(), StoreError> {
        let mut value_of: Vec<Vec<u32>> = Vec::with_capacity(other.values.len());
        for ((texts, _), own) in other.values.iter().zip(&mut self.values) {
            // Zero is no value.
            let numbers = texts.iter().map(|text| number_among(own, text));
            value_of.push(std::iter::once(0).chain(numbers).collect());
        }
        let mut group_of = vec![0; other.groups.len()];
        for (keys, group) in &other.groups {
            let by_time = self.by_time.iter();
            let keys =
                keys.iter().zip(&value_of).zip(by_time).map(|((&key, value_of), by_time)| {
                    if *by_time { key } else { value_of[key as usize] }
                });
            group_of[*group as usize] = self.group(keys.collect())?;
        }
        self.count(&other.counts, &group_of);
        for (own, other) in self.distinct.iter_mut().zip(other.distinct) {
            if let (Some(own), Some(Distinct { numbers, sets })) = (own, other) {
                let values = numbers.len();
                let hashes = numbers.into_iter().map(|(hash, number)| (number, hash));
                own.extend(values, hashes, sets.groups(), &group_of);
            }
        }
        Ok(())
    }

    /// Adds the counts of groups that are known here as `group_of` says.
    fn count(&mut self, counts: &[Vec<u64>], group_of: &[u32]) {
        for (own, counts) in self.counts.iter_mut().zip(counts) {
            own.resize(self.groups.len(), 0);
            for (group, count) in counts.iter().enumerate() {
                own[group_of[group] as usize] += count;
            }
        }
    }

    /// The number of a group, which may be new.
    fn group(&mut self, keys: Vec<u32>) -> Result<u32, StoreError> {
        let next = self.groups.len() as u32;
        let number = *self.groups.entry(keys).or_insert(next);
        match self.groups.len() > self.groups_max && !self.by_time.is_empty() {
            true => Err(too_many_groups(self.groups_max)),
            false => Ok(number),
        }
    }

    /// The number of each of a tally's groups among all groups.
    fn groups_of(&mut self, found: &Resolved) -> Result<Vec<u32>, StoreError> {
        let mut number_of: Vec<AHashMap<u32, u32>> = Vec::with_capacity(found.texts.len());
        for (texts, met) in found.texts.iter().zip(&mut self.values) {
            let number = texts.iter().map(|(code, text)| (*code, number_among(met, text)));
            number_of.push(number.collect());
        }
        let mut group_of = Vec::with_capacity(found.tally.groups());
        for group in 0..found.tally.groups() as u32 {
            let mut keys = found.tally.codes(group);
            for (at, key) in keys.iter_mut().enumerate() {
                if !self.by_time[at] && *key != 0 {
                    *key = number_of[at][&*key];
                }
            }
            group_of.push(self.group(keys)?);
        }
        Ok(group_of)
    }

    /// The answer.
    pub fn table(self) -> Table {
        let measure = |group: u32| {
            let one = |(counts, distinct): (&Vec<u64>, &Option<Distinct>)| match distinct {
                Some(distinct) => distinct.sets.count(group),
                None => counts.get(group as usize).copied().unwrap_or(0),
            };
            self.counts.iter().zip(&self.distinct).map(one).collect::<Vec<u64>>()
        };
        let key = |(at, &number): (usize, &u32)| match (self.by_time[at], number) {
            (true, bucket) => KeyValue::Bucket(bucket),
            (false, 0) => KeyValue::Missing,
            (false, number) => KeyValue::Text(self.values[at].0[number as usize - 1].clone()),
        };
        let group = |(keys, number): (&Vec<u32>, &u32)| Group {
            keys: keys.iter().enumerate().map(key).collect(),
            values: measure(*number),
        };
        Table::Groups(self.groups.iter().map(group).collect())
    }
}

// === impl Distinct ===

impl Distinct {
    /// Adds groups of values. Elsewhere values have numbers below `values`, of which these
    /// `hashes` are known, and groups those that `group_of` translates.
    fn extend(
        &mut self,
        values: usize,
        hashes: impl Iterator<Item = (u32, u128)>,
        groups: impl Iterator<Item = (u32, impl Iterator<Item = u32>)>,
        group_of: &[u32],
    ) {
        let mut number_of = vec![0; values];
        for (value, hash) in hashes {
            let next = self.numbers.len() as u32;
            number_of[value as usize] = *self.numbers.entry(hash).or_insert(next);
        }
        for (group, values) in groups {
            let values = values.map(|value| number_of[value as usize]);
            self.sets.extend(group_of[group as usize], values);
        }
    }
}
