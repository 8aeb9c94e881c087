//! Recently resolved records of a partition, for lanes that keep up.
//!
//! Complete from `from` to `to`: a lane that stands inside takes from here, one
//! that stands before reads the log itself. Bounded by log bytes. The resolver
//! waits while the *fastest* lane has half a window before it, so that at a
//! backlog lanes need not read everything twice; a slow lane never holds it up.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::resolve::Resolved;

/// The window of one partition.
#[derive(Debug)]
pub(crate) struct Window {
    bytes_max: usize,
    state: Mutex<State>,
    moved: Notify,
}

#[derive(Debug)]
struct State {
    from: u64,
    to: u64,
    /// Log bytes pushed ever.
    pushed: u64,
    /// With the bytes pushed before each.
    records: VecDeque<(u64, Arc<Resolved>)>,
    /// Where each lane reads next.
    lanes: Vec<u64>,
}

/// What a lane finds at its place.
#[derive(Debug)]
pub(crate) enum Found {
    /// These records, and where to go on from.
    Records(Vec<Arc<Resolved>>, u64),
    /// Everything resolved was read.
    Nothing,
    /// Too old: read the log up to this offset.
    Older(u64),
}

// === impl Window ===

impl Window {
    /// An empty window at `at`, with as many lanes.
    pub(crate) fn new(bytes_max: usize, at: u64, lanes: usize) -> Self {
        let state =
            State { from: at, to: at, pushed: 0, records: VecDeque::new(), lanes: vec![0; lanes] };
        Self { bytes_max, state: Mutex::new(state), moved: Notify::new() }
    }

    /// Adds records; the oldest make room.
    pub(crate) fn push(&self, records: &[Arc<Resolved>]) {
        let mut state = self.state.lock();
        for record in records {
            let before = state.pushed;
            state.records.push_back((before, Arc::clone(record)));
            state.pushed += record.bytes as u64;
            state.to = record.offset + 1;
        }
        let room = state.pushed.saturating_sub(self.bytes_max as u64);
        while state.records.len() > 1 && state.records.front().is_some_and(|(at, _)| *at < room) {
            if let Some((_, record)) = state.records.pop_front() {
                state.from = record.offset + 1;
            }
        }
    }

    /// Records from `at` on, about `events_max` and `bytes_max`, at least one
    /// where there is one.
    pub(crate) fn take(&self, at: u64, events_max: usize, bytes_max: usize) -> Found {
        let state = self.state.lock();
        if at >= state.to {
            return Found::Nothing;
        }
        if at < state.from {
            return Found::Older(state.from);
        }
        let start = state.records.partition_point(|(_, record)| record.offset < at);
        let (mut events, mut bytes, mut taken) = (0, 0, Vec::new());
        for (_, record) in state.records.range(start..) {
            taken.push(Arc::clone(record));
            events += record.first.len();
            bytes += record.bytes;
            if events >= events_max || bytes >= bytes_max {
                break;
            }
        }
        let next = taken.last().map_or(state.to, |record| record.offset + 1);
        Found::Records(taken, next)
    }

    /// Notes where a lane reads next.
    pub(crate) fn moved(&self, lane: usize, to: u64) {
        self.state.lock().lanes[lane] = to;
        self.moved.notify_one();
    }

    /// Append time of the newest record, milliseconds.
    pub(crate) fn newest_ms(&self) -> Option<i64> {
        self.state.lock().records.back().map(|(_, record)| record.appended_at_ms)
    }

    /// Resolves once the fastest lane has less than half a window before it:
    /// the other half is for what is read next.
    pub(crate) async fn room(&self) {
        loop {
            let moved = self.moved.notified();
            if self.ahead() <= self.bytes_max as u64 / 2 {
                return;
            }
            moved.await;
        }
    }

    /// Log bytes between the fastest lane and the end of the window.
    fn ahead(&self) -> u64 {
        let state = self.state.lock();
        let fastest = state.lanes.iter().copied().max().unwrap_or(state.to);
        let at = state.records.partition_point(|(_, record)| record.offset < fastest);
        state.records.get(at).map_or(0, |(before, _)| state.pushed - before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(offset: u64, bytes: usize) -> Arc<Resolved> {
        Arc::new(Resolved { offset, appended_at_ms: 0, bytes, first: Vec::new() })
    }

    fn offsets(found: Found) -> Vec<u64> {
        match found {
            Found::Records(records, _) => records.iter().map(|record| record.offset).collect(),
            other => panic!("not records: {other:?}"),
        }
    }

    #[test]
    fn a_lane_inside_takes_from_it_one_before_reads_the_log() {
        let window = Window::new(100, 10, 1);
        assert!(matches!(window.take(10, 9, 999), Found::Nothing));
        window.push(&[record(10, 40), record(12, 40), record(13, 40)]);
        assert!(matches!(window.take(10, 9, 999), Found::Older(11)), "the oldest made room");
        assert_eq!(offsets(window.take(11, 9, 999)), [12, 13], "offsets may have gaps");
        assert_eq!(offsets(window.take(13, 9, 999)), [13]);
        assert_eq!(offsets(window.take(11, 9, 1)), [12], "at least one");
        assert!(matches!(window.take(14, 9, 999), Found::Nothing));
    }

    #[tokio::test]
    async fn only_the_fastest_lane_holds_the_resolver_up() {
        let window = Window::new(100, 0, 2);
        window.push(&[record(0, 40), record(1, 40)]);
        let waiting = tokio::time::timeout(std::time::Duration::from_millis(20), window.room());
        assert!(waiting.await.is_err(), "no lane has read anything");
        window.moved(1, 1);
        window.room().await;
    }
}
