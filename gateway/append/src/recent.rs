//! What lately became of events that are not in the log, for whoever asks where
//! an event went.

use std::collections::{HashMap, VecDeque};

use parking_lot::Mutex;
use sluice_event::{Outcome, Reason};
use sluice_seams::Key;

/// Bytes of a detail that are kept.
const DETAIL_BYTES_MAX: usize = 256;

/// The last fate of an event that was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecentFate {
    /// `Rejected` or `Retry`.
    pub outcome: Outcome,
    /// Why.
    pub reason: Reason,
    /// Where it was wrong and what is allowed; at most 256 bytes.
    pub detail: String,
    /// When, milliseconds since the Unix epoch.
    pub at_ms: i64,
}

/// A bounded ring of them, oldest forgotten first.
pub(crate) struct Recent {
    max: usize,
    ring: Mutex<Ring>,
}

#[derive(Default)]
struct Ring {
    /// Order of arrival, by number.
    order: VecDeque<(u64, Key)>,
    fates: HashMap<Key, (u64, RecentFate)>,
    next: u64,
}

// === impl Recent ===

impl Recent {
    pub(crate) fn new(max: usize) -> Self {
        Self { max, ring: Mutex::default() }
    }

    /// Notes fates; one lock for all of them.
    pub(crate) fn note(&self, fates: impl IntoIterator<Item = (Key, RecentFate)>) {
        if self.max == 0 {
            return;
        }
        let mut ring = self.ring.lock();
        for (key, mut fate) in fates {
            shorten(&mut fate.detail);
            let number = ring.next;
            ring.next += 1;
            ring.order.push_back((number, key));
            ring.fates.insert(key, (number, fate));
            if ring.order.len() > self.max {
                ring.forget_oldest();
            }
        }
    }

    pub(crate) fn get(&self, key: Key) -> Option<RecentFate> {
        self.ring.lock().fates.get(&key).map(|(_, fate)| fate.clone())
    }
}

impl Ring {
    fn forget_oldest(&mut self) {
        let Some((number, key)) = self.order.pop_front() else { return };
        // A key that was noted again since stays.
        if self.fates.get(&key).is_some_and(|(newest, _)| *newest == number) {
            self.fates.remove(&key);
        }
    }
}

fn shorten(detail: &mut String) {
    if detail.len() > DETAIL_BYTES_MAX {
        let end = (0..=DETAIL_BYTES_MAX).rev().find(|&end| detail.is_char_boundary(end));
        detail.truncate(end.unwrap_or(0));
        detail.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fate(at_ms: i64) -> RecentFate {
        let detail = "ü".repeat(1_000);
        RecentFate { outcome: Outcome::Rejected, reason: Reason::IdMissing, detail, at_ms }
    }

    #[test]
    fn oldest_are_forgotten_and_details_cut() {
        let recent = Recent::new(2);
        recent.note([(Key(1), fate(1)), (Key(2), fate(2)), (Key(1), fate(3)), (Key(3), fate(4))]);
        assert_eq!(recent.get(Key(2)), None);
        let kept = recent.get(Key(1)).expect("noted again after 2");
        assert_eq!((kept.at_ms, kept.detail.len()), (3, 256));
        assert!(recent.get(Key(3)).is_some());
    }

    #[test]
    fn none_are_kept_where_none_are_allowed() {
        let recent = Recent::new(0);
        recent.note([(Key(1), fate(1))]);
        assert_eq!(recent.get(Key(1)), None);
    }
}
