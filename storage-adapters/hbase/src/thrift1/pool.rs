//! Calls over several Thrift servers: bounded in number, retried, on the blocking
//! threads.
//!
//! Every call that goes through here may happen twice, also long after it was
//! given up: whoever makes one sees to it that this changes nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use sluice_seams::StoreError;
use tokio::sync::Semaphore;

use super::Call;
use super::connection::{Connection, Fault, Timeouts};
use super::server::Server;
use crate::config::HbaseConfig;
use crate::figures::{CallCounts, ServerFigures};

/// How often the health of the servers is looked at.
const WATCH_EVERY: Duration = Duration::from_millis(100);

/// Wait before the first retry of what HBase cannot now; doubles.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// What callers are told to wait.
pub(crate) const RETRY_AFTER: Duration = Duration::from_millis(500);

/// Calls that fail this long without one success make the store unready…
const FAILING_MS: i64 = 10_000;
/// …until nobody has tried for as long as this.
const FAILURE_OLD_MS: i64 = 60_000;

pub(crate) struct Pool {
    servers: Vec<Arc<Server>>,
    permits: Arc<Semaphore>,
    connections_max: usize,
    wait_max: Duration,
    retries: u32,
    next: AtomicUsize,
    pub(crate) counts: CallCounts,
    /// When the first failure since the last success was; `i64::MAX`: none.
    failing_since_ms: AtomicI64,
    last_failed_ms: AtomicI64,
    last_failure: Mutex<String>,
    now_ms: Arc<dyn Fn() -> i64 + Send + Sync>,
}

// === impl Pool ===

impl Pool {
    /// A pool without connections yet, and the task that watches its servers.
    /// Call it inside a runtime.
    pub(crate) fn start(
        config: &HbaseConfig,
        now_ms: Arc<dyn Fn() -> i64 + Send + Sync>,
    ) -> Arc<Self> {
        let timeouts = Timeouts {
            connect: Duration::from_millis(config.connect_timeout_ms),
            read: Duration::from_millis(config.read_timeout_ms),
            write: Duration::from_millis(config.write_timeout_ms),
        };
        let servers = config.servers.iter();
        let servers = servers.map(|address| Arc::new(Server::new(address.clone(), timeouts)));
        let pool = Arc::new(Self {
            servers: servers.collect(),
            permits: Arc::new(Semaphore::new(config.connections_max)),
            connections_max: config.connections_max,
            wait_max: timeouts.read + timeouts.write,
            retries: config.retries,
            next: AtomicUsize::new(0),
            counts: CallCounts::default(),
            failing_since_ms: AtomicI64::new(i64::MAX),
            last_failed_ms: AtomicI64::new(i64::MIN),
            last_failure: Mutex::default(),
            now_ms,
        });
        tokio::spawn(watch(Arc::downgrade(&pool)));
        pool
    }

