//! How far a lane may commit in a partition.
//!
//! A contiguous low-watermark: batches are taken in the order of the log, and a
//! commit never passes a record that the store has not taken, nor what is
//! durable in `D`: after a crash `D` is then never behind a commit.

/// The commit state of one lane in one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Watermark {
    taken: u64,
    committed: u64,
}

// === impl Watermark ===

impl Watermark {
    /// Everything below `committed` is taken and committed.
    pub(crate) fn at(committed: u64) -> Self {
        Self { taken: committed, committed }
    }

    /// Notes that the stretch `[from, to)` was taken. Stretches come in order;
    /// one out of order moves nothing.
    pub(crate) fn take(&mut self, from: u64, to: u64) {
        debug_assert!(from <= self.taken, "a stretch in between is not taken");
        if from <= self.taken && to > self.taken {
            self.taken = to;
        }
    }

    /// What to commit now, where that is news.
    pub(crate) fn due(&self, persisted: u64) -> Option<u64> {
        let next = self.taken.min(persisted);
        (next > self.committed).then_some(next)
    }

    /// Notes a commit that is durable.
    pub(crate) fn done(&mut self, next: u64) {
        self.committed = next;
    }

    /// Everything below is in the store.
    pub(crate) fn taken(&self) -> u64 {
        self.taken
    }

    /// Everything below is committed.
    pub(crate) fn committed(&self) -> u64 {
        self.committed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commits_what_is_both_taken_and_durable() {
        let mut mark = Watermark::at(10);
        assert_eq!(mark.due(99), None);
        mark.take(10, 20);
        assert_eq!(mark.due(5), None);
        assert_eq!(mark.due(15), Some(15));
        mark.done(15);
        assert_eq!(mark.due(15), None);
        assert_eq!(mark.due(99), Some(20));
    }

    #[test]
    fn a_repeated_stretch_moves_nothing_back() {
        let mut mark = Watermark::at(10);
        mark.take(10, 20);
        mark.take(12, 14);
        assert_eq!(mark.taken(), 20);
    }
}
