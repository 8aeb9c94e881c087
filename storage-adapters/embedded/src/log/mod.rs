//! The event log on plain files: partitioned, checked, made durable in groups.
//!
//! Constraints:
//! * an append is answered only after the fdatasync that covers it;
//! * readers see durable records only;
//! * after any failed write or sync the log is poisoned for good: the process
//!   must be started anew, and opening looks at what the disk really holds;
//! * one process at a time has the folder.
//!
//! Plain files rather than a key-value store: a log is written once, in order,
//! read in order and dropped by the prefix. Segments do exactly that, with one
//! copy of every byte and the sync in plain sight.
//!
//! `create` the folder · `frame`, `segment` the formats · `recover`
//! opening · `queue`, `writer` appending · `partition` reading ·
//! `commits` lanes · `retain` dropping · [`repair`] damage.

mod commits;
mod config;
mod create;
mod frame;
mod io;
mod partition;
mod queue;
mod recover;
mod repair;
mod retain;
mod segment;
mod shared;
mod sync;
mod writer;

#[cfg(test)]
mod tests;

use std::fs;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use parking_lot::Mutex;
use sluice_seams::{AppendError, BoxFuture, EventLog, LogRecord, LogStatus, StoreError};
use tokio::sync::oneshot;

pub use self::config::{
    LogConfig, NowMs, OpenError, PARTITIONS_MAX, RECORD_BYTES_MAX, SEGMENT_BYTES_RANGE,
};
pub use self::io::{DiskIo, DiskSpace, RealDisk};
pub use self::repair::{RepairReport, Stretch, repair};
pub use self::retain::Retained;

use self::commits::{Commits, Noted};
use self::create::Lock;
use self::partition::ReadError;
use self::queue::{Pending, Queue};
use self::shared::{Counters, Shared};

/// When to try again after a failed read: a disk that cannot be read now.
const RETRY_READ: Duration = Duration::from_secs(1);
/// When to try again after a record that no log takes; it will be refused again.
const RETRY_NEVER: Duration = Duration::from_secs(60);

/// The event log of one machine. Clones are the same log; when the last one is
/// dropped, what was handed over is still made durable.
#[derive(Debug, Clone)]
pub struct EmbeddedLog {
    shared: Arc<Shared>,
    threads: Arc<Threads>,
}

/// Counters since the log was opened, for metrics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LogFigures {
    /// Records made durable.
    pub records: u64,
    /// Bytes written, frames included.
    pub bytes: u64,
    /// Groups made durable.
    pub groups: u64,
    /// Calls of fdatasync for records.
    pub syncs: u64,
    /// Time spent in them, nanoseconds.
    pub sync_ns: u64,
    /// Bytes handed over and not yet durable.
    pub queue_bytes: u64,
    /// Segments dropped by retention.
    pub dropped_segments: u64,
}

/// The threads of a log, ended and awaited by [`Threads::stop`] or on drop.
#[derive(Debug)]
struct Threads {
    shared: Arc<Shared>,
    writer: Mutex<Option<JoinHandle<()>>>,
    noter: Mutex<Option<JoinHandle<()>>>,
    /// Given back last.
    _lock: Lock,
}

// === impl EmbeddedLog ===

