//! A set of `(group, value)`, counted by group: bitmaps while they fit a budget,
//! a hash set beyond it.

use ahash::AHashSet;

/// The set. Groups and values are small dense numbers.
#[derive(Debug)]
pub struct Pairs {
    bitmaps: Vec<Vec<u64>>,
    counts: Vec<u64>,
    /// Words the bitmaps may still take.
    words_left: usize,
    /// No bitmap grows any more: what lies beyond its end is in `rest`.
    full: bool,
    rest: AHashSet<u64>,
}

// === impl Pairs ===

impl Pairs {
    /// An empty set whose bitmaps take at most this many words of eight bytes.
    pub fn new(words_max: usize) -> Self {
        Self {
            bitmaps: Vec::new(),
            counts: Vec::new(),
            words_left: words_max,
            full: false,
            rest: AHashSet::new(),
        }
    }

    /// Adds a pair.
    #[inline]
    pub fn insert(&mut self, group: u32, value: u32) {
        let (group_at, word) = (group as usize, value as usize / 64);
        if self.counts.len() <= group_at {
            self.counts.resize(group_at + 1, 0);
            self.bitmaps.resize_with(group_at + 1, Vec::new);
        }
        if self.bitmaps[group_at].len() <= word && !self.grow(group_at, word) {
            let pair = u64::from(group) << 32 | u64::from(value);
            self.counts[group_at] += u64::from(self.rest.insert(pair));
            return;
        }
        let held = &mut self.bitmaps[group_at][word];
        let bit = 1 << (value % 64);
        self.counts[group_at] += u64::from(*held & bit == 0);
        *held |= bit;
    }

    fn grow(&mut self, group: usize, word: usize) -> bool {
        let bitmap = &mut self.bitmaps[group];
        // Half as much again, so that rising values do not grow it each time.
        let more = word + 1 + word / 2 - bitmap.len();
        if self.full || more > self.words_left {
            self.full = true;
            return false;
        }
        self.words_left -= more;
        bitmap.resize(bitmap.len() + more, 0);
        true
    }

    /// Number of values of a group.
    pub fn count(&self, group: u32) -> u64 {
        self.counts.get(group as usize).copied().unwrap_or(0)
    }

    /// Calls `visit(group, value)` for every pair.
    pub fn each(&self, mut visit: impl FnMut(u32, u32)) {
        for (group, bitmap) in self.bitmaps.iter().enumerate() {
            for (at, &word) in bitmap.iter().enumerate() {
                let mut bits = word;
                while bits != 0 {
                    visit(group as u32, at as u32 * 64 + bits.trailing_zeros());
                    bits &= bits - 1;
                }
            }
        }
        for pair in &self.rest {
            visit((pair >> 32) as u32, *pair as u32);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn counts_alike_within_and_beyond_the_budget() {
        for words_max in [0, 10, 100, 100_000] {
            let (mut pairs, mut wanted) = (Pairs::new(words_max), HashSet::new());
            let mut seed = 7u32;
            for _ in 0..5_000 {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let (group, value) = ((seed >> 20) % 9, (seed >> 8) % 1_500);
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
        }
    }
}
