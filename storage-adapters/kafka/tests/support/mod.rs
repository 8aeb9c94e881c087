//! A real broker for tests, started by the project's own launcher.
//!
//! Where `SLUICE_SERVICES_DIR` names a set that is up, that is used and left
//! running; otherwise a set of its own is started and ended with its last user.
//! Tests share a broker and have topics and groups of their own.

#![allow(dead_code)] // each test file uses a part

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, Weak};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;
use sluice_kafka::{KafkaConfig, KafkaDeps, KafkaLog, TopicConfig};

/// A running broker.
pub struct Broker {
    dir: PathBuf,
    /// Held for its end: the data lies in it.
    own: Option<tempfile::TempDir>,
    pub address: String,
}

impl Broker {
    /// The broker that the tests of this process share.
    pub fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<Broker>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(broker) = shared.upgrade() {
            return broker;
        }
        let broker = Arc::new(match named_dir() {
            Some(dir) => Self::at(dir, None),
            None => Self::own(),
        });
        *shared = Arc::downgrade(&broker);
        broker
    }

    /// A broker that one test may do anything to.
    pub fn own() -> Self {
        let own = tempfile::tempdir().expect("a folder");
        Self::at(own.path().join("services"), Some(own))
    }

    fn at(dir: PathBuf, own: Option<tempfile::TempDir>) -> Self {
        let mut broker = Self { dir, own, address: String::new() };
        broker.run("up", &["--only", "kafka"]);
        let text = std::fs::read(broker.dir.join("endpoints.json")).expect("endpoints");
        let endpoints: Value = serde_json::from_slice(&text).expect("JSON");
        broker.address = endpoints["kafka"].as_str().expect("the broker's address").to_owned();
        broker
    }

    /// Runs `services COMMAND --dir DIR ARGUMENTS…`; must succeed.
    pub fn run(&self, command: &str, arguments: &[&str]) {
        let launcher = Path::new(env!("CARGO_MANIFEST_DIR")).join("../services/services");
        let output = Command::new(launcher)
            .arg(command)
            .arg("--dir")
            .arg(&self.dir)
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .expect("the launcher runs");
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(output.status.success(), "services {command}: {said}");
    }

    /// Settings with a topic and a group of their own.
    pub fn config(&self) -> KafkaConfig {
        let unique = uuid::Uuid::now_v7().simple().to_string();
        KafkaConfig {
            brokers: self.address.clone(),
            topic: format!("events-{unique}"),
            dead_letter_topic: format!("dead-{unique}"),
            group: format!("group-{unique}"),
            partitions: 2,
            session_timeout_ms: 6_000,
            ..KafkaConfig::default()
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if self.own.is_some() {
            self.run("down", &[]);
        }
    }
}

#[allow(clippy::disallowed_methods)] // a test's own switch
fn named_dir() -> Option<PathBuf> {
    std::env::var_os("SLUICE_SERVICES_DIR").map(PathBuf::from)
}

#[allow(clippy::disallowed_methods)] // the tests' own clock
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    i64::try_from(since.as_millis()).expect("before the year 292 million")
}

/// The topic of events of these settings.
pub fn events(config: &KafkaConfig) -> TopicConfig {
    TopicConfig {
        name: config.topic.clone(),
        partitions: config.partitions,
        retention_ms: Some(config.retention_ms),
    }
}

/// Opens the log of events.
pub async fn open(config: &KafkaConfig) -> KafkaLog {
    let deps = KafkaDeps { now_ms: Arc::new(now_ms) };
    KafkaLog::open(config.clone(), events(config), deps).await.expect("opens")
}