    /// Runs `act` on a connection; again, on another, where it fails in passing.
    /// A caller that goes away stops nothing.
    pub(crate) async fn call<T: Send + 'static>(
        self: &Arc<Self>,
        call: Call,
        act: impl FnMut(&mut Connection) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        let permit = Arc::clone(&self.permits).acquire_owned();
        let permit = match tokio::time::timeout(self.wait_max, permit).await {
            Ok(Ok(permit)) => permit,
            Ok(Err(_)) => return Err(Fault::Passing("the row store is closed".into())),
            Err(_) => {
                self.counts.queued_out();
                return Err(Fault::Passing("every connection is in use".into()));
            }
        };
        let pool = Arc::clone(self);
        let ran = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            pool.run(call, act)
        });
        ran.await.unwrap_or_else(|error| Err(Fault::Passing(error.to_string())))
    }

    fn run<T>(
        &self,
        call: Call,
        mut act: impl FnMut(&mut Connection) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let (mut tries, mut pause) = (0, PAUSE_MIN);
        loop {
            let began = Instant::now();
            let (result, free) = self.run_once(&mut act);
            self.counts.ended(call, &result, began.elapsed());
            self.judge(&result);
            let fault = match result {
                Err(fault @ (Fault::Passing(_) | Fault::Lost(_) | Fault::TimedOut(_))) => fault,
                settled => return settled,
            };
            // An old connection that the server had closed costs no try.
            if !free {
                if tries >= self.retries || !self.servers.iter().any(|server| server.is_alive()) {
                    return Err(fault);
                }
                tries += 1;
            }
            self.counts.retried();
            if matches!(fault, Fault::Passing(_)) {
                std::thread::sleep(pause.mul_f64(0.5 + 0.5 * fraction(began)));
                pause = (pause * 2).min(PAUSE_MAX);
            }
        }
    }

    /// One try, and whether it failed only for a connection that had gone stale.
    fn run_once<T>(
        &self,
        act: &mut impl FnMut(&mut Connection) -> Result<T, Fault>,
    ) -> (Result<T, Fault>, bool) {
        let (server, mut connection) = match self.connection() {
            Ok(found) => found,
            Err(fault) => return (Err(fault), false),
        };
        server.counts.begin();
        let result = act(&mut connection);
        server.counts.end();
        let stale = connection.reused && matches!(result, Err(Fault::Lost(_)));
        server.give_back(connection);
        match &result {
            Err(Fault::Lost(_)) if stale => server.drop_idle(),
            Err(fault @ (Fault::Lost(_) | Fault::TimedOut(_))) => server.failed(fault),
            _ => server.answered(),
        }
        (result, stale)
    }

    /// A connection to the next server that lives.
    fn connection(&self) -> Result<(&Server, Connection), Fault> {
        let count = self.servers.len();
        let start = self.next.fetch_add(1, Ordering::Relaxed);
        for at in 0..count {
            let server = &self.servers[(start + at) % count];
            if !server.is_alive() {
                continue;
            }
            match server.connection() {
                Ok(connection) => return Ok((server, connection)),
                Err(fault) => server.failed(&fault),
            }
        }
        Err(Fault::Lost(self.all_dead()))
    }

    fn all_dead(&self) -> String {
        let last = self.servers.first().map(|server| server.last_failure()).unwrap_or_default();
        format!("none of {} Thrift servers answers ({last})", self.servers.len())
    }

    fn judge<T>(&self, result: &Result<T, Fault>) {
        match result {
            Err(fault @ (Fault::Passing(_) | Fault::Lost(_) | Fault::TimedOut(_))) => {
                let now_ms = (self.now_ms)();
                let (since, set) = (&self.failing_since_ms, Ordering::Relaxed);
                let _ = since.compare_exchange(i64::MAX, now_ms, set, set);
                self.last_failed_ms.store(now_ms, set);
                fault.detail().clone_into(&mut self.last_failure.lock());
            }
            _ => self.failing_since_ms.store(i64::MAX, Ordering::Relaxed),
        }
    }

    /// Why no writes can be taken; `None` when they can.
    pub(crate) fn refusing(&self) -> Option<String> {
        if !self.servers.iter().any(|server| server.is_alive()) {
            return Some(self.all_dead());
        }
        let now_ms = (self.now_ms)();
        let ago = |at: &AtomicI64| now_ms.saturating_sub(at.load(Ordering::Relaxed));
        let failing_ms = ago(&self.failing_since_ms);
        let failing = failing_ms > FAILING_MS && ago(&self.last_failed_ms) < FAILURE_OLD_MS;
        failing
            .then(|| format!("HBase has failed for {failing_ms} ms: {}", self.last_failure.lock()))
    }

    /// Waits for the calls that run, then takes no more.
    pub(crate) async fn close(&self) {
        let all = u32::try_from(self.connections_max).unwrap_or(u32::MAX);
        let _ = tokio::time::timeout(self.wait_max, self.permits.acquire_many(all)).await;
        self.permits.close();
        self.servers.iter().for_each(|server| server.drop_idle());
    }

    pub(crate) fn server_figures(&self) -> Vec<ServerFigures> {
        let figures = |server: &Arc<Server>| {
            server.counts.figures(&server.address, server.is_alive(), server.idle() as u64)
        };
        self.servers.iter().map(figures).collect()
    }
}

/// Something between 0 and 1, so that retries of many do not come together.
fn fraction(began: Instant) -> f64 {
    f64::from(began.elapsed().subsec_nanos() % 1_000) / 1_000.0
}

/// Probes the servers that rest and ends idle connections, as long as the pool lives.
async fn watch(pool: std::sync::Weak<Pool>) {
    loop {
        tokio::time::sleep(WATCH_EVERY).await;
        let Some(pool) = pool.upgrade() else { return };
        if pool.permits.is_closed() {
            return;
        }
        let mut probes = Vec::new();
        for server in &pool.servers {
            server.sweep();
            if server.wants_probe() {
                let server = Arc::clone(server);
                probes.push(tokio::task::spawn_blocking(move || server.probe()));
            }
        }
        drop(pool);
        for probe in probes {
            if let Err(error) = probe.await {
                tracing::warn!("a probe of a Thrift server failed: {error}");
            }
        }
    }
}

impl From<Fault> for StoreError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Item(detail) => Self::Refused(format!("HBase refuses: {detail}")),
            fault => Self::retry(RETRY_AFTER, format!("HBase: {}", fault.detail())),
        }
    }
}