impl EmbeddedLog {
    /// Opens the log in `config.dir`, making it where there is none. Cuts a torn
    /// tail. Blocks while it reads the newest segment of every partition.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(config: LogConfig) -> Result<Self, OpenError> {
        config.check()?;
        fs::create_dir_all(&config.dir).map_err(OpenError::io("create", &config.dir))?;
        let lock = create::lock(&config.dir)?;
        create::make_or_check(&config)?;
        let space = config.disk.space(&config.dir);
        let space = space.map_err(OpenError::io("examine the disk below", &config.dir))?;
        let commits = Commits::open(&config)?;
        let mut partitions = Vec::new();
        let mut actives = Vec::new();
        for number in 0..config.partitions {
            let taken = commits.highest(number);
            let (partition, active) = recover::open_partition(&config, number, taken)?;
            partitions.push(partition);
            actives.push(active);
        }
        let shared = Arc::new(Shared {
            disk_reserve_bytes: config.disk_reserve(space),
            queue: Queue::new(config.queue_bytes_max),
            partitions: partitions.into(),
            commits,
            figures: Counters::default(),
            poisoned: OnceLock::new(),
            config,
        });
        let threads = Threads {
            shared: shared.clone(),
            writer: Mutex::default(),
            noter: Mutex::default(),
            _lock: lock,
        };
        threads.start(actives)?;
        Ok(Self { shared, threads: Arc::new(threads) })
    }

    /// Drops what retention allows. Blocks for some file operations; to be called
    /// every minute or so.
    ///
    /// # Errors
    /// [`StoreError::Poisoned`] when the disk refused.
    pub fn housekeep(&self) -> Result<Retained, StoreError> {
        retain::retain(&self.shared)
    }

    /// Forgets a lane that no process runs any more; retention waits for it no
    /// longer.
    ///
    /// # Errors
    /// [`StoreError`] when the log is closed or out of order.
    pub async fn forget_lane(&self, lane: &str) -> Result<(), StoreError> {
        let noted = self.shared.commits.forget(lane)?;
        durable(noted).await
    }

    /// Counters for metrics.
    pub fn figures(&self) -> LogFigures {
        let counters = &self.shared.figures;
        LogFigures {
            records: counters.records.load(Ordering::Relaxed),
            bytes: counters.bytes.load(Ordering::Relaxed),
            groups: counters.groups.load(Ordering::Relaxed),
            syncs: counters.syncs.load(Ordering::Relaxed),
            sync_ns: counters.sync_ns.load(Ordering::Relaxed),
            queue_bytes: self.shared.queue.bytes() as u64,
            dropped_segments: counters.dropped_segments.load(Ordering::Relaxed),
        }
    }

    /// Why it takes nothing more until it is opened anew; `None` where it does.
    pub fn poisoned(&self) -> Option<String> {
        self.shared.poisoned.get().cloned()
    }

    /// Room on the disk below which appends are refused, bytes.
    pub fn disk_reserve_bytes(&self) -> u64 {
        self.shared.disk_reserve_bytes
    }

    fn hand_over(
        &self,
        partition: u32,
        payload: Bytes,
    ) -> Result<oneshot::Receiver<Result<u64, AppendError>>, AppendError> {
        let refuse = |detail| Err(AppendError::NotWritten { after: RETRY_NEVER, detail });
        if partition >= self.partitions() {
            return refuse(format!("there is no partition {partition} of {}", self.partitions()));
        }
        if payload.len() > RECORD_BYTES_MAX {
            return refuse(format!(
                "the record has {} bytes; at most {RECORD_BYTES_MAX} are taken",
                payload.len()
            ));
        }
        let (reply, fate) = oneshot::channel();
        let payload_crc = crc32fast::hash(&payload);
        self.shared.queue.push(Pending { partition, payload, payload_crc, reply })?;
        Ok(fate)
    }

    fn check_partition(&self, partition: u32) -> Result<(), StoreError> {
        if partition < self.partitions() {
            return Ok(());
        }
        Err(StoreError::Refused(format!(
            "there is no partition {partition} of {}",
            self.partitions()
        )))
    }

    fn note(
        &self,
        lane: &str,
        partition: u32,
        next: u64,
        rewind: bool,
    ) -> BoxFuture<'_, Result<(), StoreError>> {
        let noted = self.check_partition(partition).and_then(|()| {
            let (_, end) = self.bounds(partition);
            if next > end {
                return Err(StoreError::Refused(format!(
                    "lane {lane} cannot stand at {next}: partition {partition} ends at {end}"
                )));
            }
            self.shared.commits.set(lane, partition, next, rewind)
        });
        async move {
            match noted? {
                Some(noted) => durable(noted).await,
                None => Ok(()),
            }
        }
        .boxed()
    }

    /// Runs a read of the disk where it may block.
    async fn blocking<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Shared) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let shared = self.shared.clone();
        let outcome = tokio::task::spawn_blocking(move || read(&shared)).await;
        let outcome = outcome.map_err(|error| {
            StoreError::Poisoned(format!("event log: a read ended unexpectedly: {error}"))
        })?;
        outcome.map_err(|error| match error {
            ReadError::Io(path, error) => {
                StoreError::retry(RETRY_READ, format!("cannot read {}: {error}", path.display()))
            }
            ReadError::Damage(damage) => {
                StoreError::Poisoned(self.shared.config.damaged(damage).to_string())
            }
        })
    }
}

/// Waits until commits are durable.
async fn durable(noted: Noted) -> Result<(), StoreError> {
    let gone = || StoreError::Poisoned("event log: nobody writes its commits any more".into());
    noted.await.unwrap_or_else(|_| Err(gone()))
}

impl EventLog for EmbeddedLog {
    fn partitions(&self) -> u32 {
        self.shared.config.partitions
    }

