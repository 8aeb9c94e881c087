//! A set of engines with proxies before them, and gateways of every role.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use load_tests::crowd::now_ms;
use load_tests::gateway::{Gateway, Start, ask};
use load_tests::proxy::Proxy;
use load_tests::sender::Sender;
use load_tests::services::Services;
use serde_json::{Value, json};
use tokio::sync::{Mutex, MutexGuard};

use crate::lies::Liar;

const BIN: &str = env!("CARGO_BIN_EXE_sluice-faulty");
/// The demo app, taking events of the last four weeks.
pub const APPS: &str = r#"
[apps.demo]
write_keys = ["demo-write-key"]
server_keys = [{ key = "demo-server-key" }]
read_tokens = ["demo-read-token"]
past_max_ms = 2419200000
"#;
/// Partitions of the log.
pub const PARTITIONS: usize = 4;
/// Longest wait for everything to be in the stores.
const SETTLE_MAX: Duration = Duration::from_secs(180);

/// Where faults of networks are made.
pub struct Proxies {
    pub kafka: Proxy,
    pub elasticsearch: Proxy,
    pub thrift: Proxy,
    /// Before `elasticsearch`: tells lies about items of bulk requests.
    pub liar: Liar,
}

/// One cluster at a time: a test that kills engines must not meet another.
static TURN: Mutex<()> = Mutex::const_new(());

/// Engines and gateways.
pub struct Cluster {
    pub services: Services,
    pub proxies: Proxies,
    dir: tempfile::TempDir,
    config: PathBuf,
    /// Names of topics, indices and tables begin with it.
    pub prefix: String,
    started: AtomicU32,
    pub gateways: Vec<Gateway>,
    pub workers: Vec<Gateway>,
    pub query: Option<Gateway>,
    _turn: MutexGuard<'static, ()>,
}

// === impl Cluster ===

impl Cluster {
    /// Starts the engines and their proxies; no gateway yet.
    pub async fn engines() -> Self {
        let turn = TURN.lock().await;
        let up = || Services::up("kafka,elasticsearch,hbase", &[]);
        let services = tokio::task::block_in_place(up).expect("the engines start");
        let endpoints = services.endpoints();
        let any: SocketAddr = "127.0.0.1:0".parse().expect("address");
        let proxy = async |address, engine| Proxy::start(address, engine).await.expect("a proxy");
        let elasticsearch = proxy(any, socket(&endpoints["elasticsearch"])).await;
        let proxies = Proxies {
            kafka: proxy(
                socket(&endpoints["kafka_proxy"]),
                socket(&endpoints["kafka_behind_proxy"]),
            )
            .await,
            liar: Liar::start(elasticsearch.address).await,
            elasticsearch,
            thrift: proxy(any, socket(&endpoints["hbase_thrift"][0])).await,
        };
        let dir = tempfile::tempdir().expect("temp dir");
        let prefix = format!("t{}", now_ms());
        let config = dir.path().join("sluice.toml");
        let addresses = Addresses {
            kafka: proxies.kafka.address,
            documents: proxies.liar.address,
            rows: proxies.thrift.address,
        };
        std::fs::write(&config, text(&addresses, &prefix)).expect("written");
        let (gateways, workers) = (Vec::new(), Vec::new());
        Self {
            services,
            proxies,
            dir,
            config,
            prefix,
            started: AtomicU32::new(0),
            gateways,
            workers,
            query: None,
            _turn: turn,
        }
    }

    /// From now on gateways find the engines without a proxy between.
    #[allow(dead_code)] // for the bench, which has the same cluster
    pub fn without_proxies(&self) {
        let endpoints = self.services.endpoints();
        let addresses = Addresses {
            kafka: socket(&endpoints["kafka"]),
            documents: socket(&endpoints["elasticsearch"]),
            rows: socket(&endpoints["hbase_thrift"][0]),
        };
        std::fs::write(&self.config, text(&addresses, &self.prefix)).expect("written");
    }

    /// Two collectors, a worker, a query process.
    pub async fn start() -> Self {
        let mut cluster = Self::engines().await;
        // The first makes topics, indices and tables.
        let worker = cluster.process("fan-out", &[]);
        cluster.workers.push(worker);
        for _ in 0..2 {
            let gateway = cluster.process("collect", &[]);
            cluster.gateways.push(gateway);
        }
        cluster.query = Some(cluster.process("query", &[]));
        cluster
    }

