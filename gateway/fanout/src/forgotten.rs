//! `D`'s part for keys that `D` forgot, while a lane reads old records.
//!
//! Bounded twice: by the same window of log time as `D`, and by entries, the
//! oldest going first. Where the bound on entries cuts in, a duplicate of an old
//! event is written again under its own key: documents keep the first copy.

use std::collections::VecDeque;

use ahash::AHashMap;
use sluice_seams::{First, Key};

/// Keys that `D` forgot, with the first copy in the stretch read.
#[derive(Debug)]
pub(crate) struct Forgotten {
    entries_max: usize,
    window_ms: i64,
    held: AHashMap<u128, First>,
    order: VecDeque<(i64, u128)>,
}

// === impl Forgotten ===

impl Forgotten {
    pub(crate) fn new(entries_max: usize, window_ms: i64) -> Self {
        Self {
            entries_max: entries_max.max(1),
            window_ms,
            held: AHashMap::new(),
            order: VecDeque::new(),
        }
    }

    pub(crate) fn get(&self, key: Key) -> Option<First> {
        self.held.get(&key.0).copied()
    }

    pub(crate) fn insert(&mut self, key: Key, first: First, log_time_ms: i64) {
        if self.order.len() >= self.entries_max {
            self.drop_oldest();
        }
        self.held.insert(key.0, first);
        self.order.push_back((log_time_ms, key.0));
    }

    /// Forgets what `D` had forgotten by this log time.
    pub(crate) fn expire(&mut self, log_time_ms: i64) {
        let before = log_time_ms.saturating_sub(self.window_ms);
        while self.order.front().is_some_and(|(time_ms, _)| *time_ms < before) {
            self.drop_oldest();
        }
    }

    pub(crate) fn clear(&mut self) {
        self.held.clear();
        self.order.clear();
    }

    fn drop_oldest(&mut self) {
        if let Some((_, key)) = self.order.pop_front() {
            self.held.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sluice_seams::{Day, Position};

    fn first(offset: u64) -> First {
        let position = Position { partition: 0, offset, index: 0 };
        First { position, day: Day(1), fingerprint: 7 }
    }

    #[test]
    fn bounded_by_entries_and_by_time() {
        let mut forgotten = Forgotten::new(2, 100);
        for n in 0..3u64 {
            forgotten.insert(Key(u128::from(n)), first(n), n as i64);
        }
        assert_eq!(forgotten.get(Key(0)), None);
        assert_eq!(forgotten.get(Key(1)), Some(first(1)));
        forgotten.expire(101);
        assert_eq!(forgotten.get(Key(1)), Some(first(1)), "exactly the window is still held");
        forgotten.expire(102);
        assert_eq!(forgotten.get(Key(1)), None);
        assert_eq!(forgotten.get(Key(2)), Some(first(2)));
    }
}
