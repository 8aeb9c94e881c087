//! The events that wait, in order, and those under way; bounded by count and by
//! bytes (SDK-QUEUE-2). In memory only: what is to outlive the process is the
//! app's to keep, under an id of its own.

use std::collections::VecDeque;

use bytes::Bytes;
use tokio::time::Instant;

/// An event as it will be sent, the same at each try (SDK-ID-3).
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// JSON, or protobuf.
    pub(crate) body: Bytes,
    /// When it was queued.
    pub(crate) at: Instant,
    /// The device's place in the sample (`spec.md`, §14); none without a device.
    pub(crate) place: Option<f64>,
    /// Number in the order of queueing; given by the queue.
    pub(crate) number: u64,
}

/// What is to become of an event under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Done with.
    Over,
    /// To be sent again (SDK-RETRY-2).
    Again,
}

/// The queue.
#[derive(Debug)]
pub(crate) struct Queue {
    waiting: VecDeque<Entry>,
    waiting_bytes: usize,
    under_way: Vec<Entry>,
    under_way_bytes: usize,
    events_max: usize,
    bytes_max: usize,
    /// Events queued so far.
    queued: u64,
    /// Events lost since the last success that told of them (SDK-QUEUE-3).
    pub(crate) untold: u64,
    /// Events lost in all.
    pub(crate) lost: u64,
}

// === impl Queue ===

impl Queue {
    pub(crate) fn new(events_max: usize, bytes_max: usize) -> Self {
        Self {
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            under_way: Vec::new(),
            under_way_bytes: 0,
            events_max,
            bytes_max,
            queued: 0,
            untold: 0,
            lost: 0,
        }
    }

    /// Events that have no final fate.
    pub(crate) fn len(&self) -> usize {
        self.waiting.len() + self.under_way.len()
    }

