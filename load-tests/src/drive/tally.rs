//! Counts answers and their latencies, over all and second by second.
//!
//! A latency runs from the moment at which the schedule wanted the batch sent,
//! whether or not it could be sent then: what waited in the generator because
//! the gateway was slow has waited (no coordinated omission).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use parking_lot::Mutex;
use serde::Serialize;

use super::answer::{Answer, Fate};

/// Longest latency that is told apart, microseconds.
const LATENCY_MAX_US: u64 = 120_000_000;
/// Seconds that are kept one by one: a day.
const SECONDS_MAX: usize = 86_400;

/// Latencies in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Latency {
    /// Half of the batches were answered within this.
    pub p50_ms: f64,
    /// Nine in ten.
    pub p90_ms: f64,
    /// 99 in a hundred.
    pub p99_ms: f64,
    /// 999 in a thousand.
    pub p999_ms: f64,
    /// All.
    pub max_ms: f64,
}

/// Events by what became of them, and batches that have no fates.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Counts {
    /// Batches sent.
    pub batches: u64,
    /// Newly durable events.
    pub accepted: u64,
    /// Events durable before.
    pub duplicates: u64,
    /// Events never taken.
    pub rejected: u64,
    /// Events wanted again.
    pub retry: u64,
    /// Events with a final fate of which the dialect says no more: durable now or
    /// before, or (Sensors alone) rejected.
    pub untold: u64,
    /// Batches refused whole, by HTTP status or gRPC code.
    pub refused: BTreeMap<u32, u64>,
    /// Of them, those that said when to come again.
    pub refused_with_wait: u64,
    /// Batches without an answer.
    pub lost: u64,
    /// Why, the first time.
    pub lost_why: Option<String>,
}

/// One second of a run.
#[derive(Debug, Clone, Serialize)]
pub struct Second {
    /// Seconds since the start.
    pub at_s: usize,
    /// Batches answered.
    pub batches: u64,
    /// Events newly durable, or of which no more was said than that they are done.
    pub accepted: u64,
    /// Batches refused or lost.
    pub refused: u64,
    /// Their latencies.
    #[serde(flatten)]
    pub latency: Latency,
}

/// Counts one run.
pub struct Tally {
    begun: Instant,
    events: usize,
    inner: Mutex<Inner>,
}

struct Inner {
    counts: Counts,
    all: Histogram<u64>,
    second: Histogram<u64>,
    now: Second,
    seconds: Vec<Second>,
}

// === impl Latency ===

impl Latency {
    /// Of a histogram of microseconds.
    pub fn of(histogram: &Histogram<u64>) -> Self {
        let ms = |quantile: f64| histogram.value_at_quantile(quantile) as f64 / 1e3;
        Self {
            p50_ms: ms(0.5),
            p90_ms: ms(0.9),
            p99_ms: ms(0.99),
            p999_ms: ms(0.999),
            max_ms: histogram.max() as f64 / 1e3,
        }
    }
}

// === impl Second ===

impl Second {
    fn new(at_s: usize) -> Self {
        Self { at_s, batches: 0, accepted: 0, refused: 0, latency: Latency::default() }
    }
}

/// A histogram of microseconds, three digits exact.
pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_MAX_US, 3).expect("valid bounds")
}

// === impl Tally ===

impl Tally {
    /// Begins now; batches have `events` events.
    pub fn new(events: usize) -> Self {
        let inner = Inner {
            counts: Counts::default(),
            all: histogram(),
            second: histogram(),
            now: Second::new(0),
            seconds: Vec::new(),
        };
        Self { begun: Instant::now(), events, inner: Mutex::new(inner) }
    }

    /// Notes an answer to a batch that was due at `due`.
    pub fn note(&self, due: Instant, answer: &Answer) {
        let now = Instant::now();
        let took = now.saturating_duration_since(due);
        let at_s = (now - self.begun).as_secs() as usize;
        let mut inner = self.inner.lock();
        inner.turn_to(at_s);
        let us = (took.as_micros() as u64).clamp(1, LATENCY_MAX_US);
        inner.all.saturating_record(us);
        inner.second.saturating_record(us);
        inner.count(answer, self.events);
    }

