//! Ids of settled letters, as ranges: a replay of everything is one of them.

use std::collections::BTreeMap;

/// A set of ids that are mostly neighbours.
#[derive(Debug, Default)]
pub(crate) struct SettledIds(BTreeMap<u64, u64>);

// === impl SettledIds ===

impl SettledIds {
    pub(crate) fn contains(&self, id: u64) -> bool {
        self.0.range(..=id).next_back().is_some_and(|(_, last)| *last >= id)
    }

    pub(crate) fn insert(&mut self, id: u64) {
        if self.contains(id) {
            return;
        }
        let start = match self.0.range(..id).next_back() {
            Some((start, last)) if *last + 1 == id => *start,
            _ => id,
        };
        let last = id.checked_add(1).and_then(|next| self.0.remove(&next)).unwrap_or(id);
        self.0.insert(start, last);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_join() {
        let mut ids = SettledIds::default();
        for id in [5, 7, 6, 0, 9, 9, u64::MAX] {
            ids.insert(id);
        }
        let held: Vec<u64> = (0..12).filter(|id| ids.contains(*id)).collect();
        assert_eq!(held, [0, 5, 6, 7, 9]);
        assert_eq!(ids.0.len(), 4);
    }
}
