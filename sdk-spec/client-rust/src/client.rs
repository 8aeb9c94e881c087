//! The app's side: takes events, flushes, closes.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::builder::{Builder, Plan};
use crate::error::{BuildError, TrackError, Unsent};
use crate::event::Event;
use crate::limits::EVENT_BYTES_MAX;
use crate::queue::Entry;
use crate::shared::{Shared, unsent};
use crate::transport::Link;
use crate::{check, encode, sender, settings};

/// Beyond the time to send: for the thread to end.
const END_SLACK: Duration = Duration::from_millis(500);

/// Reports events to a gateway. Cheap to clone; all clones share one queue, one
/// thread and one request at a time (SDK-BATCH-2).
///
/// Dropping the last clone sends what waits, for [`Builder::drop_wait`] at most, and
/// **blocks meanwhile**: in async code call [`close`](Client::close) first. What is
/// not sent by then is lost; the queue is in memory.
#[derive(Clone)]
pub struct Client(Arc<Handle>);

struct Handle {
    shared: Arc<Shared>,
    /// Disconnects when the thread has ended.
    ended: Mutex<mpsc::Receiver<()>>,
    thread: std::thread::ThreadId,
}

/// What became of everything so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Events without a final fate: waiting, or under way.
    pub waiting: usize,
    /// Their bytes, as they will be sent.
    pub waiting_bytes: usize,
    /// Events that a reply called accepted: durable.
    pub accepted: u64,
    /// Events that the gateway had before.
    pub duplicates: u64,
    /// Events that the gateway will never take.
    pub rejected: u64,
    /// Events lost: pushed out, too large, dropped with a refused batch, given up by
    /// [`Client::count_lost`].
    pub lost: u64,
    /// Requests with events.
    pub requests: u64,
    /// Of them, those after which something was to be sent again or was dropped.
    pub failures: u64,
}

// === impl Client ===

impl Client {
    /// A client for a gateway (`http://127.0.0.1:7080`) and a server or write key.
    pub fn builder(url: impl Into<String>, key: impl Into<String>) -> Builder {
        Builder::new(url.into(), key.into())
    }

    pub(crate) fn start(plan: Plan) -> Result<Self, BuildError> {
        let failed = |error: std::io::Error| BuildError::Start(error.to_string());
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let link = {
            let _inside = runtime.enter();
            Arc::new(Link::new(&plan.target, plan.transport)?)
        };
        let shared = Arc::new(Shared::new(plan));
        let (alive, ended) = mpsc::channel();
        let of_thread = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("sluice-client".to_owned());
        let thread = thread.spawn(move || {
            let _alive: mpsc::Sender<()> = alive;
            let _ending = Ending(Arc::clone(&of_thread));
            runtime.block_on(sender::run(of_thread, link));
            // A name that is still being resolved is not waited for.
            runtime.shutdown_background();
        });
        let thread = thread.map_err(failed)?.thread().id();
        Ok(Self(Arc::new(Handle { shared, ended: Mutex::new(ended), thread })))
    }

    /// Queues an event; waits while there is no room. Nothing is lost for want of room
    /// as long as the caller waits.
    pub async fn track(&self, mut event: Event) -> Result<(), TrackError> {
        let shared = &self.0.shared;
        let entry = self.prepare(&mut event)?;
        loop {
            let mut room = std::pin::pin!(shared.room.notified());
            // From here on no news is missed.
            room.as_mut().enable();
            match self.try_queue(&entry) {
                Queued::Yes => return Ok(()),
                Queued::Closed => return Err(TrackError::Closed(Box::new(event))),
                Queued::Full => room.await,
            }
        }
    }

    /// Queues an event, or hands it back where there is no room. Whoever gives it up
    /// then says so by [`count_lost`](Client::count_lost).
    pub fn try_track(&self, mut event: Event) -> Result<(), TrackError> {
        let entry = self.prepare(&mut event)?;
        match self.try_queue(&entry) {
            Queued::Yes => Ok(()),
            Queued::Closed => Err(TrackError::Closed(Box::new(event))),
            Queued::Full => Err(TrackError::Full(Box::new(event))),
        }
    }

    /// Queues an event; where there is no room the oldest that waits goes for it and is
    /// counted as lost (SDK-QUEUE-2). Never waits, never refuses for want of room.
    pub fn push(&self, mut event: Event) -> Result<(), TrackError> {
        let entry = self.prepare(&mut event)?;
        let mut state = self.0.shared.state.lock();
        if state.is_closed() {
            drop(state);
            return Err(TrackError::Closed(Box::new(event)));
        }
        if state.collects(entry.place) {
            self.0.shared.queue(&mut state, entry);
        }
        Ok(())
    }

    /// Counts events that the app gave up, so that the gateway hears of them
    /// (SDK-QUEUE-3).
    pub fn count_lost(&self, events: u64) {
        self.0.shared.state.lock().queue.lose(events);
    }

