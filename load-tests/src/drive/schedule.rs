//! When batches are due: fixed before the first one is sent.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

/// Longest sleep of the pacer, so that it ends soon after the run.
const NAP_MAX: Duration = Duration::from_millis(50);

/// The arrivals of a run, shared by its connections.
pub struct Schedule {
    begun: Instant,
    /// Time between two arrivals; `None`: as fast as answers come.
    interval: Option<Duration>,
    arrivals_max: u64,
    ends: Instant,
    next: AtomicU64,
    /// Arrivals that are due and not yet taken.
    due: Arc<Semaphore>,
    stopped: Arc<AtomicBool>,
}

// === impl Schedule ===

impl Schedule {
    /// Begins now. Must be in a runtime.
    pub fn begin(interval: Option<Duration>, at_most: Duration, arrivals_max: u64) -> Self {
        let begun = Instant::now();
        let planned = interval.map_or(arrivals_max, |interval| {
            let whole = at_most.as_nanos() / interval.as_nanos().max(1);
            arrivals_max.min(u64::try_from(whole).unwrap_or(u64::MAX))
        });
        let schedule = Self {
            begun,
            interval,
            arrivals_max: planned,
            ends: begun + at_most,
            next: AtomicU64::new(0),
            due: Arc::new(Semaphore::new(0)),
            stopped: Arc::new(AtomicBool::new(false)),
        };
        if let Some(interval) = interval {
            let (due, stopped) = (Arc::clone(&schedule.due), Arc::clone(&schedule.stopped));
            std::thread::spawn(move || pace(begun, interval, planned, &due, &stopped));
        }
        schedule
    }

    /// The number of the next arrival and when it is due, once it is; `None` at
    /// the end of the run.
    pub async fn take(&self) -> Option<(u64, Instant)> {
        match self.interval {
            Some(interval) => {
                self.due.acquire().await.ok()?.forget();
                let number = self.next.fetch_add(1, Ordering::Relaxed);
                if number < self.arrivals_max {
                    return Some((number, self.begun + times(interval, number)));
                }
                // The end goes from hand to hand.
                self.due.add_permits(1);
                None
            }
            None => {
                let now = Instant::now();
                let number = self.next.fetch_add(1, Ordering::Relaxed);
                (number < self.arrivals_max && now < self.ends).then_some((number, now))
            }
        }
    }

    /// No further arrivals.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
        self.due.close();
    }
}

impl Drop for Schedule {
    fn drop(&mut self) {
        self.stop();
    }
}

fn times(interval: Duration, number: u64) -> Duration {
    let nanos = interval.as_nanos() * u128::from(number);
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

/// A thread of its own: the runtime's timers are a millisecond wide.
fn pace(begun: Instant, interval: Duration, planned: u64, due: &Semaphore, stopped: &AtomicBool) {
    let mut released = 0;
    while released < planned && !stopped.load(Ordering::Relaxed) {
        let passed = begun.elapsed().as_nanos() / interval.as_nanos().max(1);
        let until = planned.min(u64::try_from(passed).unwrap_or(u64::MAX).saturating_add(1));
        if until > released {
            due.add_permits((until - released) as usize);
            released = until;
            continue;
        }
        let next = begun + times(interval, released);
        std::thread::sleep(next.saturating_duration_since(Instant::now()).min(NAP_MAX));
    }
    // One more, for whoever waits then, is the end. To close would take what is due from
    // those who were given it and have not run since.
    due.add_permits(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_arrival_is_taken_once_and_none_before_it_is_due() {
        let interval = Duration::from_millis(2);
        let schedule = Schedule::begin(Some(interval), Duration::from_millis(100), u64::MAX);
        let mut taken = Vec::new();
        while let Some((number, due)) = schedule.take().await {
            assert!(Instant::now() >= due);
            assert_eq!(due, schedule.begun + interval * number as u32);
            taken.push(number);
        }
        assert_eq!(taken, (0..50).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn many_takers_share_the_arrivals_and_all_find_the_end() {
        let interval = Duration::from_micros(200);
        let schedule = Schedule::begin(Some(interval), Duration::from_millis(20), u64::MAX);
        let taker = || async {
            let mut taken = Vec::new();
            while let Some((number, _)) = schedule.take().await {
                taken.push(number);
                // The last ones are given out while nobody runs.
                std::thread::sleep(Duration::from_micros(300));
                tokio::task::yield_now().await;
            }
            taken
        };
        let mut taken = futures::future::join_all((0..8).map(|_| taker())).await.concat();
        taken.sort_unstable();
        assert_eq!(taken, (0..100).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn a_slow_taker_gets_what_was_due_long_ago() {
        let interval = Duration::from_millis(1);
        let schedule = Schedule::begin(Some(interval), Duration::from_secs(5), u64::MAX);
        tokio::time::sleep(Duration::from_millis(60)).await;
        let (_, due) = schedule.take().await.expect("due");
        assert!(due.elapsed() >= Duration::from_millis(59));
    }

    #[tokio::test]
    async fn without_a_rate_the_number_of_arrivals_is_kept() {
        let schedule = Schedule::begin(None, Duration::from_secs(5), 3);
        let mut taken = 0;
        while schedule.take().await.is_some() {
            taken += 1;
        }
        assert_eq!(taken, 3);
    }
}