    /// What was counted until now, and the last whole second.
    pub fn look(&self) -> (Counts, Option<Second>) {
        let at_s = self.begun.elapsed().as_secs() as usize;
        let mut inner = self.inner.lock();
        inner.turn_to(at_s);
        (inner.counts.clone(), inner.seconds.last().cloned())
    }

    /// The end: counts, latency over all, every second, time since the start.
    pub fn finish(self) -> (Counts, Latency, Vec<Second>, Duration) {
        let took = self.begun.elapsed();
        let mut inner = self.inner.into_inner();
        let last = inner.now.at_s + 1;
        inner.turn_to(last);
        (inner.counts, Latency::of(&inner.all), inner.seconds, took)
    }
}

impl Inner {
    /// Closes the seconds before `at_s`.
    fn turn_to(&mut self, at_s: usize) {
        while self.now.at_s < at_s {
            let next = Second::new(self.now.at_s + 1);
            let mut done = std::mem::replace(&mut self.now, next);
            done.latency = Latency::of(&self.second);
            self.second.reset();
            if self.seconds.len() < SECONDS_MAX {
                self.seconds.push(done);
            }
        }
    }

    fn count(&mut self, answer: &Answer, events: usize) {
        self.counts.batches += 1;
        self.now.batches += 1;
        match answer {
            Answer::Told(others) => {
                let of = |wanted| others.iter().filter(|(_, fate)| *fate == wanted).count() as u64;
                let accepted = (events as u64).saturating_sub(others.len() as u64);
                self.counts.accepted += accepted;
                self.now.accepted += accepted;
                self.counts.duplicates += of(Fate::Duplicate);
                self.counts.rejected += of(Fate::Rejected);
                self.counts.retry += of(Fate::Retry);
            }
            Answer::Summed(sum) => {
                let rejected = sum.rejected.unwrap_or(0);
                self.counts.rejected += rejected;
                if let Some((accepted, duplicates)) = sum.durable {
                    self.counts.accepted += accepted;
                    self.counts.duplicates += duplicates;
                    self.now.accepted += accepted;
                } else {
                    let untold = (events as u64).saturating_sub(rejected);
                    self.counts.untold += untold;
                    self.now.accepted += untold;
                }
            }
            Answer::Refused { code, wait } => {
                *self.counts.refused.entry(*code).or_default() += 1;
                self.counts.refused_with_wait += u64::from(*wait);
                self.now.refused += 1;
            }
            Answer::Lost(why) => {
                self.counts.lost += 1;
                self.counts.lost_why.get_or_insert_with(|| why.clone());
                self.now.refused += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::answer::Sum;
    use super::*;

    #[test]
    fn each_event_is_counted_once_whatever_is_said_of_it() {
        let tally = Tally::new(10);
        let summed = |durable, rejected| Sum { durable, rejected, which: vec![0] };
        for sum in [summed(None, None), summed(None, Some(1)), summed(Some((6, 3)), Some(1))] {
            tally.note(Instant::now(), &Answer::Summed(sum));
        }
        let (counts, _, seconds, _) = tally.finish();
        let found = (counts.accepted, counts.duplicates, counts.rejected, counts.untold);
        assert_eq!(found, (6, 3, 2, 19));
        assert_eq!(seconds[0].accepted, 25, "all that is done and not known to be old or bad");
    }

    #[test]
    fn a_wait_in_the_generator_counts() {
        let tally = Tally::new(10);
        let due = Instant::now() - Duration::from_millis(500);
        tally.note(due, &Answer::Told(vec![(3, Fate::Duplicate)]));
        tally.note(Instant::now(), &Answer::Refused { code: 503, wait: true });
        let (counts, latency, seconds, _) = tally.finish();
        assert!((500.0..600.0).contains(&latency.max_ms), "{latency:?}");
        assert_eq!((counts.accepted, counts.duplicates, counts.refused[&503]), (9, 1, 1));
        assert_eq!(seconds.len(), 1);
        assert_eq!((seconds[0].batches, seconds[0].refused), (2, 1));
    }
}
