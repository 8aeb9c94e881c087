//! Sets of `(group, value)`, both small dense numbers.
//!
//! Within a segment pairs come at random and are few for each group: a list that is
//! sorted in the end goes easy on caches. Over all segments they are many and counted by
//! group: a compressed bitmap for each, small where few values are in it and dense where
//! most are.

use roaring::RoaringBitmap;

/// A list is sorted, so that each pair is in it once, when it is as long as this and has
/// doubled since the last time.
const UNSORTED_MAX: usize = 1 << 16;

/// The pairs of one segment as they come.
#[derive(Debug, Default)]
pub struct Pairs {
    /// The group in the upper half, the value in the lower.
    list: Vec<u64>,
    /// How many were left when it was sorted last.
    distinct: usize,
}

/// The pairs of one segment in order, each once.
#[derive(Debug)]
pub struct Sorted(Vec<u64>);

/// The values of each group over segments.
#[derive(Debug, Default)]
pub struct Sets(Vec<RoaringBitmap>);

// === impl Pairs ===

impl Pairs {
    /// Adds a pair.
    #[inline]
    pub fn insert(&mut self, group: u32, value: u32) {
        if self.list.len() >= UNSORTED_MAX.max(2 * self.distinct) {
            self.sort();
        }
        self.list.push(u64::from(group) << 32 | u64::from(value));
    }

    #[cold]
    fn sort(&mut self) {
        self.list.sort_unstable();
        self.list.dedup();
        self.distinct = self.list.len();
    }

    /// All of them.
    pub fn sorted(mut self) -> Sorted {
        self.sort();
        Sorted(self.list)
    }
}

// === impl Sorted ===

impl Sorted {
    /// The values of all groups.
    pub fn values(&self) -> impl Iterator<Item = u32> {
        self.0.iter().map(|&pair| pair as u32)
    }

    /// Each group with its values.
    pub fn groups(&self) -> impl Iterator<Item = (u32, impl Iterator<Item = u32>)> {
        let runs = self.0.chunk_by(|one, next| one >> 32 == next >> 32);
        runs.map(|run| ((run[0] >> 32) as u32, run.iter().map(|&pair| pair as u32)))
    }
}

// === impl Sets ===

impl Sets {
    /// Adds values to a group.
    pub fn extend(&mut self, group: u32, values: impl Iterator<Item = u32>) {
        let mut values: Vec<u32> = values.collect();
        values.sort_unstable();
        values.dedup();
        let group = group as usize;
        if self.0.len() <= group {
            self.0.resize_with(group + 1, RoaringBitmap::new);
        }
        self.0[group] |= RoaringBitmap::from_sorted_iter(values).expect("in order, each once");
    }

    /// Number of values of a group.
    pub fn count(&self, group: u32) -> u64 {
        self.0.get(group as usize).map_or(0, RoaringBitmap::len)
    }

    /// Each group with its values.
    pub fn groups(&self) -> impl Iterator<Item = (u32, impl Iterator<Item = u32>)> {
        self.0.iter().enumerate().map(|(group, values)| (group as u32, values.iter()))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    type Model = BTreeMap<u32, BTreeSet<u32>>;

    fn collected(groups: impl Iterator<Item = (u32, impl Iterator<Item = u32>)>) -> Model {
        groups.map(|(group, values)| (group, values.collect())).collect()
    }

    #[test]
    fn distinct_values_are_counted_by_group() {
        let (mut sets, mut wanted, mut seed) = (Sets::default(), Model::new(), 7u32);
        for values in [300, 70_000] {
            let (mut pairs, mut own) = (Pairs::default(), Model::new());
            for _ in 0..3 * UNSORTED_MAX {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let (group, value) = ((seed >> 20) % 9, (seed >> 4) % values);
                pairs.insert(group, value);
                own.entry(group).or_default().insert(value);
            }
            assert!(pairs.list.len() <= UNSORTED_MAX.max(2 * pairs.distinct));
            let pairs = pairs.sorted();
            assert_eq!(pairs.values().count(), own.values().map(BTreeSet::len).sum::<usize>());
            assert_eq!(collected(pairs.groups()), own);
            for (group, values) in pairs.groups() {
                sets.extend(group, values.map(|value| 100_000 - value));
            }
            for (group, values) in own {
                wanted.entry(group).or_default().extend(values.iter().map(|v| 100_000 - v));
            }
        }
        assert_eq!(collected(sets.groups()), wanted);
        for (group, values) in wanted {
            assert_eq!(sets.count(group), values.len() as u64);
        }
        assert_eq!(sets.count(9), 0);
    }
}
