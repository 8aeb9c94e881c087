//! What the axes share: where to put files, how large rounds are, how gateways
//! are started.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::cores::Cores;
use crate::children::{self, LogKind};
use crate::crowd::now_ms;
use crate::drive::Plan;
use crate::drive::kind::Kind;
use crate::gateway::Gateway;
use crate::measure::on_cores;
use crate::services::Engine;

/// What the embedded log of a gateway may keep, bytes: rounds need not fill disks.
const RETENTION_BYTES: u64 = 256 << 20;

/// What the axes share.
pub struct Context {
    /// Small rounds and few values.
    pub quick: bool,
    /// Rounds of a figure, after one that warms up.
    pub rounds: usize,
    /// Who runs where.
    pub cores: Cores,
    /// The brokers, where they are wanted, or why there are none.
    kafka: Option<Result<Engine, String>>,
    dir: tempfile::TempDir,
}

/// A log for a collector, with its number of partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogOf {
    /// Acknowledges at once and keeps nothing.
    Null(u32),
    /// On this machine's disk.
    Embedded(u32),
    /// In Kafka, lz4, at this address.
    Kafka(u32, String),
}

/// Folders of one gateway; removed when dropped.
pub struct Folder(PathBuf);

/// A gateway, and its folder.
pub struct Placed {
    /// The process; it ends before its folder goes.
    pub gateway: Gateway,
    _folder: Folder,
}

// === impl Folder ===

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed goes with the folder of the run.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl AsRef<Path> for Folder {
    fn as_ref(&self) -> &Path {
        &self.0
    }
}

// === impl LogOf ===

impl LogOf {
    /// For the table.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Null(_) => "null log",
            Self::Embedded(_) => "embedded log",
            Self::Kafka(..) => "Kafka",
        }
    }

    fn partitions(&self) -> u32 {
        match self {
            Self::Null(partitions) | Self::Embedded(partitions) | Self::Kafka(partitions, _) => {
                *partitions
            }
        }
    }

    fn kind(&self) -> LogKind {
        if matches!(self, Self::Null(_)) { LogKind::Null } else { LogKind::Real }
    }

    /// Its sections of the config.
    fn config(&self) -> String {
        match self {
            Self::Null(_) => String::new(),
            Self::Embedded(partitions) => format!(
                "[log]\npartitions = {partitions}\nretention_bytes = {RETENTION_BYTES}\n\
                 disk_reserve_bytes = 0\n"
            ),
            Self::Kafka(partitions, brokers) => {
                let topic = format!("scale-{}-{partitions}.events", now_ms());
                format!(
                    "[log]\nengine = \"kafka\"\n[kafka]\nbrokers = \"{brokers}\"\n\
                     topic = \"{topic}\"\ndead_letter_topic = \"{topic}.dead\"\n\
                     partitions = {partitions}\ncompression = \"lz4\"\n"
                )
            }
        }
    }
}

// === impl Context ===

impl Context {
    /// Starts brokers where they are wanted; blocks for that.
    ///
    /// # Errors
    /// Where there is no place for files.
    pub fn new(quick: bool, rounds: usize, cores: Cores, kafka: bool) -> Result<Self, String> {
        let dir = tempfile::tempdir().map_err(|error| error.to_string())?;
        let up = || Engine::up("kafka", &[]);
        let kafka = kafka.then(|| tokio::task::block_in_place(up));
        Ok(Self { quick, rounds, cores, kafka, dir })
    }

    /// One of two sizes.
    pub fn size<T>(&self, whole: T, quick: T) -> T {
        if self.quick { quick } else { whole }
    }

    /// The first two of some values, where rounds are small.
    pub fn values<T: Clone>(&self, values: &[T]) -> Vec<T> {
        let many = self.size(values.len(), 2).min(values.len());
        values[..many].to_vec()
    }

    /// JSON as fast as answers come, usual batches; how long is not said.
    pub fn plan(&self) -> Plan {
        let usual = Plan::saturating(Kind::Json, u64::MAX);
        Plan { batch: self.size(usual.batch, 10), ..usual }
    }

    /// `host:port` of the brokers, where they are wanted.
    ///
    /// # Errors
    /// Why they did not start.
    pub fn brokers(&self) -> Result<Option<&str>, String> {
        match &self.kafka {
            None => Ok(None),
            Some(Ok(engine)) => Ok(Some(&engine.address)),
            Some(Err(why)) => Err(why.clone()),
        }
    }

    /// Runs what asks a store in this process, on threads that may use all cores;
    /// blocks until it is done.
    ///
    /// # Errors
    /// What it says, or that there are no threads.
    pub fn on_all_cores<T: Send>(
        &self,
        work: impl Future<Output = Result<T, String>> + Send,
    ) -> Result<T, String> {
        on_cores(&self.cores.all(), work)
    }

    /// A new folder.
    ///
    /// # Errors
    /// What the disk said.
    pub fn folder(&self, name: &str) -> Result<Folder, String> {
        let dir = tempfile::Builder::new().prefix(name).tempdir_in(self.dir.path());
        dir.map(|dir| Folder(dir.keep())).map_err(|error| format!("{name}: {error}"))
    }

    /// A collector over a log; `more` is further config.
    ///
    /// # Errors
    /// What it said.
    pub fn collector(&self, log: &LogOf, cores: &[usize], more: &str) -> Result<Placed, String> {
        self.gateway("collect", log, cores, more)
    }

    /// A gateway of any role.
    ///
    /// # Errors
    /// What it said.
    pub fn gateway(
        &self,
        role: &str,
        log: &LogOf,
        cores: &[usize],
        more: &str,
    ) -> Result<Placed, String> {
        let folder = self.folder(role)?;
        let config = folder.as_ref().join("sluice.toml");
        let text = format!("{}{more}", log.config());
        std::fs::write(&config, text).map_err(|error| error.to_string())?;
        let flags = [("--config", config.display().to_string())];
        let kept = (log.kind(), log.partitions());
        let data_dir = folder.as_ref().join("data");
        let start = || children::gateway_on(role, kept, cores, &data_dir, &flags);
        let gateway = tokio::task::block_in_place(start)?;
        Ok(Placed { gateway, _folder: folder })
    }
}

/// Says on stderr how far an axis is.
pub fn tell(axis: &str, text: &str) {
    eprintln!("{axis}: {text}");
}

/// Until when something may go on.
#[derive(Debug, Clone, Copy)]
pub struct Bound(Instant);

// === impl Bound ===

impl Bound {
    /// So long from now.
    pub fn within(time: Duration) -> Self {
        Self(Instant::now() + time)
    }

    /// Whether it is over.
    pub fn over(self) -> bool {
        Instant::now() >= self.0
    }

    /// What is left; nothing once it is over.
    pub fn left(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }
}
