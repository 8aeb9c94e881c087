//! One Thrift server: its idle connections, and whether it answers.

use std::time::{Duration, Instant};

use hbase_thrift::hbase::THbaseSyncClient;
use parking_lot::Mutex;

use super::connection::{Connection, Fault, Timeouts};
use crate::figures::ServerCounts;

/// The server closes a connection after 60 s without a call; ours go first.
pub(crate) const IDLE_MAX: Duration = Duration::from_secs(40);

const REST_MIN: Duration = Duration::from_millis(200);
const REST_MAX: Duration = Duration::from_secs(3);

/// A probe waits no longer than this for its reply.
const PROBE_MAX: Duration = Duration::from_secs(2);

pub(crate) struct Server {
    pub(crate) address: String,
    timeouts: Timeouts,
    idle: Mutex<Vec<Connection>>,
    health: Mutex<Health>,
    pub(crate) counts: ServerCounts,
}

#[derive(Default)]
struct Health {
    /// Takes no calls; asked again from then on.
    dead_until: Option<Instant>,
    failures: u32,
    last: String,
}

// === impl Server ===

impl Server {
    pub(crate) fn new(address: String, timeouts: Timeouts) -> Self {
        Self {
            address,
            timeouts,
            idle: Mutex::default(),
            health: Mutex::default(),
            counts: ServerCounts::default(),
        }
    }

    pub(crate) fn is_alive(&self) -> bool {
        self.health.lock().dead_until.is_none()
    }

    /// Whether it is dead and has rested long enough to be asked.
    pub(crate) fn wants_probe(&self) -> bool {
        self.health.lock().dead_until.is_some_and(|until| until <= Instant::now())
    }

    /// Why it is dead.
    pub(crate) fn last_failure(&self) -> String {
        self.health.lock().last.clone()
    }

    /// A connection, an idle one where there is one. Blocks.
    pub(crate) fn connection(&self) -> Result<Connection, Fault> {
        let idle = {
            let mut idle = self.idle.lock();
            idle.retain(|connection| connection.idle_since.elapsed() < IDLE_MAX);
            idle.pop()
        };
        match idle {
            Some(connection) => Ok(connection),
            None => self.connect(self.timeouts),
        }
    }

    fn connect(&self, timeouts: Timeouts) -> Result<Connection, Fault> {
        let connected = Connection::open(&self.address, timeouts);
        self.counts.connected(connected.is_ok());
        connected
    }

    /// Takes a connection back; ends it where it has failed.
    pub(crate) fn give_back(&self, mut connection: Connection) {
        if !connection.is_good() {
            self.counts.dropped();
            return;
        }
        connection.idle_since = Instant::now();
        connection.reused = true;
        self.idle.lock().push(connection);
    }

    /// Ends every idle connection: one that was closed behind us says that the
    /// server went away, and so did the others.
    pub(crate) fn drop_idle(&self) {
        let gone = std::mem::take(&mut *self.idle.lock());
        drop(gone);
    }

    /// Ends the connections that have been idle for too long.
    pub(crate) fn sweep(&self) {
        let mut idle = self.idle.lock();
        let (stay, gone) = std::mem::take(&mut *idle)
            .into_iter()
            .partition(|connection| connection.idle_since.elapsed() < IDLE_MAX);
        *idle = stay;
        drop(idle);
        drop::<Vec<_>>(gone);
    }

    pub(crate) fn idle(&self) -> usize {
        self.idle.lock().len()
    }

    pub(crate) fn answered(&self) {
        let mut health = self.health.lock();
        if health.dead_until.take().is_some() {
            self.counts.revived();
            tracing::info!(server = self.address, "the Thrift server answers again");
        }
        health.failures = 0;
    }

    /// Lets the server rest: longer with every failure in a row.
    pub(crate) fn failed(&self, fault: &Fault) {
        self.drop_idle();
        let mut health = self.health.lock();
        health.failures = health.failures.saturating_add(1);
        health.last = format!("{}: {}", self.address, fault.detail());
        let rest = REST_MIN.saturating_mul(1 << health.failures.min(8).saturating_sub(1));
        if health.dead_until.is_none() {
            self.counts.died();
            tracing::warn!(server = self.address, "the Thrift server rests: {}", fault.detail());
        }
        health.dead_until = Some(Instant::now() + rest.min(REST_MAX));
    }

    /// Asks the server whether it is there, and believes the answer. Blocks.
    pub(crate) fn probe(&self) {
        let timeouts = Timeouts {
            connect: self.timeouts.connect.min(PROBE_MAX),
            read: self.timeouts.read.min(PROBE_MAX),
            write: self.timeouts.write.min(PROBE_MAX),
        };
        let asked = self.connect(timeouts).and_then(|mut connection| {
            connection.ask(|client| client.get_thrift_server_type()).map(drop)
        });
        match asked {
            Ok(()) => self.answered(),
            Err(fault) => self.failed(&fault),
        }
    }
}