    /// Starts a process of a role with a data directory of its own.
    pub fn process(&self, role: &str, env: &[(&str, String)]) -> Gateway {
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        let data_dir = self.dir.path().join(format!("{role}-{number}"));
        let mut start = Start::new(Path::new(BIN), &data_dir).role(role);
        start = start.flag("--config", self.config.display());
        for (name, value) in env {
            start = start.env(name, value);
        }
        let run = || start.run();
        tokio::task::block_in_place(run).unwrap_or_else(|error| panic!("{role}: {error}"))
    }

    /// Address of the query process.
    pub fn asked(&self) -> &str {
        &self.query.as_ref().expect("started").http
    }

    /// Runs the launcher; must succeed.
    pub fn services(&self, command: &str, name: &str) {
        let run = || self.services.run(command, &[name]);
        tokio::task::block_in_place(run).unwrap_or_else(|error| panic!("{error}"));
    }

    /// Waits until everything acknowledged by now is in both stores; how long
    /// that took.
    pub async fn settled(&self, sender: &Sender) -> Duration {
        let (begun, acknowledged_ms) = (Instant::now(), now_ms());
        let question = json!({ "metrics": ["event_count"], "date_range": { "last": "1d" } });
        let mut last = Value::Null;
        while begun.elapsed() < SETTLE_MAX {
            let answer = ask(sender.client(), self.asked(), &question).await.unwrap_or_default();
            last = answer["meta"]["complete_until"].clone();
            let until = last.as_str().map_or(0, millisecond);
            if until > acknowledged_ms && self.lanes_are_at_the_end(sender).await {
                return begun.elapsed();
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        for worker in &self.workers {
            eprintln!("{}", worker.said().lines().rev().take(40).collect::<Vec<_>>().join("\n"));
        }
        panic!("not complete within {SETTLE_MAX:?}: complete until {last}");
    }

    async fn lanes_are_at_the_end(&self, sender: &Sender) -> bool {
        let (mut lanes, mut behind) = (0, 0);
        for worker in &self.workers {
            let Ok(reply) = sender.client().get(format!("{}/status", worker.admin)).send().await
            else {
                return false;
            };
            let status = reply.json::<Value>().await.unwrap_or_default();
            for lane in status["fan_out"]["lanes"].as_array().into_iter().flatten() {
                lanes += 1;
                behind += usize::from(lane["committed"] != lane["end"]);
            }
        }
        lanes == 2 * PARTITIONS && behind == 0
    }

    /// Largest resident memory of any process now, MiB.
    pub fn resident_mib(&self) -> u64 {
        let all = self.gateways.iter().chain(&self.workers).chain(&self.query);
        all.map(Gateway::resident_bytes).max().unwrap_or(0) >> 20
    }
}

fn socket(value: &Value) -> SocketAddr {
    let text = value.as_str().expect("an address").trim_start_matches("http://");
    text.parse().expect("an address")
}

fn millisecond(time: &str) -> i64 {
    time.parse::<jiff::Timestamp>().map_or(0, jiff::Timestamp::as_millisecond)
}

/// Where gateways find the engines.
struct Addresses {
    kafka: SocketAddr,
    documents: SocketAddr,
    rows: SocketAddr,
}

/// A config for engines at these addresses. Times are short, so that
/// faults pass them soon.
fn text(at: &Addresses, prefix: &str) -> String {
    let Addresses { kafka, documents: elasticsearch, rows: thrift } = at;
    format!(
        r#"
[log]
engine = "kafka"
[kafka]
brokers = "{kafka}"
topic = "{prefix}.events"
dead_letter_topic = "{prefix}.dead"
group = "{prefix}"
partitions = {PARTITIONS}
session_timeout_ms = 6000
message_timeout_ms = 5000
silent_ms_max = 2000
request_timeout_ms = 4000
[documents]
engine = "elasticsearch"
[elasticsearch]
nodes = ["http://{elasticsearch}"]
index_prefix = "{prefix}-"
replicas = 0
request_timeout_ms = 10000
[rows]
engine = "hbase"
[hbase]
servers = ["{thrift}"]
table_prefix = "{prefix}."
salt_buckets = 4
read_timeout_ms = 4000
[fan_out.documents]
retry_max_ms = 1000
[fan_out.rows]
retry_max_ms = 1000
{APPS}"#
    )
}
