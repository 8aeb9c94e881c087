//! How many bulk requests at once, and how large: additive increase while the
//! engine keeps up, halved when it pushes back (Chiu and Jain 1989, as in TCP).

use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

/// The least that a request aims at, bytes.
const BYTES_AIM_MIN: f64 = 65_536.0;
/// Requests under way to begin with.
const LIMIT_AT_START: f64 = 2.0;
/// Requests that were under way together push back together: that is one time.
const ONE_TIME: Duration = Duration::from_millis(200);

/// The state.
pub struct Pace {
    state: Mutex<State>,
    freed: Notify,
    limit_max: f64,
    bytes_max: f64,
}

struct State {
    in_flight: usize,
    limit: f64,
    bytes_aim: f64,
    pushed_back: Option<Instant>,
}

/// Room for one request; given back when dropped.
pub struct Permit<'a>(&'a Pace);

// === impl Pace ===

impl Pace {
    /// With upper bounds.
    pub fn new(in_flight_max: usize, bytes_max: usize) -> Self {
        let (limit_max, bytes_max) = (in_flight_max as f64, bytes_max as f64);
        let state = State {
            in_flight: 0,
            limit: LIMIT_AT_START.min(limit_max),
            bytes_aim: bytes_max,
            pushed_back: None,
        };
        Self { state: Mutex::new(state), freed: Notify::new(), limit_max, bytes_max }
    }

    /// Waits for room.
    pub async fn acquire(&self) -> Permit<'_> {
        loop {
            let freed = self.freed.notified();
            if let Some(permit) = self.try_acquire() {
                return permit;
            }
            freed.await;
        }
    }

    /// Takes room if there is any.
    pub fn try_acquire(&self) -> Option<Permit<'_>> {
        let mut state = self.state.lock();
        (state.in_flight < state.limit as usize).then(|| {
            state.in_flight += 1;
            Permit(self)
        })
    }

    /// A request was taken.
    pub fn went_well(&self) {
        let mut state = self.state.lock();
        state.limit = (state.limit + 1.0 / state.limit).min(self.limit_max);
        state.bytes_aim = (state.bytes_aim + BYTES_AIM_MIN).min(self.bytes_max);
    }

    /// The engine asked for less, or time ran out.
    pub fn pushed_back(&self) {
        let mut state = self.state.lock();
        let now = Instant::now();
        if state.pushed_back.is_some_and(|at| now.duration_since(at) < ONE_TIME) {
            return;
        }
        state.pushed_back = Some(now);
        state.limit = (state.limit / 2.0).max(1.0);
        state.bytes_aim = (state.bytes_aim / 2.0).max(BYTES_AIM_MIN);
    }

    /// Bytes that a request should aim at.
    pub fn bytes_aim(&self) -> usize {
        self.state.lock().bytes_aim as usize
    }

    /// Requests under way, and how many are allowed.
    pub fn in_flight(&self) -> (usize, usize) {
        let state = self.state.lock();
        (state.in_flight, state.limit as usize)
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.0.state.lock().in_flight -= 1;
        self.0.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn grows_by_steps_and_halves_once_for_requests_under_way_together() {
        let pace = Pace::new(8, 1_000_000);
        for _ in 0..100 {
            pace.went_well();
        }
        assert_eq!((pace.in_flight().1, pace.bytes_aim()), (8, 1_000_000));
        pace.pushed_back();
        pace.pushed_back();
        assert_eq!((pace.in_flight().1, pace.bytes_aim()), (4, 500_000));
        for _ in 0..20 {
            tokio::time::advance(ONE_TIME).await;
            pace.pushed_back();
        }
        assert_eq!((pace.in_flight().1, pace.bytes_aim()), (1, 65_536));
    }

    #[tokio::test]
    async fn lets_no_more_through_than_allowed() {
        let pace = Pace::new(1, 1_000_000);
        let held = pace.acquire().await;
        assert!(pace.try_acquire().is_none());
        let waiting = pace.acquire();
        drop(held);
        let next = waiting.await;
        assert_eq!(pace.in_flight(), (1, 1));
        drop(next);
        assert_eq!(pace.in_flight().0, 0);
    }
}
