//! A real engine for tests, started by the project's own launcher.
//!
//! Where `SLUICE_SERVICES_DIR` names a set that is up, that is used and left
//! running; otherwise a set of its own is started and ended with the test
//! process's last user of it. `SLUICE_TEST_OPENSEARCH=1` starts OpenSearch
//! instead. Each store has an index prefix of its own and removes its indices.

#![allow(dead_code)] // Each test file uses a part.

pub mod fake;
pub mod random;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;
use sluice_elasticsearch::{Deps, ElasticsearchConfig, ElasticsearchDocuments};

/// Why tests with a real engine are ignored by default.
pub const REAL: &str =
    "real engine: started by storage-adapters/services/services; run with -- --ignored";

/// A set of engines.
pub struct Engine {
    dir: PathBuf,
    /// Held for its end: the set's data lies in it.
    own: Option<tempfile::TempDir>,
    address: String,
}

/// A prefix on an engine; its indices and templates go when it is dropped.
pub struct Place {
    /// The engine.
    pub engine: Arc<Engine>,
    /// The prefix.
    pub prefix: String,
}

// === impl Engine ===

impl Engine {
    /// The engine that the tests of this process share.
    pub fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<Engine>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(engine) = shared.upgrade() {
            return engine;
        }
        let engine = Arc::new(match named_dir() {
            Some(dir) => Self::at(dir, None),
            None => Self::own(),
        });
        *shared = Arc::downgrade(&engine);
        engine
    }

    /// An engine that one test may do anything to.
    pub fn own() -> Self {
        let own = tempfile::tempdir().expect("a folder");
        Self::at(own.path().join("services"), Some(own))
    }

    fn at(dir: PathBuf, own: Option<tempfile::TempDir>) -> Self {
        let mut engine = Self { dir, own, address: String::new() };
        if engine.endpoint().is_none() {
            let mut flags = vec!["--only", "elasticsearch"];
            if switch("SLUICE_TEST_OPENSEARCH") {
                flags.push("--opensearch");
            }
            engine.run("up", &flags);
        }
        engine.address = engine.endpoint().expect("the launcher says where the engine listens");
        engine
    }

    /// Runs `services COMMAND --dir DIR ARGUMENTS…`.
    pub fn run(&self, command: &str, arguments: &[&str]) {
        let launcher = Path::new(env!("CARGO_MANIFEST_DIR")).join("../services/services");
        let output = Command::new(&launcher)
            .arg(command)
            .arg("--dir")
            .arg(&self.dir)
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .unwrap_or_else(|why| panic!("{}: {why}", launcher.display()));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "services {command} {arguments:?}: {said}");
    }

    fn endpoint(&self) -> Option<String> {
        let text = std::fs::read(self.dir.join("endpoints.json")).ok()?;
        let found: Value = serde_json::from_slice(&text).ok()?;
        Some(found["elasticsearch"].as_str()?.to_owned())
    }

    /// Whether it is OpenSearch.
    pub fn is_opensearch(&self) -> bool {
        let text = std::fs::read(self.dir.join("endpoints.json")).unwrap_or_default();
        let found: Value = serde_json::from_slice(&text).unwrap_or_default();
        found["documents_engine"] == "opensearch"
    }

    /// Its address.
    pub fn address(&self) -> &str {
        &self.address
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if self.own.is_some() {
            self.run("down", &["--purge"]);
        }
    }
}

// === impl Place ===

impl Place {
    /// A fresh prefix on the shared engine.
    pub fn new() -> Self {
        Self::on(Engine::shared())
    }

    /// A fresh prefix on an engine.
    pub fn on(engine: Arc<Engine>) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("t{}-{number}-{}-", std::process::id(), now_ms() % 1_000_000);
        Self { engine, prefix }
    }

    /// The config of a store in this place.
    pub fn config(&self) -> ElasticsearchConfig {
        ElasticsearchConfig {
            nodes: vec![self.engine.address().to_owned()],
            index_prefix: self.prefix.clone(),
            replicas: 0,
            ..ElasticsearchConfig::default()
        }
    }

    /// Opens a store in this place.
    pub async fn open(&self) -> ElasticsearchDocuments {
        open(self.config()).await
    }

    /// A request to the engine by curl; what it answered.
    pub fn request(&self, method: &str, path: &str, body: &str) -> Value {
        let url = format!("{}/{path}", self.engine.address());
        let output = Command::new("curl")
            .args(["-sS", "-X", method, &url])
            .args(["-H", "content-type: application/json", "-d", body])
            .output()
            .expect("curl");
        serde_json::from_slice(&output.stdout).unwrap_or(Value::Null)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let prefix = &self.prefix;
        let found = self.request("GET", &format!("_cat/indices/{prefix}*?format=json&h=index"), "");
        for listed in found.as_array().into_iter().flatten() {
            if let Some(index) = listed["index"].as_str() {
                self.request("DELETE", index, "");
            }
        }
        for kind in ["events", "visitors", "users", "follows", "names"] {
            self.request("DELETE", &format!("_index_template/{prefix}{kind}"), "");
        }
    }
}

/// Opens a store.
pub async fn open(config: ElasticsearchConfig) -> ElasticsearchDocuments {
    ElasticsearchDocuments::open(config, deps()).await.expect("the store opens")
}

/// What a store needs.
pub fn deps() -> Deps {
    Deps { now_ms: Arc::new(now_ms) }
}

/// Milliseconds since the Unix epoch.
#[allow(clippy::disallowed_methods)] // tests have no injected clock
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    since.as_millis() as i64
}

#[allow(clippy::disallowed_methods)] // a test's own switch
fn named_dir() -> Option<PathBuf> {
    std::env::var_os("SLUICE_SERVICES_DIR").map(PathBuf::from)
}

#[allow(clippy::disallowed_methods)] // a test's own switch
fn switch(name: &str) -> bool {
    std::env::var_os(name).is_some_and(|value| value == "1")
}