    /// Their bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.waiting_bytes + self.under_way_bytes
    }

    /// Events that wait to be sent.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Bytes that wait to be sent.
    pub(crate) fn waiting_bytes(&self) -> usize {
        self.waiting_bytes
    }

    /// The oldest event that waits.
    pub(crate) fn first(&self) -> Option<&Entry> {
        self.waiting.front()
    }

    /// Number of the oldest event without a final fate; `u64::MAX` where there is none.
    pub(crate) fn oldest(&self) -> u64 {
        let first = self.under_way.first().or_else(|| self.waiting.front());
        first.map_or(u64::MAX, |entry| entry.number)
    }

    /// Events queued so far; the newest has this number.
    pub(crate) fn newest(&self) -> u64 {
        self.queued
    }

    /// Whether an event finds room beside all that waits and is under way, so that
    /// nothing has to go for it.
    pub(crate) fn has_room(&self, bytes: usize) -> bool {
        self.len() < self.events_max && self.bytes() + bytes <= self.bytes_max
    }

    /// Adds an event, and pushes out the oldest that wait where there is no room
    /// (SDK-QUEUE-2). What is under way counts when it comes back.
    pub(crate) fn push(&mut self, mut entry: Entry) {
        while !self.fits(entry.body.len()) {
            let Some(oldest) = self.waiting.pop_front() else { break };
            self.waiting_bytes -= oldest.body.len();
            self.lose(1);
        }
        self.queued += 1;
        entry.number = self.queued;
        self.waiting_bytes += entry.body.len();
        self.waiting.push_back(entry);
    }

    fn fits(&self, bytes: usize) -> bool {
        self.waiting.len() < self.events_max && self.waiting_bytes + bytes <= self.bytes_max
    }

    /// Takes the oldest for a request: at most so many, of at most so many bytes
    /// (SDK-BATCH-1), in order (SDK-BATCH-4).
    pub(crate) fn take(&mut self, events_max: usize, bytes_max: usize) -> Vec<Bytes> {
        while self.under_way.len() < events_max {
            let Some(entry) = self.waiting.front() else { break };
            // Four bytes: a comma, or a protobuf tag and a length of up to 64 KiB.
            let bytes = self.under_way_bytes + entry.body.len() + 4 * (self.under_way.len() + 1);
            if !self.under_way.is_empty() && bytes > bytes_max {
                break;
            }
            let Some(entry) = self.waiting.pop_front() else { break };
            self.waiting_bytes -= entry.body.len();
            self.under_way_bytes += entry.body.len();
            self.under_way.push(entry);
        }
        self.under_way.iter().map(|entry| entry.body.clone()).collect()
    }

    /// Ends a request: by its index, what is to become of each event (SDK-RETRY-1).
    /// What is sent again goes back to its place; where newer events have taken the
    /// room meanwhile, the oldest go. Gives how many are to be sent again.
    pub(crate) fn settle(&mut self, fate: impl Fn(usize) -> Fate) -> usize {
        let mut again = 0;
        self.under_way_bytes = 0;
        for (index, entry) in std::mem::take(&mut self.under_way).into_iter().enumerate().rev() {
            if fate(index) == Fate::Over {
                continue;
            }
            again += 1;
            if self.fits(entry.body.len()) {
                self.waiting_bytes += entry.body.len();
                self.waiting.push_front(entry);
            } else {
                self.lose(1);
            }
        }
        again
    }

    /// Forgets everything, also what was lost (SDK-PRIVACY-2).
    pub(crate) fn clear(&mut self) {
        self.waiting.clear();
        self.under_way.clear();
        (self.waiting_bytes, self.under_way_bytes, self.untold) = (0, 0, 0);
    }

    /// Counts events as lost.
    pub(crate) fn lose(&mut self, events: u64) {
        self.untold += events;
        self.lost += events;
    }

    /// Forgets those that wait and are not of the sample; they were never to be
    /// reported (SDK-QUEUE-4).
    pub(crate) fn sample(&mut self, rate: f64) {
        self.waiting.retain(|entry| entry.place.is_none_or(|place| place < rate));
        self.waiting_bytes = self.waiting.iter().map(|entry| entry.body.len()).sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(bytes: usize) -> Entry {
        Entry { body: vec![0; bytes].into(), at: Instant::now(), place: None, number: 0 }
    }

    fn numbers(queue: &Queue) -> Vec<u64> {
        queue.waiting.iter().map(|entry| entry.number).collect()
    }

    #[test]
    fn the_oldest_go_for_the_newest() {
        let mut queue = Queue::new(3, 100);
        (0..5).for_each(|_| queue.push(entry(10)));
        assert_eq!((numbers(&queue), queue.untold), (vec![3, 4, 5], 2));
        queue.push(entry(85));
        assert_eq!((numbers(&queue), queue.bytes(), queue.lost), (vec![5, 6], 95, 4));
        assert!(queue.has_room(5) && !queue.has_room(6));
    }

    #[test]
    fn batches_hold_both_bounds_and_one_event_at_least() {
        let mut queue = Queue::new(100, 10_000);
        (0..10).for_each(|_| queue.push(entry(100)));
        assert_eq!(queue.take(4, 10_000).len(), 4);
        assert_eq!(queue.settle(|_| Fate::Over), 0);
        assert_eq!(queue.take(10, 315).len(), 3);
        assert_eq!((queue.settle(|_| Fate::Again), queue.bytes()), (3, 600));
        assert_eq!(queue.take(10, 1).len(), 1);
    }

    #[test]
    fn what_is_sent_again_keeps_its_place() {
        let mut queue = Queue::new(5, 1_000);
        (0..4).for_each(|_| queue.push(entry(1)));
        queue.take(3, 1_000);
        assert_eq!((queue.oldest(), queue.len()), (1, 4));
        queue.push(entry(1));
        let fate = |index| if index == 1 { Fate::Over } else { Fate::Again };
        assert_eq!(queue.settle(fate), 2);
        assert_eq!((numbers(&queue), queue.untold), (vec![1, 3, 4, 5], 0));
        queue.take(2, 1_000);
        (0..4).for_each(|_| queue.push(entry(1)));
        queue.settle(|_| Fate::Again);
        assert_eq!((numbers(&queue), queue.untold), (vec![5, 6, 7, 8, 9], 3));
    }
}
