//! What the app's side and the sending side of a client share.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use crate::builder::Plan;
use crate::error::Unsent;
use crate::limits::{BODY_BYTES_MAX, SETTINGS_WAIT};
use crate::pace::Pace;
use crate::queue::{Entry, Queue};
use crate::settings::Settings;

/// Shared by the handles and the sender.
pub(crate) struct Shared {
    pub(crate) plan: Plan,
    pub(crate) state: Mutex<State>,
    /// Something may be due.
    pub(crate) wake: Notify,
    /// There may be room.
    pub(crate) room: Notify,
}

/// Everything that changes.
pub(crate) struct State {
    pub(crate) queue: Queue,
    pub(crate) pace: Pace,
    pub(crate) settings: Settings,
    /// The first batch waits for the first settings until then (SDK-CONFIG-7).
    pub(crate) unsettled_until: Option<Instant>,
    /// Set by `close`: from when on nothing is sent any more.
    pub(crate) closing: Option<Instant>,
    /// The sender has ended.
    pub(crate) ended: bool,
    /// Nothing is collected or sent (SDK-PRIVACY-1).
    pub(crate) opted_out: bool,
    /// Grows by each opt-out: an answer to an older request is not read.
    pub(crate) era: u64,
    /// Events up to this number were asked for by a flush.
    flush_to: u64,
    flushes: Vec<Flush>,
    pub(crate) counts: Counts,
}

/// What became of events and requests so far.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    pub(crate) accepted: u64,
    pub(crate) duplicates: u64,
    pub(crate) rejected: u64,
    pub(crate) requests: u64,
    pub(crate) failures: u64,
}

struct Flush {
    to: u64,
    deadline: Instant,
    done: oneshot::Sender<Result<(), Unsent>>,
}

/// What the sender does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// Sends.
    Send,
    /// Waits until then, or until woken.
    At(Instant),
    /// Waits until woken.
    Idle,
    /// Ends.
    End,
}

// === impl Shared ===

impl Shared {
    pub(crate) fn new(plan: Plan) -> Self {
        let ask = plan.remote_settings;
        let state = State {
            queue: Queue::new(plan.queue_events_max, plan.queue_bytes_max),
            pace: Pace::default(),
            settings: Settings { ..plan.settings },
            unsettled_until: ask.then(|| Instant::now() + SETTINGS_WAIT),
            closing: None,
            ended: false,
            opted_out: false,
            era: 0,
            flush_to: 0,
            flushes: Vec::new(),
            counts: Counts::default(),
        };
        Self { plan, state: Mutex::new(state), wake: Notify::new(), room: Notify::new() }
    }

    /// Queues an event, and wakes the sender where it may be due for it.
    pub(crate) fn queue(&self, state: &mut State, entry: Entry) {
        let was_full = state.is_full(&self.plan);
        state.queue.push(entry);
        // Nothing else makes a request due sooner: the sender sleeps on.
        if state.queue.waiting() == 1 || (!was_full && state.is_full(&self.plan)) {
            self.wake.notify_one();
        }
    }

    /// What is next, and when.
    pub(crate) fn next(&self) -> Next {
        let mut state = self.state.lock();
        let now = Instant::now();
        state.end_flushes(now);
        if state.closing.is_some_and(|until| now >= until || state.queue.len() == 0) {
            return Next::End;
        }
        let due = state.due(&self.plan, now);
        if due.is_some_and(|due| due <= now) {
            return Next::Send;
        }
        let soonest = [due, state.deadline()].into_iter().flatten().min();
        soonest.map_or(Next::Idle, Next::At)
    }

    /// The sender has ended: nobody waits any longer.
    pub(crate) fn end(&self) {
        let mut state = self.state.lock();
        state.ended = true;
        let left = state.queue.len();
        for flush in state.flushes.drain(..) {
            // Whoever asked may have gone.
            let _ = flush.done.send(unsent(left));
        }
        drop(state);
        self.room.notify_waiters();
    }
}

/// All sent, or so many not.
pub(crate) fn unsent(events: usize) -> Result<(), Unsent> {
    if events == 0 { Ok(()) } else { Err(Unsent { events }) }
}

// === impl State ===

impl State {
    /// Whether new events are refused.
    pub(crate) fn is_closed(&self) -> bool {
        self.ended || self.closing.is_some()
    }

    /// Whether a device's events are collected (SDK-CONFIG-2, SDK-CONFIG-3).
    pub(crate) fn collects(&self, place: Option<f64>) -> bool {
        let on = self.settings.enabled && !self.opted_out;
        on && place.is_none_or(|place| place < self.settings.sample_rate)
    }

    /// Events that the next request may hold (SDK-BATCH-1, SDK-CONFIG-4).
    pub(crate) fn events_max(&self, plan: &Plan) -> usize {
        self.pace.events_max(plan.batch_events_max.min(self.settings.batch_events_max))
    }

    /// Between two requests that nothing calls for. The app's own linger is its
    /// standing order to flush (SDK-BATCH-3).
    pub(crate) fn interval(&self, plan: &Plan) -> Duration {
        plan.linger.unwrap_or(self.settings.flush_interval)
    }

    fn is_full(&self, plan: &Plan) -> bool {
        self.queue.waiting() >= self.events_max(plan)
            || self.queue.waiting_bytes() >= plan.batch_bytes_max.min(BODY_BYTES_MAX)
    }

    /// When the next request is due; never sooner than answers allow (SDK-RETRY-4).
    fn due(&self, plan: &Plan, now: Instant) -> Option<Instant> {
        let first = self.queue.first().filter(|_| self.settings.enabled && !self.opted_out)?;
        let closing = self.closing.is_some();
        let asked = closing
            || first.number <= self.flush_to
            || self.pace.failures > 0
            || self.pace.at_once
            || self.is_full(plan);
        let mut due = now;
        if !asked {
            due = self.pace.last_sent.map_or(first.at, |sent| sent.max(first.at));
            due += self.interval(plan);
        }
        if !closing {
            due = due.max(self.unsettled_until.unwrap_or(due));
        }
        Some(due.max(self.pace.not_before.unwrap_or(due)))
    }

    /// When a flush or the client gives up.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.flushes.iter().map(|flush| flush.deadline).chain(self.closing).min()
    }

    /// Asks for all that is queued by now.
    pub(crate) fn flush(&mut self, deadline: Instant) -> oneshot::Receiver<Result<(), Unsent>> {
        let (done, told) = oneshot::channel();
        let to = self.queue.newest();
        if self.ended || self.queue.oldest() > to {
            // The receiver is here.
            let _ = done.send(unsent(self.queue.len()));
        } else {
            self.flush_to = to;
            self.flushes.push(Flush { to, deadline, done });
        }
        told
    }

    /// Ends the flushes that are done or out of time.
    pub(crate) fn end_flushes(&mut self, now: Instant) {
        let (oldest, left) = (self.queue.oldest(), self.queue.len());
        let over = |flush: &mut Flush| oldest > flush.to || now >= flush.deadline;
        for flush in self.flushes.extract_if(.., over) {
            let result = if oldest > flush.to { Ok(()) } else { unsent(left) };
            // Whoever asked may have gone.
            let _ = flush.done.send(result);
        }
    }
}
