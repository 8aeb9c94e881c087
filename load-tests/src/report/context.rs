//! What the sections of a report share.

use std::path::{Path, PathBuf};

use crate::children::{self, LogKind};
use crate::crowd::now_ms;
use crate::drive::Target;
use crate::gateway::Gateway;
use crate::limits::bodies::Bodies;
use crate::measure::cores;
use crate::services::Engine;

/// Rounds of a figure.
const ROUNDS: usize = 5;
/// Why there is no engine, where none is wanted.
const LEFT_OUT: &str = "left out by --embedded";

/// What the sections share.
pub struct Context {
    /// Small rounds.
    pub quick: bool,
    /// Without other engines.
    embedded: bool,
    /// The core of gateways and sinks.
    pub other: Option<usize>,
    /// The bodies of the steps.
    pub bodies: Bodies,
    /// The brokers, or why there are none.
    kafka: Result<Engine, String>,
    dir: tempfile::TempDir,
}

/// A gateway that appends to Kafka.
pub struct KafkaGateway {
    /// The process.
    pub gateway: Gateway,
    /// `host:port` of the brokers.
    pub brokers: String,
    /// Its topic of events.
    pub topic: String,
}

// === impl Context ===

impl Context {
    /// Starts the brokers where they are wanted; blocks for that.
    ///
    /// # Errors
    /// Where there is no place for files. Missing brokers are told by who needs them.
    pub fn new(quick: bool, other: Option<usize>, kafka: bool) -> Result<Self, String> {
        let dir = tempfile::tempdir().map_err(|error| error.to_string())?;
        let kafka = match kafka {
            true => tokio::task::block_in_place(|| Engine::up("kafka", &[])),
            false => Err(LEFT_OUT.to_owned()),
        };
        Ok(Self { quick, embedded: false, other, bodies: Bodies::make(), kafka, dir })
    }

    /// Whether it goes without other engines.
    #[must_use]
    pub fn embedded(mut self, embedded: bool) -> Self {
        self.embedded = embedded;
        self
    }

    /// Rounds of a figure.
    pub fn rounds(&self) -> usize {
        ROUNDS
    }

    /// One of two sizes.
    pub fn size<T>(&self, whole: T, quick: T) -> T {
        if self.quick { quick } else { whole }
    }

    /// A new folder.
    ///
    /// # Errors
    /// What the disk said.
    pub fn folder(&self, name: &str) -> Result<PathBuf, String> {
        let path = self.dir.path().join(format!("{name}-{}", now_ms()));
        std::fs::create_dir_all(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(path)
    }

    /// A gateway on the other core, without Kafka.
    ///
    /// # Errors
    /// What it said.
    pub fn gateway(&self, role: &str, log: LogKind, data_dir: &Path) -> Result<Gateway, String> {
        tokio::task::block_in_place(|| children::gateway(role, log, self.other, data_dir, &[]))
    }

    /// A gateway on the other core with a config of its own.
    ///
    /// # Errors
    /// What it said, or the disk.
    pub fn configured(&self, role: &str, dir: &Path, text: &str) -> Result<Gateway, String> {
        let config = dir.join("sluice.toml");
        std::fs::write(&config, text).map_err(|error| error.to_string())?;
        let flags = [("--config", config.display().to_string())];
        let start = || children::gateway(role, LogKind::Real, self.other, dir, &flags);
        tokio::task::block_in_place(start)
    }

    /// `host:port` of the brokers.
    ///
    /// # Errors
    /// Why there are none.
    pub fn brokers(&self) -> Result<&str, String> {
        self.kafka.as_ref().map(|engine| &*engine.address).map_err(Clone::clone)
    }

    /// Elasticsearch, for as long as it is held: it takes memory and CPU time from
    /// those that do not need it. It may run on any core, since what is measured is
    /// a search on the wall.
    ///
    /// # Errors
    /// Why there is none.
    pub fn elasticsearch(&self) -> Result<Engine, String> {
        if self.embedded {
            return Err(LEFT_OUT.to_owned());
        }
        tokio::task::block_in_place(|| Engine::up("elasticsearch", &self.all_cores()))
    }

    /// Those of this process and of gateways.
    pub fn all_cores(&self) -> Vec<usize> {
        cores().into_iter().chain(self.other).collect()
    }

    /// A collector on the other core that appends to a topic of its own, lz4.
    ///
    /// # Errors
    /// Why there are no brokers, or what it said.
    pub fn kafka_gateway(&self) -> Result<KafkaGateway, String> {
        let brokers = self.brokers()?.to_owned();
        let dir = self.folder("collect")?;
        let topic = format!("report-{}.events", now_ms());
        let text = format!(
            "[log]\nengine = \"kafka\"\n[kafka]\nbrokers = \"{brokers}\"\ntopic = \"{topic}\"\n\
             dead_letter_topic = \"{topic}.dead\"\ncompression = \"lz4\"\n"
        );
        let gateway = self.configured("collect", &dir, &text)?;
        Ok(KafkaGateway { gateway, brokers, topic })
    }
}

/// The main listener of a gateway.
///
/// # Errors
/// Where its address is none.
pub fn target(gateway: &Gateway) -> Result<Target, String> {
    gateway.http.parse()
}
