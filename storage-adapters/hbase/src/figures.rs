//! What the adapter has done, in plain numbers.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::thrift1::Call;
use crate::thrift1::connection::Fault;

/// Upper bounds of the buckets of [`CallFigures::buckets`], seconds; the last
/// bucket has none.
pub const CALL_SECONDS_BOUNDS: [f64; 10] =
    [0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0];

/// Figures of the adapter since its start.
#[derive(Debug, Clone, Default)]
pub struct HbaseFigures {
    /// Calls by kind.
    pub calls: Vec<CallFigures>,
    /// Each Thrift server, in the order of the config.
    pub servers: Vec<ServerFigures>,
    /// Calls tried again.
    pub retries: u64,
    /// Calls that found no free connection in time.
    pub queue_timeouts: u64,
    /// Rows of timelines handed to HBase and taken.
    pub timeline_rows: u64,
    /// Cells of users handed to HBase and taken.
    pub user_cells: u64,
    /// Changes of users that were there already and cost no write.
    pub user_changes_known: u64,
    /// Users read before a write, because nothing was known of them.
    pub users_read: u64,
    /// Bytes of what is known of users.
    pub cache_bytes: u64,
}

/// Calls of one kind.
#[derive(Debug, Clone, Default)]
pub struct CallFigures {
    /// `write`, `read`, `scan` or `tables`.
    pub call: &'static str,
    /// Ended well.
    pub ok: u64,
    /// HBase said "not now" (a region moves, a region server is away).
    pub failed: u64,
    /// HBase said "never".
    pub refused: u64,
    /// The connection was lost.
    pub lost: u64,
    /// No reply in time.
    pub timed_out: u64,
    /// Time of all calls, seconds.
    pub seconds: f64,
    /// Calls by time, see [`CALL_SECONDS_BOUNDS`]; not cumulative.
    pub buckets: [u64; CALL_SECONDS_BOUNDS.len() + 1],
}

/// One Thrift server.
#[derive(Debug, Clone, Default)]
pub struct ServerFigures {
    /// `host:port`.
    pub address: String,
    /// Whether it takes calls.
    pub alive: bool,
    /// Connections at rest.
    pub idle: u64,
    /// Connections in a call.
    pub in_use: u64,
    /// Connections made.
    pub connects: u64,
    /// Connections that could not be made.
    pub connect_failures: u64,
    /// Connections thrown away after a failure.
    pub dropped: u64,
    /// Times it was found dead.
    pub deaths: u64,
    /// Times it came back.
    pub revivals: u64,
}

#[derive(Default)]
struct CallCount {
    /// ok, failed, refused, lost, timed out.
    ends: [AtomicU64; 5],
    micros: AtomicU64,
    buckets: [AtomicU64; CALL_SECONDS_BOUNDS.len() + 1],
}

/// Counters of calls.
#[derive(Default)]
pub(crate) struct CallCounts {
    calls: [CallCount; Call::ALL.len()],
    retries: AtomicU64,
    queue_timeouts: AtomicU64,
}

/// Counters of a server.
#[derive(Default)]
pub(crate) struct ServerCounts {
    in_use: AtomicU64,
    connects: AtomicU64,
    connect_failures: AtomicU64,
    dropped: AtomicU64,
    deaths: AtomicU64,
    revivals: AtomicU64,
}

// === impl CallCounts ===

impl CallCounts {
    pub(crate) fn ended<T>(&self, call: Call, result: &Result<T, Fault>, took: Duration) {
        let count = &self.calls[call as usize];
        let end = match result {
            Ok(_) | Err(Fault::Exists) => 0,
            Err(Fault::Passing(_)) => 1,
            Err(Fault::Item(_)) => 2,
            Err(Fault::Lost(_)) => 3,
            Err(Fault::TimedOut(_)) => 4,
        };
        count.ends[end].fetch_add(1, Relaxed);
        count.micros.fetch_add(took.as_micros() as u64, Relaxed);
        let seconds = took.as_secs_f64();
        let bucket = CALL_SECONDS_BOUNDS.partition_point(|bound| *bound < seconds);
        count.buckets[bucket].fetch_add(1, Relaxed);
    }

    pub(crate) fn retried(&self) {
        self.retries.fetch_add(1, Relaxed);
    }

    pub(crate) fn queued_out(&self) {
        self.queue_timeouts.fetch_add(1, Relaxed);
    }

    /// Figures of the calls; the rest is the caller's.
    pub(crate) fn figures(&self) -> HbaseFigures {
        let calls = Call::ALL.into_iter().zip(&self.calls).map(|(call, count)| {
            let [ok, failed, refused, lost, timed_out] =
                std::array::from_fn(|end| count.ends[end].load(Relaxed));
            CallFigures {
                call: call.name(),
                ok,
                failed,
                refused,
                lost,
                timed_out,
                seconds: count.micros.load(Relaxed) as f64 / 1e6,
                buckets: std::array::from_fn(|at| count.buckets[at].load(Relaxed)),
            }
        });
        HbaseFigures {
            calls: calls.collect(),
            retries: self.retries.load(Relaxed),
            queue_timeouts: self.queue_timeouts.load(Relaxed),
            ..HbaseFigures::default()
        }
    }
}

// === impl ServerCounts ===

impl ServerCounts {
    pub(crate) fn begin(&self) {
        self.in_use.fetch_add(1, Relaxed);
    }

    pub(crate) fn end(&self) {
        self.in_use.fetch_sub(1, Relaxed);
    }

    pub(crate) fn connected(&self, well: bool) {
        let count = if well { &self.connects } else { &self.connect_failures };
        count.fetch_add(1, Relaxed);
    }

    pub(crate) fn dropped(&self) {
        self.dropped.fetch_add(1, Relaxed);
    }

    pub(crate) fn died(&self) {
        self.deaths.fetch_add(1, Relaxed);
    }

    pub(crate) fn revived(&self) {
        self.revivals.fetch_add(1, Relaxed);
    }

    pub(crate) fn figures(&self, address: &str, alive: bool, idle: u64) -> ServerFigures {
        ServerFigures {
            address: address.to_owned(),
            alive,
            idle,
            in_use: self.in_use.load(Relaxed),
            connects: self.connects.load(Relaxed),
            connect_failures: self.connect_failures.load(Relaxed),
            dropped: self.dropped.load(Relaxed),
            deaths: self.deaths.load(Relaxed),
            revivals: self.revivals.load(Relaxed),
        }
    }
}

/// Counters of rows.
#[derive(Default)]
pub(crate) struct RowCounts {
    timeline_rows: AtomicU64,
    user_cells: AtomicU64,
    user_changes_known: AtomicU64,
    users_read: AtomicU64,
}

// === impl RowCounts ===

impl RowCounts {
    pub(crate) fn timeline_rows(&self, rows: u64) {
        self.timeline_rows.fetch_add(rows, Relaxed);
    }

    pub(crate) fn users(&self, read: u64, cells: u64, known: u64) {
        self.users_read.fetch_add(read, Relaxed);
        self.user_cells.fetch_add(cells, Relaxed);
        self.user_changes_known.fetch_add(known, Relaxed);
    }

    pub(crate) fn figures(&self, figures: HbaseFigures) -> HbaseFigures {
        HbaseFigures {
            timeline_rows: self.timeline_rows.load(Relaxed),
            user_cells: self.user_cells.load(Relaxed),
            user_changes_known: self.user_changes_known.load(Relaxed),
            users_read: self.users_read.load(Relaxed),
            ..figures
        }
    }
}
