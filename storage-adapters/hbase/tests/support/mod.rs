//! A real HBase for the tests: the set named by `SLUICE_SERVICES_DIR`, else one
//! of our own that ends with the process that asked for it.

#![allow(dead_code, reason = "each test file uses a part")]

pub mod sample;

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sluice_hbase::{HbaseConfig, HbaseDeps, HbaseRows};
use sluice_seams::StoreError;
use tokio::runtime::Runtime;

const SERVICES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../services/services");

/// A set of servers.
pub struct Services {
    dir: std::path::PathBuf,
    /// Thrift servers.
    pub servers: Vec<String>,
}

// === impl Services ===

impl Services {
    /// The set that all tests of a process share, with two Thrift servers where
    /// it is our own.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Services> = OnceLock::new();
        SHARED.get_or_init(|| match std::env::var_os("SLUICE_SERVICES_DIR") {
            Some(dir) => Self::found(dir.into()),
            None => Self::own(),
        })
    }

    /// A set for one test that stops and kills servers.
    pub fn own() -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder").keep();
        end_with_process(&dir);
        run(&dir, &["up", "--only", "hbase", "--thrift-servers", "2"]);
        Self::found(dir)
    }

    fn found(dir: std::path::PathBuf) -> Self {
        let file = dir.join("endpoints.json");
        let text = std::fs::read_to_string(&file)
            .unwrap_or_else(|error| panic!("{}: {error}: no set runs there", file.display()));
        let json: serde_json::Value = serde_json::from_str(&text).expect("endpoints.json is JSON");
        let servers: Vec<_> = json["hbase_thrift"]
            .as_array()
            .unwrap_or_else(|| panic!("no hbase_thrift in {text}"))
            .iter()
            .map(|server| server.as_str().expect("a server is host:port").to_owned())
            .collect();
        assert!(!servers.is_empty(), "no Thrift server in {text}");
        Self { dir, servers }
    }

    /// `services COMMAND NAME`.
    pub fn tell(&self, command: &str, name: &str) {
        run(&self.dir, &[command, name]);
    }
}

fn run(dir: &std::path::Path, arguments: &[&str]) {
    let output = Command::new(SERVICES)
        .args(arguments)
        .arg("--dir")
        .arg(dir)
        .output()
        .unwrap_or_else(|error| panic!("{SERVICES}: {error}"));
    assert!(
        output.status.success(),
        "services {arguments:?} failed: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Ends a set when this process does, however it ends: a shell waits for the
/// end of a pipe that only this process holds.
fn end_with_process(dir: &std::path::Path) {
    static PIPES: Mutex<Vec<std::process::Child>> = Mutex::new(Vec::new());
    let script = "cat >/dev/null; \"$0\" down --purge --dir \"$1\" >/dev/null 2>&1";
    let child = Command::new("setsid")
        .args(["sh", "-c", script, SERVICES])
        .arg(dir)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("setsid and sh run");
    PIPES.lock().expect("no panic while held").push(child);
}

/// A prefix that no other test has, in this process or another.
pub fn prefix() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("t{:x}-{}-{next}.", now_ms(), std::process::id())
}

/// The system's clock.
#[expect(clippy::disallowed_methods, reason = "the clock that stores are given")]
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    i64::try_from(since.as_millis()).expect("before the year 292 million")
}

/// Settings for these servers and tables of our own.
pub fn config(servers: &[String], prefix: String) -> HbaseConfig {
    HbaseConfig {
        servers: servers.to_vec(),
        table_prefix: prefix,
        ttl_days: 20_000,
        salt_buckets: 4,
        ..HbaseConfig::default()
    }
}

/// What a store is given.
pub fn deps() -> HbaseDeps {
    HbaseDeps { now_ms: Arc::new(now_ms) }
}

/// The runtime that stores live in: tests have one each, which ends with them.
pub fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| Runtime::new().expect("a runtime"))
}

/// Opens a store, from inside any runtime; tries for a minute while HBase says
/// "not now".
pub fn open(config: &HbaseConfig) -> HbaseRows {
    let config = config.clone();
    let opening = async move {
        for _ in 0..120 {
            match HbaseRows::open(config.clone(), deps()).await {
                Err(StoreError::Retry { detail, .. }) => {
                    eprintln!("not yet: {detail}");
                    tokio::time::sleep(Duration::from_millis(500)).await;
                }
                opened => return opened.expect("the store opens"),
            }
        }
        panic!("HBase did not let the store open for a minute");
    };
    std::thread::spawn(|| runtime().block_on(opening)).join().expect("the store opens")
}
