//! A set of `(group, value)`, counted by group: a compressed bitmap each, small where
//! few of many values are in it and dense where most are.

use roaring::RoaringBitmap;

/// The set. Groups and values are small dense numbers.
#[derive(Debug, Default)]
pub struct Pairs(Vec<RoaringBitmap>);

// === impl Pairs ===

impl Pairs {
    /// Adds a pair.
    #[inline]
    pub fn insert(&mut self, group: u32, value: u32) {
        let group = group as usize;
        if self.0.len() <= group {
            self.0.resize_with(group + 1, RoaringBitmap::new);
        }
        self.0[group].insert(value);
    }

    /// Number of values of a group.
    pub fn count(&self, group: u32) -> u64 {
        self.0.get(group as usize).map_or(0, RoaringBitmap::len)
    }

    /// Calls `visit(group, value)` for every pair, in order.
    pub fn each(&self, mut visit: impl FnMut(u32, u32)) {
        for (group, values) in self.0.iter().enumerate() {
            values.iter().for_each(|value| visit(group as u32, value));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn counts_distinct_values_by_group() {
        let (mut pairs, mut wanted) = (Pairs::default(), HashSet::new());
        let mut seed = 7u32;
        for _ in 0..50_000 {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let (group, value) = ((seed >> 20) % 9, (seed >> 4) % 70_000);
            pairs.insert(group, value);
            wanted.insert((group, value));
        }
        let mut held = HashSet::new();
        pairs.each(|group, value| assert!(held.insert((group, value))));
        assert_eq!(held, wanted);
        for group in 0..9 {
            let count = wanted.iter().filter(|pair| pair.0 == group).count() as u64;
            assert_eq!(pairs.count(group), count);
        }
        assert_eq!(pairs.count(9), 0);
    }
}