    fn append(
        &self,
        partition: u32,
        payload: Bytes,
    ) -> BoxFuture<'static, Result<u64, AppendError>> {
        match self.hand_over(partition, payload) {
            Err(error) => futures::future::ready(Err(error)).boxed(),
            Ok(fate) => fate
                .map(|fate| {
                    let gone = || AppendError::Unknown("the writer ended unexpectedly".into());
                    fate.unwrap_or_else(|_| Err(gone()))
                })
                .boxed(),
        }
    }

    fn read(
        &self,
        partition: u32,
        from: u64,
        bytes_max: usize,
    ) -> BoxFuture<'_, Result<Vec<LogRecord>, StoreError>> {
        async move {
            self.check_partition(partition)?;
            if from >= self.bounds(partition).1 {
                return Ok(Vec::new());
            }
            let partition = partition as usize;
            self.blocking(move |shared| shared.partitions[partition].read(from, bytes_max)).await
        }
        .boxed()
    }

    fn wait(&self, partition: u32, offset: u64) -> BoxFuture<'_, ()> {
        async move {
            let Some(partition) = self.shared.partitions.get(partition as usize) else {
                return futures::future::pending().await;
            };
            // The sender lives as long as the log that is borrowed here.
            if partition.ends().wait_for(|&end| end > offset).await.is_err() {
                futures::future::pending().await
            }
        }
        .boxed()
    }

    fn bounds(&self, partition: u32) -> (u64, u64) {
        self.shared.partitions.get(partition as usize).map_or((0, 0), |p| p.bounds())
    }

    fn offset_at(&self, partition: u32, time_ms: i64) -> BoxFuture<'_, Result<u64, StoreError>> {
        async move {
            self.check_partition(partition)?;
            let partition = partition as usize;
            self.blocking(move |shared| shared.partitions[partition].offset_at(time_ms)).await
        }
        .boxed()
    }

    fn declare_lane(&self, lane: &str) -> Result<(), StoreError> {
        self.shared.commits.declare(lane)
    }

    fn committed(&self, lane: &str, partition: u32) -> Result<Option<u64>, StoreError> {
        self.check_partition(partition)?;
        Ok(self.shared.commits.get(lane, partition))
    }

    fn commit(
        &self,
        lane: &str,
        partition: u32,
        next: u64,
    ) -> BoxFuture<'_, Result<(), StoreError>> {
        self.note(lane, partition, next, false)
    }

    fn rewind(&self, lane: &str, partition: u32, to: u64) -> BoxFuture<'_, Result<(), StoreError>> {
        self.note(lane, partition, to, true)
    }

    fn status(&self) -> LogStatus {
        let shared = &self.shared;
        let last_ms = shared.figures.last_append_ms.load(Ordering::Relaxed);
        let age_ms = (shared.config.now_ms)().saturating_sub(last_ms);
        LogStatus {
            refusing: self.refusing(),
            disk_bytes: Some(shared.partitions.iter().map(|p| p.disk_bytes()).sum()),
            disk_free_bytes: (shared.config.disk.space(&shared.config.dir).ok())
                .map(|space| space.free_bytes),
            last_append_age_ms: (last_ms != i64::MIN).then(|| u64::try_from(age_ms).unwrap_or(0)),
        }
    }

    fn refusing(&self) -> Option<String> {
        let shared = &self.shared;
        let closed = || shared.queue.is_closed().then(|| "the event log is closed".to_owned());
        let poisoned = shared.poisoned.get().cloned();
        poisoned.or_else(closed).or_else(|| shared.disk_refusal(0))
    }

    fn close(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        // Nothing is taken from this call on, awaited or not.
        self.shared.queue.close();
        let threads = self.threads.clone();
        async move {
            let stopped = tokio::task::spawn_blocking(move || threads.stop()).await;
            let poisoned = self.shared.poisoned.get().cloned();
            match poisoned.or_else(|| stopped.err().map(|error| error.to_string())) {
                Some(detail) => Err(StoreError::Poisoned(detail)),
                None => Ok(()),
            }
        }
        .boxed()
    }
}

// === impl Threads ===

impl Threads {
    fn start(&self, actives: Vec<writer::Active>) -> Result<(), OpenError> {
        let failed = || OpenError::io("start a thread for", &self.shared.config.dir);
        let shared = self.shared.clone();
        let writer = thread::Builder::new().name("log-writer".into());
        let writer = writer.spawn(move || writer::run(&shared, actives)).map_err(failed())?;
        *self.writer.lock() = Some(writer);
        let shared = self.shared.clone();
        let noter = thread::Builder::new().name("log-commits".into()).spawn(move || {
            let config = &shared.config;
            shared.commits.run(&*config.disk, &config.dir, |detail| shared.poison(detail));
        });
        *self.noter.lock() = Some(noter.map_err(failed())?);
        Ok(())
    }

    /// Writes what was handed over and ends both threads. Blocks.
    fn stop(&self) {
        self.shared.queue.close();
        self.shared.commits.close();
        for thread in [&self.writer, &self.noter] {
            // Held while joining, so that a second caller waits as well.
            let mut thread = thread.lock();
            if thread.take().is_some_and(|thread| thread.join().is_err()) {
                self.shared.poison("event log: one of its threads ended unexpectedly");
            }
        }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.stop();
    }
}