    /// Asks for all that is queued by now to be sent, at once where the gateway allows
    /// it (SDK-RETRY-4), and waits until each event has a final fate. Asks also where
    /// the future is dropped. `Err`: not all of it within `at_most`; it is still tried.
    pub fn flush(
        &self,
        at_most: Duration,
    ) -> impl Future<Output = Result<(), Unsent>> + Send + use<> {
        let told = self.0.shared.state.lock().flush(Instant::now() + at_most);
        self.0.shared.wake.notify_one();
        async move { told.await.unwrap_or(Ok(())) }
    }

    /// Takes no more events, sends what waits for `at_most`, and ends. `Err`: so many
    /// events were not sent, and are lost. Waits between retries are kept: with a
    /// gateway that is away this takes `at_most`.
    pub async fn close(self, at_most: Duration) -> Result<(), Unsent> {
        let told = {
            let mut state = self.0.shared.state.lock();
            let until = Instant::now() + at_most;
            state.closing = Some(state.closing.map_or(until, |known| known.min(until)));
            // Beyond the end: `end` answers it.
            state.flush(until + END_SLACK)
        };
        self.0.shared.wake.notify_one();
        told.await.unwrap_or(Ok(()))
    }

    /// Opts out, or in again. From an opt-out on nothing is collected and nothing sent;
    /// what waits is forgotten, and a request under way is broken off (SDK-PRIVACY-1,
    /// SDK-PRIVACY-2). For a process that reports on one person or device; on a server
    /// that serves many, a person's opt-out is the app's to keep, and so are the ids of
    /// devices: after an opt-in it is to be another one.
    pub fn opt_out(&self, out: bool) {
        let mut state = self.0.shared.state.lock();
        state.opted_out = out;
        if out {
            state.era += 1;
            state.queue.clear();
        }
        drop(state);
        self.0.shared.wake.notify_one();
        self.0.shared.room.notify_waiters();
    }

    /// What became of everything so far.
    pub fn stats(&self) -> Stats {
        let state = self.0.shared.state.lock();
        let (queue, counts) = (&state.queue, state.counts);
        Stats {
            waiting: queue.len(),
            waiting_bytes: queue.bytes(),
            accepted: counts.accepted,
            duplicates: counts.duplicates,
            rejected: counts.rejected,
            lost: queue.lost,
            requests: counts.requests,
            failures: counts.failures,
        }
    }

    /// Fixes what a retry must not change (SDK-ID-1, SDK-TIME-1), checks and encodes.
    fn prepare(&self, event: &mut Event) -> Result<Entry, TrackError> {
        let plan = &self.0.shared.plan;
        if event.id.is_empty() {
            event.id = uuid::Uuid::now_v7().to_string(); // SDK-ID-2
        }
        event.time_ms = Some(event.time_ms.unwrap_or_else(|| plan.target.clock.now_ms()));
        check::mend(event)?;
        let (body, bytes) = encode::event(event, plan.transport);
        if bytes > EVENT_BYTES_MAX {
            self.count_lost(1); // SDK-EVENT-5
            return Err(TrackError::TooLarge { bytes, bytes_max: EVENT_BYTES_MAX });
        }
        let device = Some(event.device_id.as_str()).filter(|device| !device.is_empty());
        Ok(Entry { body, at: Instant::now(), place: device.map(settings::place), number: 0 })
    }

    fn try_queue(&self, entry: &Entry) -> Queued {
        let mut state = self.0.shared.state.lock();
        if state.is_closed() {
            return Queued::Closed;
        }
        if !state.collects(entry.place) {
            return Queued::Yes; // SDK-QUEUE-4: never to be reported
        }
        if !state.queue.has_room(entry.body.len()) {
            return Queued::Full;
        }
        self.0.shared.queue(&mut state, entry.clone());
        Queued::Yes
    }
}

enum Queued {
    Yes,
    Full,
    Closed,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut all = f.debug_struct("Client");
        all.field("url", &self.0.shared.plan.target.url);
        all.field("stats", &self.stats()).finish_non_exhaustive()
    }
}

/// Tells when the thread ends, however it does.
struct Ending(Arc<Shared>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.end();
    }
}

// === impl Handle ===

impl Drop for Handle {
    fn drop(&mut self) {
        let wait = self.shared.plan.drop_wait;
        {
            let mut state = self.shared.state.lock();
            let until = Instant::now() + wait;
            state.closing = Some(state.closing.map_or(until, |known| known.min(until)));
        }
        self.shared.wake.notify_one();
        // The last handle dropped by `on_problem`: the thread cannot wait for itself.
        if std::thread::current().id() == self.thread {
            return;
        }
        let ended = self.ended.lock().recv_timeout(wait + END_SLACK);
        let left = self.shared.state.lock().queue.len();
        if let (Err(RecvTimeoutError::Timeout), _) | (_, Err(_)) = (ended, unsent(left)) {
            tracing::warn!(events = left, "events were not sent before the client was dropped");
        }
    }
}
